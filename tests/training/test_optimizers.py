"""Optimisers' steps without torch's preparations: the numbers are torch's."""

import pytest
import torch

from probgen.training.optimizers import Descent, make_optimizer
from probgen.training.recipe import OptimizerSettings


def quadratic(parameters, step):
    torch.manual_seed(step)
    return [torch.randn_like(parameter) + parameter.detach() for parameter in parameters]


def descended(settings, *, by_torch, resumed_at=None, missing_at=None):
    torch.manual_seed(0)
    parameters = [torch.nn.Parameter(torch.randn(shape)) for shape in ((3, 4), (4,), ())]
    optimizer = make_optimizer(parameters, settings)
    descent = Descent(optimizer)
    for step in range(6):
        gradients = quadratic(parameters, step)
        if step == missing_at:
            gradients[1] = None
        if step == resumed_at:
            optimizer.load_state_dict(optimizer.state_dict())
            descent.forget()
        rate = settings.learning_rate / (step + 1)
        if by_torch:
            optimizer.param_groups[0]["lr"] = rate
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient
            optimizer.step()
        else:
            descent.step(gradients, rate)
    return [*parameters, *(tensor for entry in optimizer.state.values() for tensor in entry.values() if tensor is not None)]


EVENTS = [{}, {"resumed_at": 3}, {"missing_at": 3}, {"missing_at": 0}]
# Torch's own fused SGD fails where some momenta are there and others are not, so that the last event is left out for it.
CASES = [(name, event) for name in ("adam", "adamw", "rmsprop") for event in EVENTS] + [
    ("sgd", event) for event in EVENTS[:-1]
]


@pytest.mark.parametrize(("name", "event"), CASES)
def test_steps_are_those_of_torch_bit_for_bit(name, event):
    settings = OptimizerSettings(name=name, learning_rate=0.1, weight_decay=0.01)
    expected, got = descended(settings, by_torch=True, **event), descended(settings, by_torch=False, **event)
    assert len(expected) == len(got)
    assert all(torch.equal(one, other) for one, other in zip(expected, got, strict=True))

"""NADE's running hidden state: its values, its gradient, and its draws against the definition."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import constraints

from probgen import Batch, ConfigurationError, MaximumLikelihood
from probgen.supports import categorical
from probgen_autoregressive import running
from probgen_autoregressive.nade import NADE
from probgen_autoregressive.running import RUNNING_ACTIVATIONS, running_outputs

SIZES = {"one": (3, 1, 1, 1, 5), "a block": (3, 8, 1, 1, 5), "two and a bit": (4, 19, 2, 3, 6)}


def by_definition(features, inward, outward, start, *, activation):
    activate = RUNNING_ACTIVATIONS[activation].value
    parts = torch.einsum("ndf,dfh->ndh", features, inward)
    before = start[:, None] + parts.cumsum(1) - parts
    return torch.einsum("ndh,dph->ndp", activate(before), outward)


def arguments(size):
    n, entries, features, parameters, hidden = SIZES[size]
    shapes = ((n, entries, features), (entries, features, hidden), (entries, parameters, hidden), (n, hidden))
    return [torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


@pytest.mark.parametrize("activation", list(RUNNING_ACTIVATIONS))
@pytest.mark.parametrize("size", list(SIZES))
class TestRunningOutputs:
    def test_value_and_gradient_are_those_of_the_definition(self, size, activation):
        given = arguments(size)
        ours, plain = (f(*given, activation=activation) for f in (running_outputs, by_definition))
        torch.testing.assert_close(ours, plain)
        arriving = torch.randn_like(ours)
        for mine, theirs in zip(
            torch.autograd.grad(ours, given, arriving), torch.autograd.grad(plain, given, arriving), strict=True
        ):
            torch.testing.assert_close(mine, theirs)

    def test_what_is_kept_changes_nothing(self, size, activation, monkeypatch):
        """Hidden units that are computed again on the way back are those of the way there."""
        given, gradients = arguments(size), []
        for few in (running._FEW, 0):
            monkeypatch.setattr(running, "_FEW", few)
            outputs = running_outputs(*given, activation=activation)
            gradients.append(torch.autograd.grad(outputs.square().sum(), given))
        for kept, again in zip(*gradients, strict=True):
            torch.testing.assert_close(kept, again, rtol=0, atol=0)

    def test_gradients_are_those_of_finite_differences(self, size, activation):
        function = lambda *values: running_outputs(*values, activation=activation)  # noqa: E731
        assert torch.autograd.gradcheck(function, arguments(size), fast_mode=True)
        if activation != "relu":
            assert torch.autograd.gradgradcheck(function, arguments(size), fast_mode=True)


@pytest.mark.parametrize("support", [constraints.boolean, categorical(3)])
def test_the_running_sampler_is_the_slow_one(support):
    """With the same noise, D full passes give the same draws."""
    model = NADE(event_shape=(9,), context_shape=(2,), support=support, hidden=6, order="random").double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter)
    context = torch.randn(50, 2, dtype=torch.float64)
    fast = model.sample((), context, generator=torch.Generator().manual_seed(5))
    slow = torch.zeros(50, 9, dtype=torch.float64)
    torch.manual_seed(5)
    for entry, noise in zip(model.order.tolist(), model.law.noise((9, 50), like=slow), strict=True):
        slow[:, entry] = model.law.draw(model._parameters_of(model._encoded(slow), context)[:, entry], noise)
    assert torch.equal(fast, slow)


def test_half_precision_leaves_the_accumulation_alone():
    model = NADE(event_shape=(40,), context_shape=(2,), support=constraints.boolean, hidden=6)
    x, context = torch.ones(3, 40), torch.randn(3, 2)
    exact = model.log_prob(x, context)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        (phase,) = MaximumLikelihood().phases(model)
        rough = phase(model, Batch(x, context), {})
    torch.testing.assert_close(rough.value.float(), exact, rtol=0.05, atol=0.05)
    assert all(g.isfinite().all() for g in torch.autograd.grad(rough.surrogate, list(model.parameters())))


@pytest.mark.parametrize(
    ("option", "message"), [({"hidden": 0}, "hidden of at least 1"), ({"activation": "sine"}, "activation among")]
)
def test_options_out_of_range(option, message):
    with pytest.raises(ConfigurationError, match=message):
        NADE(event_shape=(3,), context_shape=None, support=constraints.boolean, **option)

"""Maximum likelihood: exact in value, and the gradient of the mean."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Normal, constraints

from probgen import Batch, CapabilityError, Density, MaximumLikelihood, PyroPair
from probgen.claims import Exact, Unbiased


class Gaussian(nn.Module, Density):
    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([]), torch.Size([]), constraints.real
        self.shift = nn.Parameter(torch.tensor(0.5))

    def _log_prob(self, x, context):
        return Normal(context + self.shift, 1.0).log_prob(x)


def test_value_and_gradient():
    model, batch = Gaussian(), Batch(torch.tensor([0.0, 3.0]), context=torch.tensor([1.0, -1.0]))
    (phase,) = MaximumLikelihood().phases(model)
    estimate = phase(model, batch, {})
    assert torch.equal(estimate.value, model.log_prob(batch.x, batch.context))
    assert not estimate.value.requires_grad
    (gradient,) = torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))
    torch.testing.assert_close(gradient, (batch.context + 0.5 - batch.x).mean())
    assert (phase.name, list(phase.parameters)) == ("main", ["shift"])


def test_claims():
    claims = MaximumLikelihood().claims
    assert claims.value == (Exact("log_prob"),)
    assert claims.for_parameter("shift") == Unbiased("grad:log_prob")


def test_what_it_needs():
    MaximumLikelihood().check(Gaussian())
    with pytest.raises(CapabilityError, match="MaximumLikelihood: expected a model that is Density; got PyroPair"):
        MaximumLikelihood().check(PyroPair(lambda x: None, lambda x: None, event_shape=()))

"""Distributions that pass gradients straight through are not taken for reparameterised ones."""

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from probgen import ELBO, IWAE, REINFORCE, Batch, CapabilityError, PyroPair, as_model
from probgen.capabilities import Reparameterized, capabilities
from probgen.estimators.site_strategies import SiteStrategies
from probgen.estimators.strategies import PassThrough, Reparam

X = torch.ones(2, 1)


class Programs(nn.Module):
    def __init__(self):
        super().__init__()
        self.logits, self.weight = nn.Parameter(torch.zeros(3)), nn.Parameter(torch.randn(3, 1))

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.OneHotCategorical(logits=torch.zeros(len(x), 3)))
            pyro.sample("x", dist.Normal(z @ self.weight, 1.0).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.OneHotCategoricalStraightThrough(logits=self.logits.expand(len(x), -1)))


def estimate(estimator):
    programs = Programs()
    pair = PyroPair(programs.model, programs.guide, event_shape=(1,), inference=("programs.logits",))
    (phase,) = estimator.phases(pair)
    return phase(pair, Batch(X), estimator.initial_state(pair, Batch(X)))


@pytest.mark.parametrize("estimator", [ELBO(), IWAE(num_particles=2), REINFORCE(num_particles=2)])
def test_estimators_that_claim_no_bias_refuse_them(estimator):
    with pytest.raises(CapabilityError, match="'z', a OneHotCategoricalStraightThrough, whose rsample passes"):
        estimate(estimator)


def test_so_does_the_strategy_that_differentiates_through_draws():
    with pytest.raises(CapabilityError, match="Reparam: expected a distribution whose draws carry its gradient at 'z'"):
        estimate(SiteStrategies({"z": Reparam()}))


def test_the_estimator_that_says_so_takes_them():
    assert torch.isfinite(estimate(SiteStrategies(otherwise=PassThrough())).surrogate)


def test_a_model_made_of_one_is_not_called_reparameterised():
    law = torch.distributions.OneHotCategoricalStraightThrough(torch.ones(3))
    assert Reparameterized not in capabilities(as_model(law))

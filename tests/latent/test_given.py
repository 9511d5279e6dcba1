"""Our densities inside Pyro programs."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import Independent as TorchIndependent
from torch.distributions import Normal, constraints, transforms

from probgen import CapabilityError, Density, Enumerable, PyroPair, Reparameterized, Sampler, ShapeError, run_pair
from probgen.pyro_bridge import Given, as_pyro, without_validation


class Shifted(Density, Reparameterized):
    """A Gaussian around the context that counts how often it is scored."""

    def __init__(self):
        self.event_shape, self.context_shape, self.support = torch.Size([2]), torch.Size([2]), constraints.real
        self.scored = 0

    def _log_prob(self, x, context):
        self.scored += 1
        return Normal(context, 1.0).log_prob(x).sum(-1)

    def _rsample(self, n, context):
        return context + torch.randn_like(context)

    def _rsample_and_log_prob(self, n, context):
        noise = torch.randn_like(context)
        return context + noise, Normal(torch.zeros_like(noise), 1.0).log_prob(noise).sum(-1)


class Coin(Density, Sampler, Enumerable):
    """A fair coin that cannot be differentiated through."""

    event_shape, context_shape, support = torch.Size([]), None, constraints.boolean

    def _log_prob(self, x, context):
        return torch.full_like(x, 0.5).log()

    def _sample(self, n, context):
        return torch.randint(2, (n,)).float()

    def enumerate_support(self):
        return torch.tensor([0.0, 1.0])


class Scorer(Density):
    """It scores and does nothing else."""

    event_shape, context_shape, support = torch.Size([]), None, constraints.real

    def _log_prob(self, x, context):
        return -x.abs()


class TestShapes:
    @given(
        batch=st.lists(st.integers(1, 3), max_size=2),
        lead=st.lists(st.integers(1, 3), max_size=1),
        draws=st.lists(st.integers(1, 3), max_size=2),
    )
    def test_they_are_those_of_any_distribution(self, batch, lead, draws):
        given = Shifted().given(torch.zeros(*batch, 2))
        like = dist.Normal(torch.zeros(*batch, 2), 1.0).to_event(1)
        for ours, theirs in ((given, like), (given.expand((*lead, *batch)), like.expand((*lead, *batch)))):
            assert (ours.batch_shape, ours.event_shape) == (theirs.batch_shape, theirs.event_shape)
            for draw in (ours.sample(draws), ours.rsample(draws)):
                assert draw.shape == theirs.sample(torch.Size(draws)).shape
                assert ours.log_prob(draw).shape == theirs.log_prob(draw).shape
                torch.testing.assert_close(ours.log_prob(draw.clone()), theirs.log_prob(draw))

    def test_without_context_the_batch_is_drawn_independently(self):
        draws = Coin().given().expand((1000,)).sample()
        assert draws.shape == (1000,)
        assert 0.3 < draws.mean() < 0.7

    def test_an_event_that_broadcasts_over_the_batch(self):
        assert Coin().given().expand((4,)).log_prob(torch.tensor(1.0)).shape == (4,)

    def test_the_context_is_checked(self):
        with pytest.raises(ShapeError, match=r"Shifted\.given: expected context of shape \(\.\.\., 2\)"):
            Shifted().given(torch.zeros(3))
        with pytest.raises(ShapeError, match=r"Shifted\.given: .* got None"):
            Shifted().given()


class TestPowers:
    def test_they_are_the_models(self):
        assert Shifted().given(torch.zeros(2)).has_rsample
        assert not Coin().given().has_rsample
        assert Coin().given().has_enumerate_support

    def test_what_is_lacking_is_said(self):
        with pytest.raises(CapabilityError, match=r"Coin\.given\(…\)\.rsample: expected a model that is Reparameterized"):
            Coin().given().rsample()
        with pytest.raises(CapabilityError, match=r"Scorer\.given\(…\)\.sample: expected a model that is Sampler"):
            Scorer().given().sample()
        with pytest.raises(CapabilityError, match=r"Scorer\.given\(…\)\.enumerate_support: .* Enumerable"):
            Scorer().given().enumerate_support()

    def test_enumeration_has_a_new_first_axis(self):
        coin = Coin().given().expand((3, 4))
        assert coin.enumerate_support().shape == (2, 3, 4)
        assert coin.enumerate_support(expand=False).shape == (2, 1, 1)

    def test_the_support_is_that_of_whole_events(self):
        assert Shifted().given(torch.zeros(2)).support.event_dim == 1
        assert Coin().given().support.event_dim == 0

    def test_an_own_draw_is_scored_with_it(self):
        model = Shifted()
        distribution = model.given(torch.zeros(3, 2))
        draw = distribution.rsample()
        scores = distribution.log_prob(draw)
        assert model.scored == 0
        torch.testing.assert_close(distribution.log_prob(draw.clone()), scores)
        assert model.scored == 1

    def test_outside_the_support_while_validation_is_on(self):
        half = torch.tensor(0.5)
        assert Coin().given().log_prob(half) == -torch.inf
        with without_validation():
            assert Coin().given().log_prob(half).isfinite()


class TestInPrograms:
    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    def test_drawn_and_observed(self, particles):
        prior, likelihood, posterior = Shifted(), Shifted(), Shifted()

        def model(x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", prior.given(torch.zeros(2)))
                pyro.sample("x", likelihood.given(z), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", posterior.given(x))

        trace = run_pair(
            PyroPair(model, guide, event_shape=(2,), particles=particles), x := torch.randn(4, 2), num_particles=3
        )
        z = trace.sites["z"]
        torch.testing.assert_close(z.log_q, Normal(x, 1.0).log_prob(z.value).sum(-1))
        torch.testing.assert_close(z.log_p, Normal(0.0, 1.0).log_prob(z.value).sum(-1))
        torch.testing.assert_close(trace.sites["x"].log_p, Normal(z.value, 1.0).log_prob(x).sum(-1))
        assert z.reparameterized
        assert z.analytic_kl is None
        assert posterior.scored == 0


ONES = torch.ones(3)
DISTRIBUTIONS = [
    torch.distributions.Bernoulli(0.3),
    torch.distributions.Binomial(5, torch.tensor(0.3)),
    torch.distributions.Categorical(ONES),
    torch.distributions.Dirichlet(ONES),
    torch.distributions.Gamma(2.0, 1.0),
    torch.distributions.Geometric(0.3),
    torch.distributions.LogNormal(0.0, 1.0),
    torch.distributions.MixtureSameFamily(torch.distributions.Categorical(ONES), Normal(ONES, ONES)),
    torch.distributions.MultivariateNormal(ONES, torch.eye(3)),
    torch.distributions.OneHotCategorical(ONES),
    torch.distributions.Poisson(3.0),
    torch.distributions.RelaxedBernoulli(torch.tensor(0.5), torch.tensor(0.3)),
    torch.distributions.StudentT(3.0),
    torch.distributions.TransformedDistribution(Normal(0.0, 1.0), [transforms.SigmoidTransform()]),
    torch.distributions.Uniform(-1.0, 2.0),
    Normal(ONES, ONES),
    TorchIndependent(TorchIndependent(Normal(torch.zeros(2, 3), torch.ones(2, 3)), 1), 1),
]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS, ids=lambda d: type(d).__name__)
def test_a_torch_distribution_becomes_pyros(distribution):
    adapted = as_pyro(distribution)
    draws = distribution.sample((4,))
    assert isinstance(adapted, type(distribution))
    torch.testing.assert_close(adapted.log_prob(draws), distribution.log_prob(draws))
    expanded = adapted.expand((4, *adapted.batch_shape))
    torch.testing.assert_close(expanded.log_prob(draws), distribution.log_prob(draws))
    assert expanded().shape == draws.shape  # Pyro draws by calling
    assert as_pyro(adapted) is adapted


def test_a_distribution_that_pyro_does_not_know():
    class Own(Normal):
        pass

    with pytest.raises(CapabilityError, match="as_pyro: expected a distribution that Pyro knows; got Own"):
        as_pyro(Own(0.0, 1.0))


def _fail_after(build, holds):
    build()
    assert holds()
    raise ZeroDivisionError


def test_validation_is_off_inside_the_block_only():
    names = [name for name in pyro.settings.get() if name.startswith("validate_")]
    before = {name: pyro.settings.get(name) for name in names}
    with pytest.raises(ZeroDivisionError), without_validation():
        _fail_after(lambda: Normal(0.0, -1.0), lambda: not any(pyro.settings.get(name) for name in names))
    assert {name: pyro.settings.get(name) for name in names} == before
    assert any(before.values())


def test_expansion_keeps_what_given_computes():
    context = torch.randn(3, 1, 2)
    expanded = Given(Shifted(), context).expand((3, 4))
    x = torch.randn(3, 4, 2)
    torch.testing.assert_close(expanded.log_prob(x), Normal(context, 1.0).log_prob(x).sum(-1))

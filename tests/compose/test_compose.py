"""Composites: what they can do follows from their parts, they score as they draw, and they nest."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Cauchy, Independent, Normal, OneHotCategorical, Poisson, constraints

from probgen import (
    ELBO,
    IWAE,
    VIMCO,
    Batch,
    BoundedLikelihood,
    CapabilityError,
    ConfigurationError,
    Density,
    Invertible,
    LatentVariable,
    Reparameterized,
    Sampler,
    ShapeError,
    SupportError,
    as_model,
    fit,
    run_pair,
)
from probgen.capabilities import capabilities
from probgen.compose import Chain, Conditional, Dequantized, Latent, Mixture, Pushforward, Standardized
from probgen.compose.cells import Cells, Placement
from probgen.testing import assert_samples_match


class Silent(nn.Module, Sampler):
    """Draws and cannot score."""

    event_shape, context_shape, support = torch.Size(), None, constraints.real

    def _sample(self, n, context):
        return torch.randn(n)


class Scaling(nn.Module, Density, Reparameterized, Invertible):
    """A bijection by factors, of a standard normal base; with a context, the factors depend on it."""

    def __init__(self, size=2, *, context_size=None):
        super().__init__()
        self.event_shape, self.support = torch.Size([size]), constraints.real
        self.context_shape = None if context_size is None else torch.Size([context_size])
        self.log_factor = nn.Parameter(torch.linspace(-0.5, 0.5, size))
        self.of_context = None if context_size is None else nn.Linear(context_size, size)

    def _factors(self, context):
        return self.log_factor if context is None else self.log_factor + self.of_context(context)

    def _transform(self, x, context):
        factors = self._factors(context).expand_as(x)
        return x * factors.exp(), factors.sum(-1)

    def _inverse(self, z, context):
        factors = self._factors(context).expand_as(z)
        return z * (-factors).exp(), -factors.sum(-1)

    def _log_prob(self, x, context):
        z, log_det = self._transform(x, context)
        return Normal(0.0, 1.0).log_prob(z).sum(-1) + log_det

    def _rsample(self, n, context):
        return self._inverse(torch.randn(n, *self.event_shape), context)[0]


class Affine(nn.Module, Density, Reparameterized):
    """A normal law around an affine function of the context."""

    def __init__(self, size, context_size):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([size]), torch.Size([context_size]), constraints.real
        self.mean = nn.Linear(context_size, size)

    def _log_prob(self, x, context):
        return Normal(self.mean(context), 0.7).log_prob(x).sum(-1)

    def _rsample(self, n, context):
        return self.mean(context) + 0.7 * torch.randn(n, *self.event_shape)


class Bits(nn.Module, Density, Sampler):
    """Bits whose logits are affine in the context."""

    def __init__(self, size, context_size):
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([size]), torch.Size([context_size])
        self.support = constraints.boolean
        self.logits = nn.Linear(context_size, size)

    def _log_prob(self, x, context):
        return Bernoulli(logits=self.logits(context)).log_prob(x).sum(-1)

    def _sample(self, n, context):
        return torch.bernoulli(self.logits(context).sigmoid())


def normal(size):
    return Independent(Normal(torch.zeros(size), torch.ones(size)), 1)


class TestMixture:
    def test_it_scores_as_it_draws(self):
        mixture = Mixture(Normal(-2.0, 1.0), Mixture(Normal(2.0, 0.5), Cauchy(0.0, 1.0)), weights=[1.0, 3.0])
        assert_samples_match(mixture, mixture, seed=0)

    def test_the_wrong_weights_are_seen(self):
        parts = Normal(-2.0, 1.0), Normal(2.0, 0.5)
        with pytest.raises(AssertionError):
            assert_samples_match(Mixture(*parts), Mixture(*parts, weights=[1.0, 2.0]), seed=0)

    def test_the_density_is_the_weighted_sum(self):
        x = torch.linspace(-3, 3, 7)
        mixture = Mixture(Normal(-1.0, 1.0), Normal(1.0, 2.0), weights=[1.0, 4.0])
        expected = 0.2 * Normal(-1.0, 1.0).log_prob(x).exp() + 0.8 * Normal(1.0, 2.0).log_prob(x).exp()
        torch.testing.assert_close(mixture.log_prob(x).exp(), expected)
        torch.testing.assert_close(mixture.responsibilities(x).sum(-1), torch.ones(7))

    def test_it_can_what_all_its_parts_can(self):
        assert capabilities(Mixture(Normal(0.0, 1.0), Normal(1.0, 1.0))) == {Density, Sampler}
        half = Mixture(Normal(0.0, 1.0), Silent())
        assert capabilities(half) == {Sampler}
        assert half.sample((5,)).shape == (5,)
        with pytest.raises(CapabilityError, match=r"Mixture\.log_prob"):
            half.log_prob(torch.zeros(2))

    def test_of_conditional_models(self):
        mixture = Mixture(Affine(2, 3), Affine(2, 3))
        context = torch.randn(4, 3)
        assert mixture.log_prob(torch.zeros(2), context).shape == (4,)
        assert mixture.sample((6,), context).shape == (6, 4, 2)

    @pytest.mark.parametrize(
        ("parts", "options", "error"),
        [
            ((), {}, ConfigurationError),
            ((Normal(0.0, 1.0), normal(2)), {}, ShapeError),
            ((Normal(0.0, 1.0), Poisson(1.0)), {}, ShapeError),
            ((Normal(0.0, 1.0),), {"weights": [0.0]}, ConfigurationError),
            ((Normal(0.0, 1.0),), {"weights": [1.0, 1.0]}, ConfigurationError),
        ],
    )
    def test_refusals(self, parts, options, error):
        with pytest.raises(error):
            Mixture(*parts, **options)


class TestConditional:
    def test_each_label_has_its_model(self):
        by_label = Conditional(Normal(-3.0, 1.0), Normal(3.0, 2.0))
        x = torch.randn(5)
        for label, part in enumerate((Normal(-3.0, 1.0), Normal(3.0, 2.0))):
            torch.testing.assert_close(by_label.log_prob(x, torch.eye(2)[label]), part.log_prob(x))
            assert_samples_match(by_label, by_label, context=torch.eye(2)[label], seed=label)

    def test_draws_stand_where_their_label_does(self):
        by_label = Conditional(Normal(-100.0, 1.0), Normal(100.0, 1.0))
        labels = torch.tensor([0, 1, 1, 0, 1])
        for draws in (by_label.sample((3,), torch.eye(2)[labels]), by_label.rsample((3,), torch.eye(2)[labels])):
            assert ((draws > 0) == labels.bool()).all()

    def test_it_can_what_all_its_models_can(self):
        assert capabilities(Conditional(Normal(0.0, 1.0))) == {Density, Sampler, Reparameterized}
        assert capabilities(Conditional(Poisson(1.0))) == {Density, Sampler}

    def test_models_with_a_context_are_refused(self):
        with pytest.raises(ShapeError, match="conditional already"):
            Conditional(Affine(2, 3))


class TestStandardized:
    def test_it_is_the_shifted_and_scaled_law(self):
        x = torch.randn(6, 2)
        shift, scale = torch.tensor([1.0, -2.0]), torch.tensor([3.0, 0.5])
        model = Standardized(normal(2), shift=shift, scale=scale)
        torch.testing.assert_close(model.log_prob(x), Independent(Normal(shift, scale), 1).log_prob(x))
        draws, scores = model.rsample_and_log_prob((50,))
        torch.testing.assert_close(scores, model.log_prob(draws))

    def test_the_log_determinants_are_those_of_its_map(self):
        model = Standardized(Scaling(2, context_size=1), shift=1.0, scale=torch.tensor([2.0, 3.0])).double()
        x, context = torch.randn(2, dtype=torch.float64), torch.randn(1, dtype=torch.float64)
        z, log_det = model.transform(x, context)
        jacobian = torch.autograd.functional.jacobian(lambda each: model.transform(each, context)[0], x)
        torch.testing.assert_close(log_det, torch.linalg.slogdet(jacobian).logabsdet)
        back, inverse_log_det = model.inverse(z, context)
        torch.testing.assert_close(back, x)
        torch.testing.assert_close(inverse_log_det, -log_det)

    def test_its_powers_are_the_models(self):
        assert capabilities(Standardized(Normal(0.0, 1.0), shift=0.0, scale=1.0)) == {Density, Sampler, Reparameterized}
        assert Invertible in capabilities(Standardized(Scaling(), shift=0.0, scale=1.0))
        with pytest.raises(CapabilityError, match=r"Standardized.transform"):
            Standardized(Normal(0.0, 1.0), shift=0.0, scale=1.0).transform(torch.zeros(2))

    def test_of_data(self):
        x = torch.randn(1000, 2) * 5 + 3
        model = Standardized.of(normal(2), x)
        torch.testing.assert_close(model.sample((4000,)).std(0), x.std(0), rtol=0.1, atol=0)

    @pytest.mark.parametrize(
        ("model", "options", "error"),
        [
            (Normal(0.0, 1.0), {"shift": 0.0, "scale": 0.0}, ConfigurationError),
            (normal(2), {"shift": torch.zeros(3), "scale": 1.0}, ConfigurationError),
            (Poisson(1.0), {"shift": 0.0, "scale": 1.0}, SupportError),
        ],
    )
    def test_refusals(self, model, options, error):
        with pytest.raises(error):
            Standardized(model, **options)


class TestPushforward:
    def test_a_normal_base_gives_back_the_flow(self):
        flow = Scaling()
        x = torch.randn(7, 2)
        torch.testing.assert_close(Pushforward(normal(2), flow).log_prob(x), flow.log_prob(x))

    def test_drawing_and_scoring_agree(self):
        model = Pushforward(Mixture(normal(2), Standardized(normal(2), shift=3.0, scale=0.5)), Scaling(context_size=1))
        context = torch.randn(4, 1)
        assert capabilities(model) == {Density, Sampler}
        assert model.sample((3,), context).shape == (3, 4, 2)
        flow = Pushforward(normal(2), Scaling(context_size=1))
        draws, scores = flow.rsample_and_log_prob((3,), context)
        torch.testing.assert_close(scores, flow.log_prob(draws, context))

    def test_on_the_line(self):
        model = Pushforward(Independent(Cauchy(torch.zeros(1), torch.ones(1)), 1), Scaling(1))
        assert_samples_match(model, model, seed=0)

    def test_refusals(self):
        with pytest.raises(ShapeError):
            Pushforward(normal(3), Scaling(2))
        with pytest.raises(CapabilityError):
            Pushforward(normal(2), as_model(normal(2)))


class TestChain:
    def test_the_chain_rule(self):
        joint = Chain(normal(2), Affine(3, 2))
        draws, scores = joint.rsample_and_log_prob((5,))
        a, b = draws.split([2, 3], -1)
        torch.testing.assert_close(scores, as_model(normal(2)).log_prob(a) + joint.second.log_prob(b, a))
        torch.testing.assert_close(joint.log_prob(draws), scores)

    def test_of_a_label_and_what_follows_from_it(self):
        kind = OneHotCategorical(torch.tensor([0.8, 0.2]))
        joint = Chain(kind, Conditional(Normal(-100.0, 1.0), Normal(100.0, 1.0)))
        draws = joint.sample((200,))
        assert ((draws[:, 2] > 0) == draws[:, 1].bool()).all()
        assert joint.log_prob(draws).isfinite().all()
        assert capabilities(joint) == {Density, Sampler}

    def test_conditional_and_longer(self):
        joint = Chain(Chain(Affine(1, 2), Affine(2, 3)), Affine(1, 5))
        assert joint.log_prob(torch.zeros(4), torch.randn(6, 2)).shape == (6,)

    def test_a_misfit(self):
        with pytest.raises(ShapeError, match="contexts"):
            Chain(normal(2), Affine(3, 3))


class Squashed(Affine):
    """Noise in the unit interval, by a sigmoid."""

    def __init__(self, size):
        super().__init__(size, size)
        self.support = constraints.unit_interval

    def _log_prob(self, x, context):
        v = torch.logit(x, eps=1e-6)
        slopes = nn.functional.logsigmoid(v) + nn.functional.logsigmoid(-v)
        return super()._log_prob(v, context) - slopes.sum(-1)

    def _rsample(self, n, context):
        return torch.sigmoid(super()._rsample(n, context))


class TestDequantized:
    def test_the_bound_is_below_and_the_masses_match(self):
        die = Dequantized(Normal(3.0, 1.5), levels=6)
        levels = torch.arange(6.0)
        masses = Normal(3.0, 1.5).cdf(levels + 1) - Normal(3.0, 1.5).cdf(levels)
        bounds = torch.stack([die.log_prob_bound(levels) for _ in range(4000)])
        assert (bounds.mean(0) <= masses.log() + 5 * bounds.std(0) / 4000**0.5).all()
        torch.testing.assert_close(bounds.exp().mean(0), masses, rtol=0.05, atol=0)

    def test_it_draws_levels(self):
        draws = Dequantized(normal(3), levels=2).sample((50,))
        assert draws.shape == (50, 3)
        assert set(draws.unique().tolist()) <= {0.0, 1.0}
        assert capabilities(Dequantized(normal(3), levels=2)) == {BoundedLikelihood, LatentVariable, Sampler}

    def test_the_position_is_a_latent_whose_weights_are_the_bound(self):
        torch.manual_seed(0)
        die = Dequantized(Scaling(2, context_size=3), levels=256)  # float32 rounds 255 + u up to 256 now and then
        x, context = torch.tensor([[0, 255]]).expand(20_000, 2), torch.randn(3).expand(20_000, 3)
        weights = run_pair(die, x, context, num_particles=2).log_weights
        assert weights.isfinite().all()
        again = die.log_prob_bound(x, context)
        assert abs(weights.mean() - again.mean()) < 5 * (again.std() / 20_000**0.5) * 1.5

    @pytest.mark.parametrize("noise", [None, Squashed(2)], ids=["uniform", "learned"])
    @pytest.mark.parametrize("estimator", [None, IWAE(num_particles=3)], ids=["default", "iwae"])
    def test_it_trains(self, noise, estimator):
        torch.manual_seed(0)
        model = Dequantized(Standardized(Scaling(2), shift=3.0, scale=1.0), levels=6, noise=copy.deepcopy(noise))
        before = {name: value.clone() for name, value in model.named_parameters()}
        x = torch.randint(0, 6, (80, 2))
        bound = model.log_prob_bound(x.repeat(50, 1)).mean()
        result = fit(model, x, estimator, steps=60, learning_rate=0.05)
        assert result.steps == {"main": 60}
        assert all((value != before[name]).any() for name, value in model.named_parameters())
        assert model.log_prob_bound(x.repeat(50, 1)).mean() > bound + 0.1

    def test_a_position_outside_its_cell_is_impossible(self):
        law = Cells((2,), levels=4)
        assert law.log_prob(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.5, 3.9]])).item() == 0.0
        assert law.log_prob(torch.tensor([[1.0, 3.0]]), torch.tensor([[1.5, 2.9]])).item() == -math.inf
        assert law.sample((), torch.tensor([[-0.5, 7.2]])).tolist() == [[0.0, 3.0]]
        placement = Placement((2,), levels=4, noise=None)
        assert placement.log_prob(torch.tensor([[0.5, 4.2]]), torch.tensor([[0, 3]])).item() == -math.inf

    def test_refusals(self):
        with pytest.raises(ConfigurationError):
            Dequantized(normal(3), levels=1)
        with pytest.raises(SupportError):
            Dequantized(Poisson(2.0), levels=4)
        with pytest.raises(SupportError, match="unit interval"):
            Dequantized(normal(3), levels=4, noise=Affine(3, 3))


class TestLatent:
    def test_the_linear_gaussian_one_reaches_its_evidence(self):
        torch.manual_seed(0)
        model = Latent(prior=normal(1), decoder=Affine(1, 1), posterior=Affine(1, 1)).double()
        slope, bias = model.decoder.mean.weight.item(), model.decoder.mean.bias.item()
        x = torch.randn(200, 1, dtype=torch.float64)
        evidence = Normal(bias, (slope**2 + 0.7**2) ** 0.5).log_prob(x)[:, 0]
        bounds = torch.stack([model.log_prob_bound(x) for _ in range(500)])
        assert bounds.mean() < evidence.mean()
        torch.testing.assert_close(bounds.exp().mean(0).log().mean(), evidence.mean(), rtol=0.05, atol=0.05)

    @pytest.mark.parametrize("estimator", [ELBO(), VIMCO(num_particles=3)], ids=["elbo", "vimco"])
    def test_it_trains(self, estimator):
        posterior = Affine(2, 3) if isinstance(estimator, ELBO) else Bits(2, 3)
        prior = normal(2) if isinstance(estimator, ELBO) else Independent(Bernoulli(torch.full((2,), 0.5)), 1)
        model = Latent(prior=prior, decoder=Bits(3, 2), posterior=posterior)
        before = {name: value.clone() for name, value in model.named_parameters()}
        fit(model, torch.bernoulli(torch.full((60, 3), 0.5)), estimator, steps=3)
        assert all((value != before[name]).any() for name, value in model.named_parameters())
        assert LatentVariable in capabilities(model)

    def test_with_a_context_and_a_mixture_as_prior(self):
        model = Latent(
            prior=Mixture(normal(2), Standardized(normal(2), shift=2.0, scale=0.5)),
            decoder=Bits(3, 3),
            posterior=Affine(2, 4),
            context_shape=(1,),
        )
        context = torch.randn(5, 1)
        x = model.sample((), context)
        assert model.log_prob_bound(x, context).shape == (5,)
        batch = Batch(x, context=context)
        (phase,) = ELBO().phases(model)
        assert phase(model, batch, {}).surrogate.isfinite()

    def test_misfits(self):
        with pytest.raises(ShapeError, match="decoder"):
            Latent(prior=normal(2), decoder=Bits(3, 3), posterior=Affine(2, 3))
        with pytest.raises(ShapeError, match="posterior"):
            Latent(prior=normal(2), decoder=Bits(3, 2), posterior=Affine(1, 3))

"""VIMCO: unbiased by enumeration, stable, and what the enumeration says of wrong versions."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers.enumerable_pairs import (
    BeliefChain,
    BeliefNet,
    Mixed,
    exact_means,
    exact_moments,
    flat_gradient,
    gradient,
    relative_error,
)
from helpers.pairs import linear_gaussian_pair
from probgen import IWAE, REINFORCE, VIMCO, Batch, CapabilityError, ConfigurationError, PyroPair, as_model, run_pair
from probgen.claims import Consistent, LowerBound, Unbiased
from probgen.estimator import Estimate
from probgen.estimators.importance import log_mean_exp
from probgen.estimators.vimco import bounds_without_each

UNBIASED = 1e-10
X = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)


class TestByEnumeration:
    @pytest.mark.parametrize(
        ("programs", "num_particles"), [(BeliefNet(2), 3), (BeliefChain(bottom_up=True), 2)], ids=["net", "chain"]
    )
    def test_value_and_gradient_are_unbiased(self, programs, num_particles):
        pair = programs.pair()
        (phase,) = VIMCO(num_particles=num_particles).phases(pair)
        moments, exact = exact_moments(pair, lambda: phase(pair, Batch(X), {})), programs.bound(X, num_particles)
        torch.testing.assert_close(moments["value"].mean, exact.detach())
        assert relative_error(moments["gradient"].mean, gradient(exact, pair)) < UNBIASED

    @pytest.mark.parametrize("bit_first", [True, False])
    def test_mixed_with_reparameterised_sites(self, bit_first):
        x, programs = torch.tensor([0.7], dtype=torch.float64), Mixed(bit_first=bit_first)
        pair = programs.pair()
        (phase,) = VIMCO(num_particles=2).phases(pair)
        value, slope = exact_means(pair, lambda: phase(pair, Batch(x), {}), nodes=programs.nodes)
        exact = programs.bound(x, 2)
        torch.testing.assert_close(value, exact.detach())
        assert relative_error(slope, gradient(exact, pair)) < UNBIASED

    def test_the_bound_rises_to_the_evidence(self):
        programs = BeliefNet(2)
        bounds = [programs.bound(X, num_particles).item() for num_particles in (1, 2, 3, 4)]
        assert bounds == sorted(bounds)
        assert bounds[-1] < programs.evidence(X).item()
        assert bounds[0] == pytest.approx(programs.elbo(X).item())

    def test_it_is_not_the_gradient_of_another_bound(self):
        programs = BeliefNet(2)
        pair = programs.pair()
        (phase,) = VIMCO(num_particles=3).phases(pair)
        found = exact_moments(pair, lambda: phase(pair, Batch(X), {}))["gradient"].mean
        assert relative_error(found, gradient(programs.elbo(X), pair)) > 0.05
        assert relative_error(found, gradient(programs.bound(X, 2), pair)) > 0.01

    def test_judging_particles_one_by_one_saves_variance(self):
        variances = []
        for estimate in (lambda pair: VIMCO(num_particles=3).phases(pair)[0](pair, Batch(X), {}), shared_signal):
            pair = BeliefNet(2).pair()
            variances.append(exact_moments(pair, lambda pair=pair, e=estimate: e(pair))["gradient"].variance.sum())
        assert variances[0] < 0.3 * variances[1]


def shared_signal(pair):
    """Every particle's score with the bound itself: unbiased, and what VIMCO improves on."""
    return nearly(pair, lambda log_weights: torch.zeros_like(log_weights))


def nearly(pair, without, *, undetached=False, score=1.0, pathwise=True):
    """Return VIMCO of three particles with another \\hat L_{-k}, or with another mistake."""
    trace = run_pair(pair, X, num_particles=3)
    log_weights = trace.log_weights
    bound = log_mean_exp(log_weights)
    gains = bound - without(log_weights)
    surrogate = ((gains if undetached else gains.detach()) * score * trace.log_guide).sum(0) + (bound if pathwise else 0)
    return Estimate(-surrogate.mean(), bound.detach())


def self_including(log_weights):
    """Put the geometric mean of all weights, the particle's own among them, in the place of its weight."""
    means = log_weights.mean(0, keepdim=True)
    own = torch.eye(3, dtype=torch.bool)[..., None]
    return torch.where(own, means, log_weights.expand(3, *log_weights.shape)).logsumexp(1) - math.log(3)


class TestWrongTwins:
    def error(self, without=bounds_without_each, **mistake):
        programs = BeliefNet(2)
        pair = programs.pair()
        moments = exact_moments(pair, lambda: nearly(pair, without, **mistake))
        return relative_error(moments["gradient"].mean, gradient(programs.bound(X, 3), pair))

    def test_the_right_one_is_right(self):
        assert self.error() < UNBIASED

    def test_self_inclusion_is_seen(self):
        assert self.error(self_including) > 1e-2

    def test_undetached_signals_are_seen(self):
        assert self.error(undetached=True) > 1e-2

    @pytest.mark.parametrize(("score", "size"), [(0.999, 1e-5), (-1.0, 1e-2)])
    def test_a_score_of_another_size_or_sign_is_seen(self, score, size):
        assert self.error(score=score) > size

    def test_a_missing_pathwise_part_is_seen(self):
        assert self.error(pathwise=False) > 0.1


class TestBoundsWithoutEach:
    def test_against_the_definition(self):
        log_weights = torch.randn(4, 3, dtype=torch.float64)
        found = bounds_without_each(log_weights)
        for k in range(4):
            others = torch.cat([log_weights[:k], log_weights[k + 1 :]])
            expected = log_mean_exp(torch.cat([others, others.mean(0, keepdim=True)]))
            torch.testing.assert_close(found[k], expected)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_a_weight_that_dominates_cancels_nothing(self, dtype):
        log_weights = torch.tensor([[-1000.0], [0.0], [-1000.5]], dtype=dtype)
        found = bounds_without_each(log_weights).flatten().tolist()
        assert found[0] == pytest.approx(-math.log(3), abs=1e-6)
        assert found[1] == pytest.approx(-1000.25 + math.log((math.exp(0.25) + math.exp(-0.25) + 1) / 3), rel=1e-6)

    def test_an_impossible_particle_costs_the_others_nothing(self):
        found = bounds_without_each(torch.tensor([[-math.inf], [0.0], [0.0]]))
        assert found.flatten().tolist() == pytest.approx([0.0, math.log(1 / 3), math.log(1 / 3)])


@pytest.mark.parametrize("estimator", [VIMCO(num_particles=3), REINFORCE(num_particles=3)], ids=["VIMCO", "REINFORCE"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("size", [30.0, -30.0, 300.0])
def test_nearly_certain_programs_give_finite_numbers(estimator, dtype, size):
    programs = BeliefNet()
    with torch.no_grad():
        programs.q.bias.fill_(size)
        programs.p.weight.mul_(size)
    pair = programs.pair().to(dtype)
    estimate = estimator.phases(pair)[0](pair, Batch(X.to(dtype)), {})
    assert estimate.value.isfinite().all()
    assert flat_gradient(estimate.surrogate, pair).isfinite().all()


class TestStatements:
    def test_claims(self):
        claims = VIMCO().claims
        assert claims.value == (Unbiased("iwae[5]"), LowerBound("log_prob"), Consistent("log_prob", "num_particles"))
        assert claims.for_parameter("anything") == Unbiased("grad:iwae[5]")

    def test_options_are_checked(self):
        with pytest.raises(ConfigurationError, match=r"VIMCO: expected num_particles of at least 2; got 1\. Use REINFORCE"):
            VIMCO(num_particles=1)

    def test_it_needs_a_latent_variable(self):
        with pytest.raises(CapabilityError, match="VIMCO: expected a model that is LatentVariable"):
            VIMCO().check(as_model(dist.Normal(0.0, 1.0)))

    def test_examples_that_share_a_latent_are_refused(self):
        def model(x):
            bit = pyro.sample("bit", dist.Bernoulli(0.5))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(bit, 1.0), obs=x)

        pair = PyroPair(model, lambda x: pyro.sample("bit", dist.Bernoulli(0.5)), event_shape=())
        with pytest.raises(CapabilityError, match="VIMCO: expected every site inside the plate of the batch; got 'bit'"):
            VIMCO().phases(pair)[0](pair, Batch(torch.zeros(3)), {})

    def test_continuous_latents_alone_make_it_the_pathwise_bound(self):
        pair, _ = linear_gaussian_pair()
        found = []
        for estimator in (VIMCO(num_particles=3), IWAE(num_particles=3)):
            torch.manual_seed(1)
            estimate = estimator.phases(pair)[0](pair, Batch(torch.ones(2, 3, dtype=torch.float64)), {})
            found.append((estimate.value, flat_gradient(estimate.surrogate, pair)))
        torch.testing.assert_close(*found)

    @settings(max_examples=20)
    @given(
        num_particles=st.integers(2, 4),
        size=st.integers(1, 4),
        particles=st.sampled_from(["fold", "plate", "loop"]),
        gradients=st.booleans(),
    )
    def test_shapes(self, num_particles, size, particles, gradients):
        pair = BeliefNet().pair(particles=particles)
        (phase,) = VIMCO(num_particles=num_particles).phases(pair)
        with torch.set_grad_enabled(gradients):
            estimate = phase(pair, Batch(torch.ones(size, 3, dtype=torch.float64)), {})
        assert estimate.value.shape == (size,)
        assert estimate.surrogate.shape == ()
        assert not any(tensor.requires_grad for tensor in (estimate.value, *estimate.info.values()))

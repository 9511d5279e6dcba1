"""The importance-weighted bound and its three gradients: against exact values, and against wrong versions of themselves."""

from __future__ import annotations

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pyro.infer.autoguide import AutoNormal
from torch import nn

from helpers.enumerable_pairs import (
    BeliefNet,
    Gaussian,
    Hierarchy,
    exact_means,
    exact_moments,
    flat_gradient,
    gradient,
    part,
    relative_error,
)
from helpers.pairs import linear_gaussian_pair
from probgen import ELBO, IWAE, Batch, CapabilityError, ConfigurationError, PyroPair, as_model, run_pair
from probgen.claims import Biased, Consistent, LowerBound, Unbiased
from probgen.estimator import Estimate
from probgen.estimators.importance import effective_particles, log_mean_exp
from probgen.estimators.iwae_gradients import STL, DReG, Pathwise
from probgen.estimators.site_draws import without_gradient

GRADIENTS = [Pathwise(), DReG(), STL()]
UNBIASED = 1e-10
X = torch.tensor([0.7], dtype=torch.float64)


def moments(estimator, programs, pair=None):
    """Return the exact moments of an estimator at `X`, the exact bound, and the pair."""
    pair = pair or programs.pair()
    (phase,) = estimator.phases(pair)
    return exact_moments(pair, lambda: phase(pair, Batch(X), {})), programs.bound(X, estimator.num_particles), pair


class TestAgainstQuadrature:
    @pytest.mark.parametrize("gradient_of", GRADIENTS, ids=repr)
    @pytest.mark.parametrize("num_particles", [1, 2])
    def test_value_and_gradient(self, gradient_of, num_particles):
        found, exact, pair = moments(IWAE(num_particles=num_particles, gradient=gradient_of), Gaussian())
        assert found["value"].mean.item() == pytest.approx(exact.item(), abs=UNBIASED)
        target = gradient(exact, pair)
        biased = isinstance(gradient_of, STL) and num_particles > 1
        assert (relative_error(found["gradient"].mean, target) < UNBIASED) != biased
        assert relative_error(part(pair, found["gradient"].mean, "p"), part(pair, target, "p")) < UNBIASED

    def test_sticking_the_landing_is_biased_by_what_it_says(self):
        programs = Gaussian()
        found, exact, pair = moments(IWAE(num_particles=2, gradient=STL()), programs)
        claimed = gradient(exact, pair)
        target = gradient(programs.quantity("stl[2]", X), pair)
        assert relative_error(found["gradient"].mean, target) < UNBIASED
        assert relative_error(part(pair, found["gradient"].mean, "q"), part(pair, claimed, "q")) > 0.1

    def test_two_exact_values_agree(self):
        programs = Gaussian()
        bounds = [programs.bound(X, num_particles) for num_particles in (1, 2)]
        assert bounds[0] < bounds[1] < programs.evidence(X)
        torch.testing.assert_close(bounds[0], programs.elbo(X))

    def test_doubly_reparameterised_gradients_vary_less(self):
        variances = {}
        for gradient_of in GRADIENTS[:2]:
            found, _, pair = moments(IWAE(num_particles=2, gradient=gradient_of), Gaussian())
            variances[type(gradient_of)] = part(pair, found["gradient"].variance, "q").sum()
        assert variances[DReG] < 0.5 * variances[Pathwise]


def wrong_estimate(pair, batch, *, analytic_kl=False, detached=True, sign=1.0):
    """Return the pathwise estimate of two particles, or something that is nearly it."""
    trace = run_pair(pair, batch.x, num_particles=2)
    log_weights = trace.log_weights
    if analytic_kl:
        log_weights = trace.sites["x"].log_p - trace.sites["z"].analytic_kl
    weights = log_weights.softmax(0)
    surrogate = (weights.detach() if detached else weights) * log_weights
    return Estimate(-sign * surrogate.sum(0).mean(), log_mean_exp(log_weights).detach())


class TestWrongTwins:
    """The pathwise gradient is unbiased under any law of the noise, so a coarse rule serves."""

    def error(self, **mistake):
        programs = Gaussian(nodes=5)
        pair = programs.pair()
        value, slope = exact_means(pair, lambda: wrong_estimate(pair, Batch(X), **mistake), nodes=5)
        exact = programs.bound(X, 2)
        return relative_error(value, exact.detach()), relative_error(slope, gradient(exact, pair))

    def test_the_right_one_is_right(self):
        assert max(self.error()) < UNBIASED

    def test_a_closed_form_divergence_inside_the_weight_is_seen(self):
        assert min(self.error(analytic_kl=True)) > 1e-3

    def test_undetached_weights_are_seen(self):
        assert self.error(detached=False)[1] > 1e-2

    def test_a_wrong_sign_is_seen(self):
        assert self.error(sign=-1.0)[1] == pytest.approx(2.0)


class TestHierarchies:
    """Later draws depend on earlier ones, so a gradient along the draws has to follow the chain."""

    x = torch.tensor([0.7, -1.2], dtype=torch.float64)

    @pytest.mark.parametrize("gradient_of", GRADIENTS, ids=repr)
    def test_one_particle_is_unbiased(self, gradient_of):
        programs = Hierarchy()
        pair = programs.pair()
        (phase,) = IWAE(num_particles=1, gradient=gradient_of).phases(pair)
        value, found = exact_means(pair, lambda: phase(pair, Batch(X), {}), nodes=programs.nodes)
        exact = programs.elbo(X)
        torch.testing.assert_close(value, exact.detach())
        assert relative_error(found, gradient(exact, pair)) < UNBIASED

    def defined(self, pair, power, *, naive=False):
        """Return the gradient of three particles by its definition.

        Scores are taken at the draws with copies of the parameters that carry no gradient. `naive` holds each distribution
        of the guide fixed instead, and with it the way from an earlier draw to a later score.
        """
        programs = pair.programs
        trace = run_pair(pair, self.x, num_particles=3)
        z = {name: trace.sites[name].value for name in ("z1", "z2")}
        fixed = copy.deepcopy(programs).requires_grad_(False)
        log_q = fixed.log_q(self.x, **z)
        if naive:
            z1, z2 = z["z1"], z["z2"]
            log_q = dist.Normal(fixed.q.below * self.x, fixed.q.log_scale.exp()).log_prob(z2)
            log_q = log_q + dist.Normal(fixed.q.link * z2.detach() + 0.1 * self.x, 0.7).log_prob(z1)
        normalised = trace.log_weights.detach().softmax(0)
        along = normalised**power * (fixed.log_p(self.x, **z) - log_q)
        generative = normalised * programs.log_p(self.x, **{name: value.detach() for name, value in z.items()})
        return flat_gradient(-(along + generative).sum(0).mean(), programs)

    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    @pytest.mark.parametrize(("gradient_of", "power"), [(DReG(), 2), (STL(), 1)])
    def test_each_draw_follows_the_definition(self, particles, gradient_of, power):
        pair = Hierarchy().pair(particles=particles)
        (phase,) = IWAE(num_particles=3, gradient=gradient_of).phases(pair)
        gradients = []
        for compute in (
            lambda: flat_gradient(phase(pair, Batch(self.x), {}).surrogate, pair.programs),
            lambda: self.defined(pair, power),
            lambda: self.defined(pair, power, naive=True),
        ):
            torch.manual_seed(3)
            gradients.append(compute())
        torch.testing.assert_close(gradients[0], gradients[1])
        assert relative_error(gradients[2], gradients[1]) > 1e-2


class TestLinearGaussianAutoencoder:
    x = torch.randn(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    @pytest.mark.parametrize("gradient_of", GRADIENTS, ids=repr)
    def test_with_the_posterior_as_guide_every_value_is_the_evidence(self, gradient_of):
        pair, model = linear_gaussian_pair(exact=True, inference=("model_program.weight",))
        (phase,) = IWAE(num_particles=3, gradient=gradient_of).phases(pair)
        estimate = phase(pair, Batch(self.x), {})
        torch.testing.assert_close(estimate.value, model.log_evidence(self.x).detach(), rtol=0, atol=1e-9)
        torch.testing.assert_close(estimate.info["effective_particles"], torch.tensor(3.0, dtype=torch.float64))

    @pytest.mark.parametrize("gradient_of", GRADIENTS, ids=repr)
    def test_where_the_guide_is_the_posterior_its_gradient_vanishes_without_the_score(self, gradient_of):
        """Guide and posterior are one Gaussian, but the guide's parameters are its own."""

        class Guide(nn.Module):
            def __init__(self, posterior):
                super().__init__()
                self.mean = nn.Parameter(posterior.loc.detach().clone())
                self.precision = posterior.precision_matrix.detach()

            def forward(self, x):
                with pyro.plate("data", len(x)):
                    pyro.sample("z", dist.MultivariateNormal(self.mean, precision_matrix=self.precision))

        _, model = linear_gaussian_pair()
        pair = PyroPair(model, Guide(model.posterior(self.x)), event_shape=(3,), particles="plate")
        (phase,) = IWAE(num_particles=3, gradient=gradient_of).phases(pair)
        (slope,) = torch.autograd.grad(phase(pair, Batch(self.x), {}).surrogate, [pair.guide_program.mean])
        assert (slope.abs().max().item() < 1e-9) == (not isinstance(gradient_of, Pathwise))


class TestOtherGuides:
    @pytest.mark.parametrize("gradient_of", [DReG(), STL()], ids=repr)
    def test_autoguides_are_cut_too(self, gradient_of):
        _, model = linear_gaussian_pair()
        pair = PyroPair(model, AutoNormal(model), event_shape=(3,), particles="loop")
        batch = Batch(torch.randn(1, 3, dtype=torch.float64))
        pair.initialize(batch)
        pair.to(torch.float64)
        (phase,) = IWAE(num_particles=1, gradient=gradient_of).phases(pair)
        torch.manual_seed(5)
        path = torch.autograd.grad(phase(pair, batch, {}).surrogate, list(phase.parameters.values()))
        torch.manual_seed(5)
        (whole,) = IWAE(num_particles=1).phases(pair)
        full = torch.autograd.grad(whole(pair, batch, {}).surrogate, list(whole.parameters.values()))
        torch.manual_seed(5)
        score = torch.autograd.grad(
            run_pair(pair, batch.x, draw=without_gradient).log_guide.sum(),
            list(whole.parameters.values()),
            allow_unused=True,
        )
        for one, other, less in zip(full, path, score, strict=True):
            torch.testing.assert_close(one, other + (0 if less is None else less))

    def test_a_guide_without_parameters_has_nothing_along_its_draws(self):
        pair, model = linear_gaussian_pair()
        pair.guide_program.requires_grad_(False)
        (phase,) = IWAE(num_particles=3, gradient=DReG()).phases(pair)
        surrogate = phase(pair, Batch(torch.randn(2, 3, dtype=torch.float64)), {}).surrogate
        assert torch.autograd.grad(surrogate, [model.weight])[0].abs().sum() > 0


class TestStatements:
    def test_claims(self):
        claims = IWAE(num_particles=8).claims
        assert claims.value == (Unbiased("iwae[8]"), LowerBound("log_prob"), Consistent("log_prob", "num_particles"))
        assert claims.for_parameter("encoder.weight") == Unbiased("grad:iwae[8]")
        assert IWAE(gradient=DReG()).claims.for_parameter("encoder.weight") == Unbiased("grad:iwae[5]")

    def test_sticking_the_landing_claims_no_more_than_it_keeps(self):
        claims = IWAE(num_particles=2, gradient=STL()).claims
        assert claims.for_parameter("inference.encoder.weight") == Biased("grad:iwae[2]", "grad:stl[2]")
        assert claims.for_parameter("generative.decoder.weight") == Unbiased("grad:iwae[2]")
        assert IWAE(num_particles=1, gradient=STL()).claims.for_parameter("anything") == Unbiased("grad:iwae[1]")

    def test_every_parameter_has_a_claim(self):
        pair, _ = linear_gaussian_pair()
        for gradient_of in GRADIENTS:
            estimator = IWAE(num_particles=2, gradient=gradient_of)
            (phase,) = estimator.phases(pair)
            assert len(phase.parameters) == len(list(pair.parameters()))
            for name in phase.parameters:
                estimator.claims.for_parameter(name)

    def test_names_at_the_shell(self):
        for name, kind in (("pathwise", Pathwise), ("dreg", DReG), ("stl", STL)):
            assert isinstance(IWAE.build(gradient=name).gradient, kind)

    def test_options_are_checked(self):
        with pytest.raises(ConfigurationError, match="IWAE: expected num_particles of at least 1; got 0"):
            IWAE(num_particles=0)

    def test_it_needs_a_latent_variable(self):
        with pytest.raises(CapabilityError, match="IWAE: expected a model that is LatentVariable"):
            IWAE().check(as_model(dist.Normal(0.0, 1.0)))

    def test_discrete_latents_are_refused(self):
        pair = BeliefNet(2).pair()
        (phase,) = IWAE(num_particles=2).phases(pair)
        with pytest.raises(CapabilityError, match=r"IWAE: expected reparameterised latents; got 'z', a .* without rsample"):
            phase(pair, Batch(torch.zeros(1, 3, dtype=torch.float64)), {})

    @pytest.mark.parametrize("gradient_of", GRADIENTS, ids=repr)
    def test_it_runs_without_gradients(self, gradient_of):
        pair, _ = linear_gaussian_pair()
        (phase,) = IWAE(num_particles=3, gradient=gradient_of).phases(pair)
        with torch.no_grad():
            estimate = phase(pair, Batch(torch.randn(4, 3, dtype=torch.float64)), {})
        assert estimate.value.shape == (4,)

    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    @given(num_particles=st.integers(1, 4), size=st.integers(1, 4), choice=st.sampled_from(GRADIENTS))
    def test_shapes(self, particles, num_particles, size, choice):
        pair, _ = linear_gaussian_pair(particles=particles)
        (phase,) = IWAE(num_particles=num_particles, gradient=choice).phases(pair)
        estimate = phase(pair, Batch(torch.randn(size, 3, dtype=torch.float64)), {})
        assert estimate.value.shape == (size,)
        assert estimate.surrogate.shape == ()
        assert not any(tensor.requires_grad for tensor in (estimate.value, *estimate.info.values()))
        assert 1 - 1e-9 <= estimate.info["effective_particles"] <= num_particles + 1e-9

    def test_one_particle_is_the_sampled_elbo(self):
        pair, _ = linear_gaussian_pair()
        batch = Batch(torch.randn(4, 3, dtype=torch.float64))
        values = []
        for estimator in (IWAE(num_particles=1), ELBO(analytic_kl=False)):
            torch.manual_seed(1)
            values.append(estimator.phases(pair)[0](pair, batch, {}).value)
        torch.testing.assert_close(*values)


class TestWeights:
    def test_they_are_stable(self):
        log_weights = torch.tensor([[-2000.0, 900.0, 0.0], [-2001.0, 0.0, 0.0]], dtype=torch.float64)
        expected = [-2000 + (1 + torch.tensor(-1.0).exp()).log().item() - 0.6931471805599453, 900 - 0.6931471805599453, 0.0]
        assert log_mean_exp(log_weights).tolist() == pytest.approx(expected, abs=1e-6)
        assert effective_particles(log_weights)[1:].tolist() == pytest.approx([1.0, 2.0])

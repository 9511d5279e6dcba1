"""The ELBO: its value and gradient against quadrature and closed forms, in both of its forms."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence

from helpers.pairs import Chain, linear_gaussian_pair, standard_errors
from probgen import ELBO, Batch, CapabilityError, ConfigurationError, Objective, PyroPair, as_model, run_pair
from probgen.claims import LowerBound, Unbiased

DRAWS = 4000


def step(pair, batch, **options):
    (phase,) = ELBO(**options).phases(pair)
    estimate = phase(pair, batch, {})
    parameters = list(phase.parameters.values())
    return estimate, torch.autograd.grad(estimate.surrogate, parameters, allow_unused=True)


class Logistic(nn.Module):
    r"""$z \sim N(0, 1)$, $x \sim \mathrm{Bernoulli}(\sigma(a z + b))$: one latent, no closed form for the evidence."""

    def __init__(self):
        super().__init__()
        self.slope, self.bias, self.mean, self.log_scale = (
            nn.Parameter(torch.tensor(value, dtype=torch.float64)) for value in (1.5, -0.4, 0.3, -0.6)
        )

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(()), 1.0))
            pyro.sample("x", dist.Bernoulli(logits=self.slope * z + self.bias), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.mean * (2 * x - 1), self.log_scale.exp()))

    def exact(self, x, beta=1.0):
        """Return the ELBO by Gauss-Hermite quadrature over z, differentiable."""
        nodes, weights = (torch.from_numpy(array) for array in np.polynomial.hermite_e.hermegauss(80))
        weights = weights / math.sqrt(2 * math.pi)
        mean, scale = self.mean * (2 * x - 1), self.log_scale.exp()
        z = mean + scale * nodes[:, None]
        reconstruction = dist.Bernoulli(logits=self.slope * z + self.bias).log_prob(x)
        divergence = kl_divergence(Normal(mean, scale), Normal(torch.zeros_like(mean), 1.0))
        return (weights[:, None] * reconstruction).sum(0) - beta * divergence


def logistic_pair():
    programs = Logistic()
    pair = PyroPair(programs.model, programs.guide, event_shape=())
    pair.programs = programs
    return pair, programs


class TestAgainstQuadrature:
    x = torch.tensor([0.0, 1.0], dtype=torch.float64)

    @pytest.mark.parametrize("analytic_kl", [True, False])
    @pytest.mark.parametrize("beta", [1.0, 0.5, 3.0])
    def test_value_and_gradient_are_unbiased(self, analytic_kl, beta):
        pair, programs = logistic_pair()
        exact = programs.exact(self.x, beta)
        expected = torch.stack(torch.autograd.grad(-exact.mean(), list(pair.parameters())))
        values, gradients = [], []
        for _ in range(DRAWS // 10):
            estimate, gradient = step(pair, Batch(self.x.repeat(10)), beta=beta, analytic_kl=analytic_kl)
            values.append(estimate.value.view(10, 2).mean(0))
            gradients.append(torch.stack(gradient))
        for draws, target in ((values, exact.detach()), (gradients, expected)):
            mean, error = standard_errors(torch.stack(draws))
            assert ((mean - target).abs() < 5 * error + 1e-12).all()
            assert (error < 0.05).all()

    def test_a_wrong_gradient_would_be_seen(self):
        """The twin scores the draw as if it carried no gradient."""
        pair, programs = logistic_pair()
        expected = torch.autograd.grad(-programs.exact(self.x).mean(), [programs.mean])[0]
        gradients = []
        for _ in range(DRAWS // 10):
            x = self.x.repeat(10)
            trace = run_pair(pair, x)
            z = trace.sites["z"].value.detach()
            wrong = dist.Bernoulli(logits=programs.slope * z + programs.bias).log_prob(x) - trace.sites["z"].analytic_kl
            gradients.append(torch.autograd.grad(-wrong.mean(), [programs.mean])[0])
        mean, error = standard_errors(torch.stack(gradients))
        assert (mean - expected).abs() > 5 * error

    def test_it_is_below_the_evidence(self):
        _, programs = logistic_pair()
        nodes, weights = (torch.from_numpy(array) for array in np.polynomial.hermite_e.hermegauss(80))
        likelihood = dist.Bernoulli(logits=programs.slope * nodes[:, None] + programs.bias).log_prob(self.x).exp()
        evidence = (weights[:, None] / math.sqrt(2 * math.pi) * likelihood).sum(0).log()
        assert (programs.exact(self.x) < evidence).all()


class TestBothForms:
    @pytest.mark.parametrize("num_particles", [1, 3])
    def test_they_have_one_expectation(self, num_particles):
        pair, _ = linear_gaussian_pair()
        x = torch.randn(1, 3, dtype=torch.float64).expand(DRAWS, -1)
        means = {}
        for analytic_kl in (True, False):
            estimate, _ = step(pair, Batch(x), analytic_kl=analytic_kl, num_particles=num_particles)
            means[analytic_kl] = standard_errors(estimate.value)
        (first, first_error), (second, second_error) = means.values()
        assert (first - second).abs() < 5 * torch.hypot(first_error, second_error)
        assert first_error < second_error

    def test_the_analytic_form_is_the_closed_form(self):
        pair, _ = linear_gaussian_pair()
        x = torch.randn(4, 3, dtype=torch.float64)
        estimate, _ = step(pair, Batch(x))
        guide = pair.guide_program
        expected = kl_divergence(Normal(guide.mean(x), guide.log_scale.exp()), Normal(torch.zeros(2).double(), 1.0)).sum(-1)
        torch.testing.assert_close(estimate.info["kl"], expected.mean().detach())
        torch.testing.assert_close(estimate.info["reconstruction"] - estimate.info["kl"], estimate.value.mean())

    def test_with_the_exact_posterior_the_sampled_form_is_the_evidence(self):
        pair, model = linear_gaussian_pair(exact=True)
        x = torch.randn(4, 3, dtype=torch.float64)
        estimate, _ = step(pair, Batch(x), analytic_kl=False)
        torch.testing.assert_close(estimate.value, model.log_evidence(x).detach(), rtol=0, atol=1e-9)

    def test_a_site_without_closed_form_is_sampled(self):
        def model(x):
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", as_model(dist.Normal(0.0, 1.0)).given())
                w = pyro.sample("w", dist.StudentT(3.0))
                pyro.sample("x", dist.Normal(z + w, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(0.5 * x, 1.0))
                pyro.sample("w", dist.Normal(0.5 * x, 1.0))

        pair = PyroPair(model, guide, event_shape=())
        trace = run_pair(pair, torch.randn(3))
        assert trace.sites["z"].analytic_kl is not None
        assert trace.sites["w"].analytic_kl is None
        (phase,) = ELBO().phases(pair)
        assert phase(pair, Batch(torch.randn(3)), {}).value.shape == (3,)


def hierarchy(*, bottom_up):
    chain = Chain(bottom_up=bottom_up)
    pair = PyroPair(chain.model, chain.guide, event_shape=())
    pair.chain = chain
    return pair


class TestHierarchies:
    """A closed form is the expectation only where its parameters were drawn before the value that it averages out."""

    x = torch.full((20 * DRAWS,), 1.2, dtype=torch.float64)

    def test_which_sites_may_use_it(self):
        down = run_pair(hierarchy(bottom_up=False), self.x[:2])
        up = run_pair(hierarchy(bottom_up=True), self.x[:2])
        assert {name: down.parents_precede(down.sites[name]) for name in ("z1", "z2")} == {"z1": True, "z2": True}
        assert {name: up.parents_precede(up.sites[name]) for name in ("z1", "z2")} == {"z1": True, "z2": False}
        assert up.sites["z2"].analytic_kl is not None  # known, and wrong here

    @pytest.mark.parametrize("bottom_up", [True, False])
    def test_both_forms_agree(self, bottom_up):
        pair = hierarchy(bottom_up=bottom_up)
        (analytic, error), (sampled, other_error) = (
            standard_errors(step(pair, Batch(self.x), analytic_kl=flag)[0].value) for flag in (True, False)
        )
        assert (analytic - sampled).abs() < 5 * torch.hypot(error, other_error)

    def test_the_closed_form_everywhere_is_biased_bottom_up(self):
        pair = hierarchy(bottom_up=True)
        sampled, error = standard_errors(step(pair, Batch(self.x), analytic_kl=False)[0].value)
        trace = run_pair(pair, self.x)
        wrong = trace.sites["x"].log_p - trace.sites["z1"].analytic_kl - trace.sites["z2"].analytic_kl
        biased, other_error = standard_errors(wrong[0])
        assert (biased - sampled).abs() > 5 * torch.hypot(error, other_error)


class TestCoupledExamples:
    def make(self):
        def model(x):
            mean = pyro.sample("mean", dist.Normal(x.new_zeros(()), 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(mean, 1.0), obs=x)

        class Guide(nn.Module):
            def __init__(self):
                super().__init__()
                self.mean = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))

            def forward(self, x):
                pyro.sample("mean", dist.Normal(self.mean, 0.5))

        return PyroPair(model, Guide(), event_shape=())

    @pytest.mark.parametrize("num_particles", [1, 4])
    def test_the_value_is_that_of_the_batch(self, num_particles):
        pair, x = self.make(), torch.randn(5, dtype=torch.float64)
        mean = pair.guide_program.mean
        exact = Normal(mean, 1.0).log_prob(x).sum() - 0.5 * len(x) * 0.25
        exact = exact - kl_divergence(Normal(mean, 0.5), Normal(torch.zeros_like(mean), 1.0))
        (gradient,) = torch.autograd.grad(-exact, [mean])
        draws = [step(pair, Batch(x), num_particles=num_particles) for _ in range(DRAWS // 10)]
        assert draws[0][0].value.shape == ()
        for values, target in (
            (torch.stack([estimate.value for estimate, _ in draws]), exact),
            (torch.stack([gradients[0] for _, gradients in draws]), gradient),
        ):
            average, error = standard_errors(values)
            assert (average - target).abs() < 5 * error


class TestStatements:
    def test_claims_depend_on_beta(self):
        assert ELBO().claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
        assert ELBO(beta=2.0).claims.value == (Unbiased("beta-elbo[2]"), LowerBound("log_prob"))
        assert ELBO(beta=0.5).claims.value == (Unbiased("beta-elbo[0.5]"),)
        assert ELBO().claims.for_parameter("encoder.weight") == Unbiased("grad:elbo")

    def test_the_objective_bears_the_name_that_is_claimed(self):
        assert ELBO().objective == Objective("elbo", "nats", "maximise")
        assert ELBO(beta=2.0).objective.name == "beta-elbo"

    @pytest.mark.parametrize(("option", "value"), [("beta", -0.1), ("beta", math.nan), ("num_particles", 0)])
    def test_options_are_checked(self, option, value):
        with pytest.raises(ConfigurationError, match=f"ELBO: expected {option} of at least"):
            ELBO(**{option: value})

    def test_it_needs_a_latent_variable(self):
        with pytest.raises(CapabilityError, match="ELBO: expected a model that is LatentVariable; got DistributionModel"):
            ELBO().check(as_model(Normal(0.0, 1.0)))

    def test_one_phase_trains_everything(self):
        pair, _ = linear_gaussian_pair()
        pair.guide_program.log_scale.requires_grad_(False)
        (phase,) = ELBO().phases(pair)
        assert phase.name == "main"
        assert "guide_program.log_scale" not in phase.parameters
        assert "model_program.weight" in phase.parameters
        assert ELBO().learned is None

    def test_an_estimate_is_detached_but_for_its_surrogate(self):
        pair, _ = linear_gaussian_pair()
        estimate, _ = step(pair, Batch(torch.randn(4, 3, dtype=torch.float64)))
        assert estimate.surrogate.shape == ()
        assert estimate.value.shape == (4,)
        torch.testing.assert_close(estimate.surrogate.detach(), -estimate.value.mean())
        assert not any(tensor.requires_grad for tensor in (estimate.value, *estimate.info.values()))
        assert not estimate.state

    def test_it_runs_without_gradients(self):
        pair, _ = linear_gaussian_pair()
        (phase,) = ELBO().phases(pair)
        with torch.no_grad():
            assert phase(pair, Batch(torch.randn(4, 3, dtype=torch.float64)), {}).value.shape == (4,)


def test_a_sites_scores_are_computed_once_and_only_when_asked():
    calls = []
    pair, _ = linear_gaussian_pair()
    trace = run_pair(pair, torch.randn(2, 3, dtype=torch.float64))
    score = trace.sites["z"].score_model
    site = dataclasses.replace(trace.sites["z"], score_model=lambda: calls.append(1) or score())
    assert not calls
    assert site.log_p is site.log_p
    assert calls == [1]

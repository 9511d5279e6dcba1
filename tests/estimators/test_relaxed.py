"""Relaxations: the noise behind discrete draws, GumbelSoftmax and StraightThrough, and what each of them does estimate."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from helpers.draws import ERRORS, standard_errors
from helpers.enumerable_pairs import (
    BeliefNet,
    Programs,
    exact_moments,
    flat_gradient,
    gradient,
    part,
    relative_error,
    weights,
)
from helpers.small_models import BitChain, phase_moments
from probgen import Batch, CapabilityError, ConfigurationError, GumbelSoftmax, PyroPair, StraightThrough
from probgen.claims import Biased, LowerBound, Unbiased
from probgen.estimators import relaxations
from probgen.estimators.relaxations import relaxation_of
from probgen.estimators.strategies import Relax
from probgen.pyro_bridge import Statement
from probgen.testing.problems.laws import Bits, Space


def statement_of(distribution):
    return Statement("z", distribution, auxiliary=False, marked=False, scale=1.0, mask=None, frames=())


LOGITS = torch.tensor([0.7, -1.0, 0.2], dtype=torch.float64)
BITS = dist.Bernoulli(logits=LOGITS.expand(200_000, 3)).to_event(1)
VECTORS = dist.OneHotCategorical(logits=LOGITS.expand(200_000, 3))


class TestNoise:
    @pytest.mark.parametrize("distribution", [BITS, VECTORS])
    def test_a_threshold_makes_the_distribution_of_it(self, distribution):
        relaxation = relaxation_of(statement_of(distribution))
        hard = relaxation.hard(relaxation.noisy())
        assert standard_errors(hard, distribution.mean[0]) < ERRORS

    @pytest.mark.parametrize("distribution", [BITS, VECTORS])
    def test_noise_given_its_draw_has_the_law_of_noise(self, distribution):
        """Given the draw it leads back to it; with the draw averaged out, its moments are those of the noise."""
        relaxation = relaxation_of(statement_of(distribution))
        noisy = relaxation.noisy()
        hard = relaxation.hard(noisy)
        conditional = relaxation.noisy_given(hard)
        assert torch.equal(relaxation.hard(conditional), hard)
        for moment in (lambda z: z, lambda z: z.square(), lambda z: z * z.roll(1, -1), torch.tanh):
            assert standard_errors(moment(conditional) - moment(noisy), torch.zeros(3)) < ERRORS

    @pytest.mark.parametrize("distribution", [BITS, VECTORS])
    def test_noise_of_another_draw_would_not(self, distribution):
        relaxation = relaxation_of(statement_of(distribution))
        others = relaxation.hard(relaxation.noisy()).roll(1, -1)
        difference = relaxation.noisy_given(others) - relaxation.noisy()
        assert standard_errors(difference, torch.zeros(3)) > 5 * ERRORS

    @pytest.mark.parametrize("logit", [-80.0, -30.0, 30.0, 80.0])
    def test_at_extremes_it_is_finite(self, logit):
        logits = torch.tensor([logit, 0.0], requires_grad=True)
        for distribution in (dist.Bernoulli(logits=logits), dist.OneHotCategorical(logits=logits)):
            relaxation = relaxation_of(statement_of(distribution))
            noisy = relaxation.noisy()
            conditional = relaxation.noisy_given(relaxation.hard(noisy))
            total = (relaxation.soft(noisy, 0.1) + relaxation.soft(conditional, 0.1)).sum()
            (slope,) = torch.autograd.grad(total, logits)
            assert conditional.isfinite().all()
            assert slope.isfinite().all()

    def test_softness_ends_at_the_draw(self):
        for distribution in (BITS, VECTORS):
            relaxation = relaxation_of(statement_of(distribution))
            noisy = relaxation.noisy()
            assert (relaxation.soft(noisy, 1e-6) - relaxation.hard(noisy)).abs().mean() < 1e-4

    def test_other_distributions_have_none(self):
        with pytest.raises(CapabilityError, match="a Bernoulli or OneHotCategorical at 'z'; got a Categorical, whose"):
            relaxation_of(statement_of(dist.Categorical(torch.ones(3))))


class Bit(Programs):
    """One bit above two visible ones."""

    event_shape = (2,)

    def __init__(self):
        super().__init__()
        self.p.prior, self.p.weight, self.p.bias = weights(1, seed=1), weights(2, seed=2, scale=5.0), weights(2, seed=3)
        self.q.weight = weights(2, seed=4)
        self.latents, self.observed = {"z": Space("bits")}, {"x": Space("bits", 2)}

    def likelihood(self, x, z):
        return dist.Bernoulli(logits=z[..., None] * self.p.weight + self.p.bias).log_prob(x).sum(-1)

    def divergence(self, x):
        guide, prior = dist.Bernoulli(logits=x @ self.q.weight), dist.Bernoulli(logits=self.p.prior)
        return (
            guide.probs * (guide.logits - self.p.prior) + guide.log_prob(x.new_zeros(())) - prior.log_prob(x.new_zeros(()))
        )

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.p.prior.expand(len(x))))
            pyro.sample("x", dist.Bernoulli(logits=z[..., None] * self.p.weight + self.p.bias).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=x @ self.q.weight))

    def generate(self, answer, context):
        z = answer("z", Bits(self.p.prior))
        answer("x", Bits(z[..., None] * self.p.weight + self.p.bias, 1))

    def infer(self, x, answer, context):
        answer("z", Bits(x @ self.q.weight))


X = torch.tensor([[1.0, 0.0]], dtype=torch.float64)


def at_midpoints(monkeypatch, count=2000):
    """Give the uniform noise of a batch of `count` the midpoints of as many equal intervals."""
    nodes = (torch.arange(count, dtype=torch.float64) + 0.5) / count
    monkeypatch.setattr(relaxations, "_uniform_like", lambda tensor: nodes.reshape(tensor.shape))
    return nodes


class TestGumbelSoftmax:
    @pytest.mark.parametrize("temperature", [0.5, 2.0])
    def test_it_is_the_relaxed_bound_and_its_gradient(self, monkeypatch, temperature):
        programs = Bit()
        pair = programs.pair()
        nodes = at_midpoints(monkeypatch)
        (phase,) = GumbelSoftmax(temperature=temperature).phases(pair)
        estimate = phase(pair, Batch(X.expand(len(nodes), -1)), {})
        soft = ((X @ programs.q.weight + nodes.logit()) / temperature).sigmoid()
        relaxed = programs.likelihood(X, soft).mean() - programs.divergence(X).mean()
        torch.testing.assert_close(estimate.value.mean(), relaxed.detach())
        expected = gradient(relaxed, pair)
        assert relative_error(flat_gradient(estimate.surrogate, programs), expected) < 1e-9
        assert relative_error(part(pair, expected, "q"), part(pair, gradient(programs.elbo(X), pair), "q")) > 0.01

    def test_hard_draws_have_the_bounds_value_and_another_gradient(self, monkeypatch):
        programs = Bit()
        pair = programs.pair()
        nodes = at_midpoints(monkeypatch, 20_000)
        (phase,) = GumbelSoftmax(hard=True).phases(pair)
        estimate = phase(pair, Batch(X.expand(len(nodes), -1)), {})
        torch.testing.assert_close(estimate.value.mean(), programs.elbo(X).detach()[0], rtol=0, atol=1e-3)
        noisy = X @ programs.q.weight + nodes.logit()
        bits = (noisy > 0).double().requires_grad_()
        (slope,) = torch.autograd.grad(programs.likelihood(X, bits).sum(), bits)
        along = (slope * noisy.sigmoid()).mean() - programs.divergence(X).mean()
        found = part(pair, flat_gradient(estimate.surrogate, programs), "q")
        assert relative_error(found, part(pair, gradient(along, pair), "q")) < 1e-9
        assert relative_error(found, part(pair, gradient(programs.elbo(X), pair), "q")) > 0.02

    def test_the_bias_goes_with_the_temperature(self, monkeypatch):
        programs = Bit()
        pair, exact = programs.pair(), programs.elbo(X).detach()
        nodes = at_midpoints(monkeypatch, 20_000)
        biases = []
        for temperature in (2.0, 0.5, 0.05):
            (phase,) = GumbelSoftmax(temperature=temperature).phases(pair)
            value = phase(pair, Batch(X.expand(len(nodes), -1)), {}).value
            biases.append((value.mean() - exact).abs().item())
        assert biases[2] < 0.3 * biases[1] < 0.3 * biases[0]

    def test_the_temperature_falls_geometrically_to_its_end(self):
        strategy = Relax(temperature=2.0, final_temperature=0.5, anneal_steps=4)
        state, temperatures = strategy.initial_state(), []
        for _ in range(6):
            temperatures.append(float(strategy.temperature_at(state)))
            state = strategy.next_state(state)
        assert temperatures == pytest.approx([2.0, 2.0**0.5, 1.0, 0.5**0.5, 0.5, 0.5])

    def test_its_state_counts_the_steps(self):
        programs = BitChain()
        pair, batch = programs.pair(), Batch(X)
        estimator = GumbelSoftmax(final_temperature=0.5, anneal_steps=10)
        (phase,) = estimator.phases(pair)
        state = estimator.initial_state(pair, batch)
        (count,) = state.values()
        estimate = phase(pair, batch, state)
        assert float(count) == 0
        assert [float(steps) for steps in estimate.state.values()] == [1.0]
        assert GumbelSoftmax().initial_state(pair, batch) == {}

    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    @pytest.mark.parametrize("hard", [True, False])
    def test_one_hot_vectors_and_chains(self, particles, hard):
        class Guide(nn.Module):
            def __init__(self):
                super().__init__()
                self.logits = weights(3, seed=1)

            def forward(self, x):
                with pyro.plate("data", len(x)):
                    h = pyro.sample("h", dist.OneHotCategorical(logits=self.logits.expand(len(x), 3)))
                    pyro.sample("b", dist.Bernoulli(logits=h[..., 0] - x))

        def model(x):
            with pyro.plate("data", len(x)):
                h = pyro.sample("h", dist.OneHotCategorical(torch.ones(3, dtype=x.dtype)))
                b = pyro.sample("b", dist.Bernoulli(logits=h[..., 1]))
                pyro.sample("x", dist.Normal(h @ torch.arange(3.0, dtype=x.dtype) + b, 1.0), obs=x)

        pair = PyroPair(model, Guide(), event_shape=(), particles=particles)
        (phase,) = GumbelSoftmax(num_particles=3, hard=hard, analytic_kl=False).phases(pair)
        estimate = phase(pair, Batch(torch.randn(5, dtype=torch.float64)), {})
        assert estimate.value.shape == (5,)
        (slope,) = torch.autograd.grad(estimate.surrogate, pair.guide_program.logits)
        assert slope.abs().sum() > 0

    def test_claims_and_options(self):
        assert GumbelSoftmax().claims.value == (Biased("elbo", "relaxed-elbo[1]"),)
        assert GumbelSoftmax().claims.for_parameter("w") == Biased("grad:elbo", "grad:relaxed-elbo[1]")
        annealed = GumbelSoftmax(final_temperature=0.5, anneal_steps=100, analytic_kl=False)
        assert annealed.claims.value == (Biased("elbo", "relaxed-elbo-by-scores[1..0.5/100]"),)
        assert GumbelSoftmax(hard=True).claims.for_parameter("w") == Biased("grad:elbo", "grad:hard-relaxed-elbo[1]")
        assert GumbelSoftmax(hard=True).claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
        assert (GumbelSoftmax().objective.name, GumbelSoftmax(hard=True).objective.name) == ("relaxed-elbo", "elbo")
        for options in ({"temperature": 0.0}, {"temperature": math.nan}, {"final_temperature": -1.0}):
            with pytest.raises(ConfigurationError, match="Relax: expected temperatures above 0"):
                GumbelSoftmax(**options)
        with pytest.raises(ConfigurationError, match="Relax: expected anneal_steps of at least 1; got 0"):
            GumbelSoftmax(anneal_steps=0)


class TestStraightThrough:
    def test_the_value_is_the_elbo_and_the_gradient_its_own(self):
        """One bit: the derivative along the mean, at either value of the bit."""
        programs = Bit()
        pair = programs.pair()
        (phase,) = StraightThrough().phases(pair)
        moments = exact_moments(pair, lambda: phase(pair, Batch(X), {}))
        torch.testing.assert_close(moments["value"].mean, programs.elbo(X).detach())
        probability = (X @ programs.q.weight).sigmoid()
        along = -programs.divergence(X)
        for value in (0.0, 1.0):
            bit = torch.full((1,), value, dtype=torch.float64, requires_grad=True)
            (slope,) = torch.autograd.grad(programs.likelihood(X, bit).sum(), bit)
            mass = probability if value else 1 - probability
            along = along + mass.detach() * slope * probability
        found = part(pair, moments["gradient"].mean, "q")
        assert relative_error(found, part(pair, gradient(along, pair), "q")) < 1e-9

    @pytest.mark.parametrize("make", [Bit, BitChain, lambda: BeliefNet(latents=2)])
    def test_a_claim_of_unbiasedness_would_be_refuted(self, make):
        programs = make()
        pair = programs.pair()
        batch = Batch(torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)[:, : programs.event_shape[0]])
        (phase,) = StraightThrough().phases(pair)
        moments = phase_moments(phase, pair, batch)
        elbo = programs.elbo(batch.x)
        exact = gradient(elbo, pair)
        torch.testing.assert_close(moments["value"].mean, elbo.detach())
        assert relative_error(part(pair, moments["gradient"].mean, "p"), part(pair, exact, "p")) < 1e-9
        assert relative_error(part(pair, moments["gradient"].mean, "q"), part(pair, exact, "q")) > 0.01

    def test_it_is_right_where_the_likelihood_is_linear_in_the_bits(self):
        class Linear(nn.Module):
            def forward(self, x):
                with pyro.plate("data", len(x)):
                    z = pyro.sample("z", dist.Bernoulli(x.new_full((), 0.5)))
                    pyro.sample("x", dist.Delta(x, log_density=2 * z), obs=x)

        class Guide(nn.Module):
            def __init__(self):
                super().__init__()
                self.logit = weights(1, seed=1)

            def forward(self, x):
                with pyro.plate("data", len(x)):
                    pyro.sample("z", dist.Bernoulli(logits=self.logit.expand(len(x))))

        pair = PyroPair(Linear(), Guide(), event_shape=())
        (phase,) = StraightThrough().phases(pair)
        guide = dist.Bernoulli(logits=pair.guide_program.logit)
        exact = 2 * guide.probs - torch.distributions.kl_divergence(guide, dist.Bernoulli(torch.tensor([0.5]).double()))
        estimate = phase(pair, Batch(torch.zeros(4, dtype=torch.float64)), {})
        (found,), (expected,) = (
            torch.autograd.grad(scalar, pair.guide_program.logit) for scalar in (estimate.surrogate, -exact.sum())
        )
        torch.testing.assert_close(found, expected)

    def test_claims(self):
        assert StraightThrough().claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
        assert isinstance(StraightThrough().claims.for_parameter("encoder.weight"), Biased)

    def test_a_category_by_its_number_is_refused(self):
        def program(x):
            with pyro.plate("data", len(x)):
                pyro.sample("k", dist.Categorical(torch.ones(3)))

        pair = PyroPair(program, program, event_shape=())
        (phase,) = StraightThrough().phases(pair)
        with pytest.raises(CapabilityError, match="Write categories as one-hot vectors"):
            phase(pair, Batch(torch.zeros(4)), {})

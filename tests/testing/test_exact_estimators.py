"""Estimators of the field in plain torch, right and wrong, judged exactly.

A sigmoid belief network with two hidden bits over three visible ones has 19 parameters; its objectives are sums over four
configurations. A linear-Gaussian autoencoder with one latent has 12, and closed forms.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pyro
import pyro.distributions
import pytest
import torch
import torch.nn.functional as F
from pyro.infer import Trace_ELBO
from torch import Tensor

from probgen.testing import exact_expectation, replays_identically

X = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)


def bernoulli_log_prob(logits: Tensor, value: Tensor) -> Tensor:
    return (value * F.logsigmoid(logits) + (1 - value) * F.logsigmoid(-logits)).sum(-1)


class BeliefNetwork:
    """z ~ Bernoulli(prior), x ~ Bernoulli(W z + b), q(z | x) = Bernoulli(V x + c); all in float64."""

    def __init__(self, hidden: int = 2) -> None:
        generator = torch.Generator().manual_seed(11)

        def parameter(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()

        self.hidden = hidden
        self.prior, self.weight, self.bias = parameter(hidden), parameter(3, hidden), parameter(3)
        self.encoder, self.offset = parameter(hidden, 3), parameter(hidden)
        self.parameters = [self.prior, self.weight, self.bias, self.encoder, self.offset]

    @property
    def logits(self) -> Tensor:
        return self.encoder @ X + self.offset

    def log_p(self, z: Tensor) -> Tensor:
        return bernoulli_log_prob(self.prior, z) + bernoulli_log_prob(z @ self.weight.T + self.bias, X)

    def log_q(self, z: Tensor) -> Tensor:
        return bernoulli_log_prob(self.logits, z)

    def draw(self, particles: int) -> Tensor:
        return torch.bernoulli(self.logits.detach().sigmoid().expand(particles, self.hidden))

    def gradient(self, surrogate: Tensor) -> Tensor:
        found = torch.autograd.grad(surrogate, self.parameters, allow_unused=True)
        parts = zip(found, self.parameters, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in parts])

    def configurations(self) -> Tensor:
        return torch.tensor(list(itertools.product([0.0, 1.0], repeat=self.hidden)), dtype=torch.float64)

    def bound(self, particles: int) -> Tensor:
        """The importance-weighted bound by enumeration; the evidence lower bound at one particle."""
        z = self.configurations()
        log_weight, log_q = self.log_p(z) - self.log_q(z), self.log_q(z)
        chosen = torch.cartesian_prod(*[torch.arange(len(z))] * particles).reshape(-1, particles)
        probability = log_q[chosen].sum(-1).exp()
        return (probability * (log_weight[chosen].logsumexp(-1) - math.log(particles))).sum()


SBN = BeliefNetwork()
Surrogate = Callable[[Tensor, Tensor], Tensor]


def objective(particles: int = 1, net: BeliefNetwork = SBN) -> Tensor:
    return net.gradient(net.bound(particles))


def relative_bias(program: Callable[[], Tensor], target: Tensor) -> float:
    return float((exact_expectation(program).mean - target).norm() / target.norm())


def estimator(particles: int, surrogate: Surrogate, net: BeliefNetwork = SBN) -> Callable[[], Tensor]:
    def gradient() -> Tensor:
        z = net.draw(particles)
        return net.gradient(surrogate(net.log_p(z), net.log_q(z)))

    return gradient


def score_function(baseline: Callable[[Tensor], Tensor], *, scale: float = 1.0) -> Surrogate:
    def surrogate(log_p: Tensor, log_q: Tensor) -> Tensor:
        signal = (log_p - log_q).detach()
        return (log_p + scale * (signal - baseline(signal)) * log_q).mean()

    return surrogate


def others(signal: Tensor) -> Tensor:
    return (signal.sum() - signal) / (len(signal) - 1)


def vimco(baseline: Callable[[Tensor], Tensor], *, score: float = 1.0, detach: bool = True) -> Surrogate:
    """The multi-sample estimator: `baseline` stands for the bound without a particle's own weight."""

    def surrogate(log_p: Tensor, log_q: Tensor) -> Tensor:
        log_weight = log_p - log_q
        bound = log_weight.logsumexp(0) - math.log(len(log_weight))
        share = log_weight.softmax(0)
        pathwise = ((share.detach() if detach else share) * log_weight).sum()
        return pathwise + score * ((bound - baseline(log_weight)).detach() * log_q).sum()

    return surrogate


def imputed(log_weight: Tensor) -> Tensor:
    k = len(log_weight)
    return torch.stack([_with(log_weight, i, others(log_weight)[i]).logsumexp(0) - math.log(k) for i in range(k)])


def imputed_with_itself(log_weight: Tensor) -> Tensor:
    k = len(log_weight)
    return torch.stack([_with(log_weight, i, log_weight[i]).logsumexp(0) - math.log(k) for i in range(k)])


def left_out(log_weight: Tensor) -> Tensor:
    k = len(log_weight)
    return torch.stack([log_weight[torch.arange(k) != i].logsumexp(0) - math.log(k - 1) for i in range(k)])


def _with(values: Tensor, index: int, value: Tensor) -> Tensor:
    return torch.where(torch.arange(len(values)) == index, value, values)


def no_baseline(signal: Tensor) -> Tensor:
    return torch.zeros_like(signal)


class TestBeliefNetwork:
    @pytest.mark.parametrize(
        ("particles", "of", "surrogate", "paths"),
        [
            pytest.param(1, 1, score_function(no_baseline), 4, id="REINFORCE"),
            pytest.param(1, 1, score_function(lambda signal: signal * 0 - 1.7), 4, id="constant baseline"),
            pytest.param(2, 1, score_function(others), 16, id="leave-one-out"),
            pytest.param(3, 3, vimco(no_baseline), 64, id="IWAE score function"),
            pytest.param(3, 3, vimco(imputed), 64, id="VIMCO"),
            pytest.param(3, 3, vimco(left_out), 64, id="VIMCO without imputation"),
        ],
    )
    def test_unbiased_estimators(self, particles: int, of: int, surrogate: Surrogate, paths: int) -> None:
        program = estimator(particles, surrogate)
        assert relative_bias(program, objective(of)) < 1e-12
        assert exact_expectation(program).paths == paths

    @pytest.mark.parametrize(
        ("particles", "of", "surrogate", "least"),
        [
            pytest.param(3, 1, score_function(lambda s: s.mean().expand_as(s)), 0.05, id="baseline with itself"),
            pytest.param(2, 1, lambda p, q: 2 * score_function(no_baseline)(p, q), 0.99, id="sum instead of mean"),
            pytest.param(2, 1, lambda p, q: -score_function(no_baseline)(p, q), 1.99, id="sign"),
            pytest.param(2, 1, score_function(no_baseline, scale=0.95), 5e-3, id="score scaled by 0.95"),
            pytest.param(2, 1, score_function(no_baseline, scale=0.999), 1e-4, id="score scaled by 0.999"),
            pytest.param(2, 1, lambda p, q: (p + p.detach() * q).mean(), 0.02, id="entropy dropped"),
            pytest.param(3, 3, vimco(no_baseline, score=0.0), 0.1, id="score term missing"),
            pytest.param(3, 3, vimco(no_baseline, detach=False), 0.1, id="weights not detached"),
            pytest.param(3, 3, vimco(imputed_with_itself), 0.1, id="VIMCO with itself"),
            pytest.param(1, 3, score_function(no_baseline), 0.1, id="REINFORCE says gradient of L_3"),
            pytest.param(3, 1, vimco(imputed), 0.1, id="VIMCO says gradient of the ELBO"),
        ],
    )
    def test_wrong_ones(self, particles: int, of: int, surrogate: Surrogate, least: float) -> None:
        assert relative_bias(estimator(particles, surrogate), objective(of)) > least

    def test_a_missing_factor_is_seen_in_proportion(self) -> None:
        target = objective()
        coarse, fine = (relative_bias(estimator(1, score_function(no_baseline, scale=s)), target) for s in (0.95, 0.999))
        assert coarse == pytest.approx(50 * fine, rel=1e-6)

    def test_a_baseline_network_that_sees_the_sample(self) -> None:
        network = torch.tensor([0.7, -1.1], dtype=torch.float64)

        def gradient(sees: float) -> Tensor:
            z = SBN.draw(1)
            log_p, log_q = SBN.log_p(z), SBN.log_q(z)
            signal = (log_p - log_q).detach() - sees * (z @ network) - (1 - sees) * network.sum()
            return SBN.gradient((log_p + signal * log_q).mean())

        assert relative_bias(lambda: gradient(0.0), objective()) < 1e-12
        assert relative_bias(lambda: gradient(1.0), objective()) > 0.1

    def test_straight_through_is_biased(self) -> None:
        net = BeliefNetwork(hidden=3)

        def gradient() -> Tensor:
            q = net.logits.sigmoid()
            z = torch.bernoulli(q.detach()) + q - q.detach()
            return net.gradient(net.log_p(z) - net.log_q(z))

        assert relative_bias(gradient, objective(1, net)) > 0.01
        assert exact_expectation(gradient).paths == 8

    def test_vmap_of_single_draws(self) -> None:
        bias = torch.zeros((), dtype=torch.float64)

        def loss(offset: Tensor, _: Tensor) -> Tensor:
            logits = SBN.logits.detach() + offset
            z = torch.bernoulli(logits.detach().sigmoid())
            log_q = bernoulli_log_prob(logits, z)
            return (SBN.log_p(z).detach() - log_q.detach()) * log_q

        per_draw = torch.func.vmap(torch.func.grad(loss), in_dims=(None, 0), randomness="different")
        single = exact_expectation(lambda: torch.func.grad(loss)(bias, bias))
        both = exact_expectation(lambda: per_draw(bias, torch.zeros(2)).mean())
        assert both.paths == 16
        torch.testing.assert_close(both.mean, single.mean)
        torch.testing.assert_close(both.variance, single.variance / 2)

    def test_variances_are_exact(self) -> None:
        plain = exact_expectation(estimator(1, score_function(no_baseline)))
        averaged = exact_expectation(estimator(3, score_function(no_baseline)))
        torch.testing.assert_close(averaged.variance * 3, plain.variance)
        assert exact_expectation(estimator(3, score_function(others))).variance.sum() < averaged.variance.sum()

    def test_single_precision_agrees(self) -> None:
        precise = exact_expectation(estimator(2, score_function(others))).mean
        rounded = exact_expectation(lambda: estimator(2, score_function(others))().float()).mean
        torch.testing.assert_close(rounded, precise, rtol=1e-4, atol=1e-4)

    def test_they_hide_no_randomness(self) -> None:
        assert replays_identically(estimator(3, vimco(imputed)))


class TestPyro:
    def program(self, *, particles: int = 1) -> Callable[[], Tensor]:
        bits = pyro.distributions.Bernoulli

        def model() -> None:
            z = pyro.sample("z", bits(logits=SBN.prior).to_event(1))
            pyro.sample("x", bits(logits=SBN.weight @ z + SBN.bias).to_event(1), obs=X)

        def guide() -> None:
            pyro.sample("z", bits(logits=SBN.logits).to_event(1))

        loss = Trace_ELBO(num_particles=particles)
        return lambda: SBN.gradient(-loss.differentiable_loss(model, guide))

    @pytest.mark.parametrize(("particles", "paths"), [(1, 4), (2, 16)])
    def test_its_score_function_estimator_is_unbiased(self, particles: int, paths: int) -> None:
        program = self.program(particles=particles)
        assert relative_bias(program, objective()) < 1e-12
        assert exact_expectation(program).paths == paths

    def test_it_is_not_the_gradient_of_another_bound(self) -> None:
        assert relative_bias(self.program(particles=3), objective(3)) > 0.1


class GaussianAutoencoder:
    """z ~ N(0, 1), x ~ N(w z + b, exp(2 s)), q(z | x) = N(a x + c, exp(2 t))."""

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(5)
        shapes = ((3,), (3,), (), (3,), (), ())
        self.parameters = [
            torch.randn(s, generator=generator, dtype=torch.float64).mul(0.5).requires_grad_() for s in shapes
        ]
        self.x = torch.tensor([0.6, -1.2, 0.3], dtype=torch.float64)

    def posterior(self) -> tuple[Tensor, Tensor]:
        _, _, _, a, c, t = self.parameters
        return a @ self.x + c, t.exp()

    def elbo(self) -> Tensor:
        w, b, s, *_ = self.parameters
        mean, deviation = self.posterior()
        misfit = ((self.x - b - w * mean) ** 2 + (w * deviation) ** 2).sum()
        reconstruction = -0.5 * misfit * (-2 * s).exp() - 3 * s - 1.5 * math.log(2 * math.pi)
        return reconstruction - 0.5 * (mean**2 + deviation**2 - 1) + deviation.log()

    def log_p(self, z: Tensor) -> Tensor:
        w, b, s, *_ = self.parameters
        likelihood = torch.distributions.Normal(b + w * z[..., None], s.exp()).log_prob(self.x).sum(-1)
        return likelihood + torch.distributions.Normal(0.0, 1.0).log_prob(z)

    def gradient(self, surrogate: Tensor) -> Tensor:
        found = torch.autograd.grad(surrogate, self.parameters, allow_unused=True)
        parts = zip(found, self.parameters, strict=True)
        return torch.cat([(torch.zeros_like(p) if g is None else g).reshape(-1) for g, p in parts])


class TestGaussianAutoencoder:
    VAE = GaussianAutoencoder()

    def reparameterised(self, particles: int, *, sigma: float = 1.0) -> Tensor:
        mean, deviation = self.VAE.posterior()
        guide = torch.distributions.Normal(mean, deviation)
        z = mean + deviation**sigma * torch.randn(particles, dtype=torch.float64)
        return self.VAE.gradient((self.VAE.log_p(z) - guide.log_prob(z)).mean())

    @pytest.mark.parametrize(("particles", "paths"), [(1, 16), (2, 256)])
    def test_the_reparameterised_gradient_is_unbiased(self, particles: int, paths: int) -> None:
        moments = exact_expectation(lambda: self.reparameterised(particles))
        target = self.VAE.gradient(self.VAE.elbo())
        assert len(target) == 12
        assert float((moments.mean - target).norm() / target.norm()) < 1e-12
        assert moments.paths == paths

    def test_the_score_function_gradient_is_too(self) -> None:
        def gradient() -> Tensor:
            guide = torch.distributions.Normal(*self.VAE.posterior())
            z = guide.sample()
            log_p, log_q = self.VAE.log_p(z), guide.log_prob(z)
            return self.VAE.gradient(log_p + (log_p - log_q).detach() * log_q)

        assert relative_bias(gradient, self.VAE.gradient(self.VAE.elbo())) < 1e-12

    def test_log_variance_for_sigma_is_found(self) -> None:
        assert relative_bias(lambda: self.reparameterised(1, sigma=0.5), self.VAE.gradient(self.VAE.elbo())) > 0.01


def test_contrastive_divergence_is_what_its_transition_matrix_says() -> None:
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(3, 2, generator=generator, dtype=torch.float64)
    start = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)

    def statistic(v: Tensor) -> Tensor:
        return v[..., :, None] * (v @ weight).sigmoid()[..., None, :]

    def update() -> Tensor:
        h = torch.bernoulli((start @ weight).sigmoid())
        v = torch.bernoulli((weight @ h).sigmoid())
        return statistic(start) - statistic(v)

    hidden = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 2)
    visible = torch.cartesian_prod(*[torch.tensor([0.0, 1.0], dtype=torch.float64)] * 3)
    to_hidden = bernoulli_log_prob(start @ weight, hidden).exp()
    to_visible = bernoulli_log_prob((hidden @ weight.T)[:, None], visible).exp()
    expected = statistic(start) - torch.einsum("h,hv,vij->ij", to_hidden, to_visible, statistic(visible))
    moments = exact_expectation(update)
    assert moments.paths == 32
    torch.testing.assert_close(moments.mean, expected.flatten(), rtol=1e-12, atol=1e-14)


def test_divergence_estimators_of_policies() -> None:
    """As values k1 and k3 are unbiased for KL(q ‖ p) and k2 is not; as losses through the sample they are something else."""
    generator = torch.Generator().manual_seed(2)
    logits = torch.randn(5, generator=generator, dtype=torch.float64).requires_grad_()
    reference = torch.randn(5, generator=generator, dtype=torch.float64).log_softmax(-1)

    def divergence(*, reverse: bool = False) -> Tensor:
        q, p = logits.log_softmax(-1), reference
        return (p.exp() * (p - q)).sum() if reverse else (q.exp() * (q - p)).sum()

    def estimates() -> tuple[dict[str, Tensor], Tensor]:
        q = logits.log_softmax(-1)
        x = torch.multinomial(q.detach().exp(), 1)[0]
        ratio = reference[x] - q[x]
        return {"k1": -ratio, "k2": ratio**2 / 2, "k3": ratio.exp() - 1 - ratio}, q[x]

    value = exact_expectation(lambda: estimates()[0])
    for name, unbiased in {"k1": True, "k2": False, "k3": True}.items():
        off = abs(value[name].mean.item() / divergence().item() - 1)
        assert (off < 1e-12) if unbiased else (off > 0.05)

    def slopes() -> dict[str, Tensor]:
        return {name: torch.autograd.grad(k, logits, retain_graph=True)[0] for name, k in estimates()[0].items()}

    slope = exact_expectation(slopes)
    torch.testing.assert_close(slope["k1"].mean, torch.zeros(5).double(), atol=1e-14, rtol=0)
    torch.testing.assert_close(slope["k2"].mean, torch.autograd.grad(divergence(), logits)[0])
    torch.testing.assert_close(slope["k3"].mean, torch.autograd.grad(divergence(reverse=True), logits)[0])

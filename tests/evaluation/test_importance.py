"""Importance sampling against the closed-form evidence of a linear-Gaussian model, and its memory."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

import probgen.pyro_bridge
from probgen.errors import CapabilityError, ConfigurationError
from probgen.evaluation import log_evidence
from probgen.evaluation.importance import importance_scores
from probgen.latent import LatentVariable


class LinearGaussian(nn.Module, LatentVariable):
    r"""$z \sim N(0, I_2)$, $x \sim N(Wz + b c, \sigma^2 I_3)$, and a guide whose error is chosen."""

    support = torch.distributions.constraints.real
    event_shape = torch.Size([3])
    noise = 0.5

    def __init__(self, *, guide_scale: float = 1.0, guide_shift: float = 0.0, conditional: bool = False) -> None:
        super().__init__()
        stream = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(3, 2, generator=stream, dtype=torch.float64))
        self.context_shape = torch.Size([3]) if conditional else None
        precision = torch.eye(2) + self.weight.detach().T @ self.weight.detach() / self.noise**2
        self.posterior_covariance = torch.linalg.inv(precision)
        self.encoder = self.posterior_covariance @ self.weight.detach().T / self.noise**2
        self.guide_scale, self.guide_shift = guide_scale, guide_shift

    def offset(self, context):
        return 0.0 if context is None else context

    def model(self, x, context=None):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(torch.zeros(len(x), 2, dtype=x.dtype), 1.0).to_event(1))
            pyro.sample("x", dist.Normal(z @ self.weight.T + self.offset(context), self.noise).to_event(1), obs=x)

    def guide(self, x, context=None):
        mean = (x - self.offset(context)) @ self.encoder.T + self.guide_shift
        covariance = self.posterior_covariance * self.guide_scale**2
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.MultivariateNormal(mean, covariance))

    def evidence(self, x, context=None):
        covariance = self.weight @ self.weight.T + self.noise**2 * torch.eye(3)
        mean = torch.zeros(3, dtype=x.dtype) + self.offset(context)
        return dist.MultivariateNormal(mean, covariance).log_prob(x).detach()

    def elbo(self, x, context=None):
        """The evidence less the divergence of the guide from the posterior, the same for every x."""
        mean = torch.zeros(2, dtype=x.dtype)
        guide = dist.MultivariateNormal(mean + self.guide_shift, self.posterior_covariance * self.guide_scale**2)
        posterior = dist.MultivariateNormal(mean, self.posterior_covariance)
        return self.evidence(x, context) - torch.distributions.kl_divergence(guide, posterior)


class SharedLatent(LatentVariable):
    """A program with a latent that belongs to no single example."""

    support = torch.distributions.constraints.real
    event_shape = torch.Size([])
    context_shape = None

    def model(self, x, context=None):
        mean = pyro.sample("mean", dist.Normal(0.0, 1.0))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(mean, 1.0), obs=x)

    def guide(self, x, context=None):
        pyro.sample("mean", dist.Normal(0.0, 1.0))


@pytest.fixture
def x() -> torch.Tensor:
    return torch.randn(6, 3, dtype=torch.float64)


def repeated(function, rounds: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard error of what `function` returns, `(N,)` each."""
    values = torch.stack([function() for _ in range(rounds)])
    return values.mean(0), values.std(0) / math.sqrt(rounds)


def test_the_exact_posterior_gives_the_evidence_from_any_draws(x):
    model = LinearGaussian()
    for particles, chunk in ((1, None), (7, 3), (50, 8)):
        found = importance_scores(model, x, num_particles=particles, chunk=chunk)
        assert torch.allclose(found.log_evidence, model.evidence(x), atol=1e-9, rtol=0)
        assert torch.allclose(found.elbo, model.evidence(x), atol=1e-9, rtol=0)


def test_evidence_without_its_log_k_would_be_caught(x):
    """The wrong twin: a sum of weights instead of their mean is off by log k."""
    model, particles = LinearGaussian(), 50
    wrong = log_evidence(model, x, num_particles=particles) + math.log(particles)
    assert ((wrong - model.evidence(x)) > 3).all()


def test_average_weight_is_the_evidence_without_bias(x):
    model = LinearGaussian(guide_scale=1.3, guide_shift=0.1)
    mean, error = repeated(lambda: (log_evidence(model, x, num_particles=20) - model.evidence(x)).exp(), 300)
    assert ((mean - 1).abs() < 5 * error).all()


def test_evidence_lies_below_and_closes_in_as_particles_grow(x):
    model = LinearGaussian(guide_scale=1.5, guide_shift=0.3)
    few, few_error = repeated(lambda: log_evidence(model, x, num_particles=1), 500)
    many, many_error = repeated(lambda: log_evidence(model, x, num_particles=40), 300)
    exact = model.evidence(x)
    assert (few + 5 * few_error < many).all()
    assert (many < exact + 5 * many_error).all()
    assert torch.allclose(log_evidence(model, x, num_particles=20_000), exact, atol=0.05)


def test_elbo_is_the_evidence_less_the_divergence(x):
    model = LinearGaussian(guide_scale=0.7, guide_shift=0.2)
    mean, error = repeated(lambda: importance_scores(model, x, num_particles=30).elbo, 100)
    assert ((mean - model.elbo(x)).abs() < 5 * error).all()
    assert (model.elbo(x) < model.evidence(x)).all()


def test_one_particle_is_the_elbo(x):
    found = importance_scores(LinearGaussian(guide_scale=2.0), x, num_particles=1)
    assert torch.equal(found.elbo, found.log_evidence)


def test_contexts_are_passed_on(x):
    model = LinearGaussian(conditional=True)
    context = torch.randn_like(x)
    assert torch.allclose(log_evidence(model, x, context, num_particles=4), model.evidence(x, context), atol=1e-9)


@pytest.mark.parametrize(("particles", "chunk", "runs"), [(10, 4, [4, 4, 2]), (3, 50, [3]), (5, 1, [1] * 5)])
def test_particles_come_in_chunks(x, monkeypatch, particles, chunk, runs):
    seen = spy_on_runs(monkeypatch)
    log_evidence(LinearGaussian(), x, num_particles=particles, chunk=chunk)
    assert seen == runs


def test_memory_does_not_grow_with_the_particles(monkeypatch):
    seen = spy_on_runs(monkeypatch)
    x = torch.randn(2000, 3, dtype=torch.float64)
    monkeypatch.setattr("probgen.evaluation.importance._ENTRIES_AT_ONCE", 60_000)
    for particles in (10, 100, 200):
        seen.clear()
        log_evidence(LinearGaussian(), x, num_particles=particles)
        assert max(seen) * x.numel() <= 60_000
        assert sum(seen) == particles


def test_no_graph_is_kept(x):
    assert not log_evidence(LinearGaussian(), x, num_particles=2).requires_grad


def test_an_impossible_example_has_no_evidence(monkeypatch, x):
    class Weights:
        log_weights = torch.full((3, 6), -torch.inf)

        def require_per_example(self, for_what):
            pass

    monkeypatch.setattr(probgen.pyro_bridge, "run_pair", lambda *args, **kwargs: Weights())
    assert (log_evidence(LinearGaussian(), x, num_particles=6, chunk=3) == -torch.inf).all()


def test_latents_shared_by_the_batch_are_refused():
    with pytest.raises(CapabilityError, match=r"log_evidence: expected every .* inside the plate"):
        log_evidence(SharedLatent(), torch.zeros(4), num_particles=2)


def test_a_model_without_latents_is_refused():
    with pytest.raises(CapabilityError, match="log_evidence: expected a model that is LatentVariable"):
        log_evidence(nn.Linear(1, 1), torch.zeros(4), num_particles=2)


@pytest.mark.parametrize("options", [{"num_particles": 0}, {"chunk": 0}])
def test_sizes_below_one_are_refused(x, options):
    with pytest.raises(ConfigurationError, match="log_evidence: expected"):
        log_evidence(LinearGaussian(), x, **options)


def spy_on_runs(monkeypatch) -> list[int]:
    """Return a list that will hold the number of particles of each run of a pair."""
    seen: list[int] = []
    run_pair = probgen.pyro_bridge.run_pair

    def counted(pair, x, context=None, *, num_particles=1):
        seen.append(num_particles)
        return run_pair(pair, x, context, num_particles=num_particles)

    monkeypatch.setattr(probgen.pyro_bridge, "run_pair", counted)
    return seen

"""A linear VAE is probabilistic PCA, whose best evidence has a closed form that training must reach."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import Independent, MultivariateNormal, Normal, constraints

from probgen import ELBO, Batch, Density, Sampler, as_model, run_pair
from probgen_latent.posterior import DiagonalGaussian
from probgen_latent.vae import VAE

FEATURES, LATENTS, EXAMPLES = 4, 2, 200


class LinearDecoder(nn.Module, Density, Sampler):
    r"""$x \sim N(W z + b, \sigma^2 I)$."""

    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([FEATURES]), torch.Size([LATENTS])
        self.support = constraints.real
        self.mean = nn.Linear(LATENTS, FEATURES)
        self.log_scale = nn.Parameter(torch.zeros(()))

    def _normal(self, context):
        return Independent(Normal(self.mean(context), self.log_scale.exp()), 1)

    def _log_prob(self, x, context):
        return self._normal(context).log_prob(x)

    def _sample(self, n, context):
        return self._normal(context).sample()

    def log_evidence(self, x):
        noise = (2 * self.log_scale).exp() * torch.eye(FEATURES, dtype=x.dtype)
        return MultivariateNormal(self.mean.bias, self.mean.weight @ self.mean.weight.T + noise).log_prob(x)


class Same(nn.Module):
    """Features that are the data, so that the posterior is affine in them."""

    def forward(self, x, context=None):
        return x


def linear_vae():
    return VAE(
        encoder=Same(),
        posterior=DiagonalGaussian(event_shape=(LATENTS,), context_shape=(FEATURES,)),
        prior=as_model(Independent(Normal(torch.zeros(LATENTS), torch.ones(LATENTS)), 1)),
        decoder=LinearDecoder(),
    ).double()


def data():
    generator = torch.Generator().manual_seed(2)
    factors = torch.randn(EXAMPLES, LATENTS, generator=generator, dtype=torch.float64)
    loadings = torch.tensor([[1.5, 0.2], [-1.0, 0.4], [0.3, 1.0], [0.6, -0.8]], dtype=torch.float64)
    noise = torch.randn(EXAMPLES, FEATURES, generator=generator, dtype=torch.float64)
    return factors @ loadings.T + 0.6 * noise + torch.tensor([1.0, -1.0, 0.5, 0.0])


def best_evidence(x):
    """Return the greatest mean log-evidence that probabilistic PCA can have (Tipping & Bishop, 1999)."""
    variances = torch.linalg.eigvalsh(torch.cov(x.T, correction=0)).flip(0)
    noise = variances[LATENTS:].mean()
    log_determinant = variances[:LATENTS].log().sum() + (FEATURES - LATENTS) * noise.log()
    return -0.5 * (FEATURES * torch.log(torch.tensor(2 * torch.pi)) + log_determinant + FEATURES)


@pytest.mark.slow
@pytest.mark.parametrize("analytic_kl", [True, False])
def test_training_reaches_the_closed_form(analytic_kl):
    x, vae = data(), linear_vae()
    (phase,) = ELBO(analytic_kl=analytic_kl).phases(vae)
    parameters = list(phase.parameters.values())
    optimizer = torch.optim.Adam(parameters, lr=0.02, betas=(0.9, 0.99))
    steps = 5000
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in range(steps):
        gradients = torch.autograd.grad(phase(vae, Batch(x), {}).surrogate, parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        bound = run_pair(vae, x, num_particles=2000).log_weights.mean()
        evidence = vae.decoder.log_evidence(x).mean()
    assert abs(evidence - best_evidence(x)) < 0.01
    assert abs(bound - evidence) < 0.01


def test_the_exact_posterior_gives_the_evidence_each_time():
    """With orthogonal loadings the posterior is diagonal, and the encoder can be set to it."""
    vae, x = linear_vae(), data()
    with torch.no_grad():
        vae.decoder.mean.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 0.5], [0.0, -0.5]]))
        vae.decoder.log_scale.fill_(-0.4)
        weight, noise = vae.decoder.mean.weight, (-0.8 * torch.ones((), dtype=torch.float64)).exp()
        precision = 1 + weight.square().sum(0) / noise
        gain = (weight / noise / precision).T
        limit = vae.posterior.limit
        vae.posterior.head.weight.copy_(torch.cat([gain, torch.zeros_like(gain)]))
        log_scale = limit * torch.atanh(-0.5 * precision.log() / limit)
        vae.posterior.head.bias.copy_(torch.cat([-gain @ vae.decoder.mean.bias, log_scale]))
    weights = run_pair(vae, x, num_particles=3).log_weights
    torch.testing.assert_close(weights, vae.decoder.log_evidence(x).expand(3, -1), rtol=0, atol=1e-9)

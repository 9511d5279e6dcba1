"""Pairs of Pyro programs whose posteriors and evidence are known."""

from __future__ import annotations

import math

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from probgen import PyroPair


class LinearGaussian(nn.Module):
    r"""Factor analysis: $z \sim N(0, I)$, $x \sim N(W z + b, \sigma^2 I)$, with its exact evidence and posterior."""

    def __init__(self, features: int = 3, latents: int = 2) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(features, latents, generator=generator, dtype=torch.float64))
        self.bias = nn.Parameter(torch.randn(features, generator=generator, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor(-0.3, dtype=torch.float64))
        self.latents = latents

    def log_evidence(self, x):
        noise = (2 * self.log_scale).exp() * torch.eye(len(self.bias), dtype=x.dtype)
        return dist.MultivariateNormal(self.bias, self.weight @ self.weight.T + noise).log_prob(x)

    def posterior(self, x):
        precision = torch.eye(self.latents, dtype=x.dtype) + self.weight.T @ self.weight * (-2 * self.log_scale).exp()
        mean = torch.linalg.solve(precision, self.weight.T @ (x - self.bias).T).T * (-2 * self.log_scale).exp()
        return dist.MultivariateNormal(mean, precision_matrix=precision)

    def prior(self):
        zeros = torch.zeros(self.latents, dtype=torch.float64)
        return dist.Normal(zeros, torch.ones_like(zeros)).to_event(1)

    def forward(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior())
            pyro.sample("x", dist.Normal(z @ self.weight.T + self.bias, self.log_scale.exp()).to_event(1), obs=x)

    def exact_guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", self.posterior(x))


class GaussianGuide(nn.Module):
    """An amortised diagonal Gaussian over one latent vector `z`, affine in the data."""

    def __init__(self, features: int = 3, latents: int = 2) -> None:
        super().__init__()
        self.mean = nn.Linear(features, latents, dtype=torch.float64)
        self.log_scale = nn.Parameter(torch.full((latents,), -0.5, dtype=torch.float64))

    def forward(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.mean(x), self.log_scale.exp()).to_event(1))


def linear_gaussian_pair(*, exact: bool = False, **options):
    """Return factor analysis with its exact posterior or an amortised one, and the model alone."""
    model = LinearGaussian()
    guide = model.exact_guide if exact else GaussianGuide()
    return PyroPair(model, guide, event_shape=(3,), **options), model


class Chain(nn.Module):
    r"""A hierarchy $z_1 \to z_2 \to x$ of scalars, with a guide that draws $z_2$ first, or $z_1$ first."""

    def __init__(self, *, bottom_up: bool) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.9, dtype=torch.float64))
        self.link = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.bottom_up = bottom_up

    def model(self, x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Normal(x.new_zeros(()), 1.0))
            z2 = pyro.sample("z2", dist.Normal(self.slope * z1, 0.5))
            pyro.sample("x", dist.Normal(z2, 0.5), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            if self.bottom_up:
                z2 = pyro.sample("z2", dist.Normal(0.8 * x, 0.4))
                pyro.sample("z1", dist.Normal(self.link * z2, 0.6))
            else:
                z1 = pyro.sample("z1", dist.Normal(0.6 * x, 0.6))
                pyro.sample("z2", dist.Normal(self.link * x + 0.1 * z1, 0.4))


def standard_errors(draws):
    """Return the mean of draws along the first axis and its standard error."""
    return draws.mean(0), draws.std(0) / math.sqrt(len(draws))

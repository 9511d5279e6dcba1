"""A diffusion in a few steps with an affine denoiser: everything is Gaussian, so that its variational bound is known."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Normal, constraints, kl_divergence

from probgen.batch import Batch
from probgen.capabilities import NoiseProcess
from probgen.testing.problem import Oracle, Problem, Situation

__all__ = ["PROBLEMS", "AffineDiffusion", "diffusion_problem"]

_NODES = 12
"""Of a rule for integrals over normal noise; what is integrated is a square."""


class AffineDiffusion(nn.Module, NoiseProcess):
    r"""$z_t = \cos(\omega t)\, x + \sin(\omega t)\, \varepsilon$, undone by $\hat\varepsilon(z_t, t) = (a + b t)\, z_t + o$.

    Args:
        num_steps: Steps from noise to events.
        dtype: Of its parameters.
    """

    def __init__(self, num_steps: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([1]), None, constraints.real
        self.num_steps = self.steps = num_steps
        self.coefficients = nn.Parameter(torch.tensor([0.5, 0.3, -0.2], dtype=dtype))

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the two factors, of an angle that ends short of a right one."""
        angle = 1.4 * t
        return angle.cos(), angle.sin()

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the predicted noise."""
        a, b, offset = self.coefficients
        return (a + b * t[:, None]) * z_t + offset

    def reverse_variance(self, t: Tensor, s: Tensor) -> Tensor:
        """Return variances of no particular merit."""
        return 0.2 + 0.5 * t


def diffusion_problem(name: str = "affine-diffusion", *, num_steps: int = 3, batch: int = 1) -> Problem:
    """Return a diffusion on the line and a batch, with its bound as a sum of divergences between normal laws."""

    def make(dtype: torch.dtype) -> tuple[Any, Batch]:
        x = torch.linspace(-0.7, 1.1, batch, dtype=torch.float64) if batch > 1 else torch.tensor([0.8])
        return AffineDiffusion(num_steps, dtype), Batch(x.to(dtype)[:, None])

    return Problem(name, make, {"vlb": Oracle(_bound, maximised=True), "log_prob": Oracle(_log_prob, maximised=True)})


def _bound(situation: Situation) -> Tensor:
    r"""Return $\mathbb{E}_q[\log p(x, z_{1:T}) - \log q(z_{1:T} \mid x)]$, divergence by divergence, each by quadrature."""
    model, x = situation.model, situation.batch.x
    nodes, masses = (torch.from_numpy(array).to(x.dtype) for array in np.polynomial.hermite_e.hermegauss(_NODES))
    masses = masses / masses.sum()
    alpha, sigma = _factors(model, model.steps)
    total = -kl_divergence(Normal(alpha * x, sigma), Normal(torch.zeros_like(x), 1.0))
    for step in range(1, model.steps + 1):
        alpha, sigma = _factors(model, step)
        z = alpha * x + sigma * nodes  # (N, nodes)
        reverse = _reverse(model, step, z)
        last = step == 1
        scores = reverse.log_prob(x) if last else -kl_divergence(_posterior(model, step, z, x), reverse)
        total = total + (masses * scores).sum(1, keepdim=True)
    return total[:, 0]


def _log_prob(situation: Situation) -> Tensor:
    """Return the log-density of events: they are affine in normal variables, step after step."""
    model, x = situation.model, situation.batch.x
    mean, variance = torch.zeros_like(x), torch.ones_like(x)
    for step in range(model.steps, 0, -1):
        at_zero, at_one = (_reverse(model, step, torch.full_like(x, value)) for value in (0.0, 1.0))
        slope = at_one.mean - at_zero.mean
        mean, variance = at_zero.mean + slope * mean, slope.square() * variance + at_zero.variance
    return Normal(mean, variance.sqrt()).log_prob(x)[:, 0]


def _factors(model: AffineDiffusion, step: int) -> tuple[float, float]:
    angle = 1.4 * step / model.steps
    return math.cos(angle), math.sin(angle)


def _posterior(model: AffineDiffusion, step: int, z: Tensor, x: Tensor) -> Normal:
    """Return the law of the state before, given this one and the event: a product of two normal laws."""
    (alpha, sigma), (before, noise) = _factors(model, step), _factors(model, step - 1)
    ratio = alpha / before
    added = sigma**2 - (ratio * noise) ** 2
    precision = 1 / noise**2 + ratio**2 / added
    mean = (before * x / noise**2 + ratio * z / added) / precision
    return Normal(mean, precision**-0.5)


def _reverse(model: AffineDiffusion, step: int, z: Tensor) -> Normal:
    """Return the model's law of the state before: the posterior at the event that it predicts."""
    time = step / model.steps
    alpha, sigma = _factors(model, step)
    a, b, offset = model.coefficients
    event = (z - sigma * ((a + b * time) * z + offset)) / alpha
    mean = event if step == 1 else _posterior(model, step, z, event).mean
    return Normal(mean, math.sqrt(0.2 + 0.5 * time))


PROBLEMS = (diffusion_problem(), diffusion_problem("affine-diffusion-batch", num_steps=2, batch=2))

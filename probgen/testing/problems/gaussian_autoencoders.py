"""Linear-Gaussian autoencoders: one normal latent above one normal feature."""

from __future__ import annotations

import math
from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.pyro_pair import PyroPair
from probgen.testing.problem import Problem
from probgen.testing.problems.latent_program import Answer, LatentProgram
from probgen.testing.problems.latent_quantities import LATENT_ORACLES
from probgen.testing.problems.laws import Line, Space
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "GaussianAutoencoder", "gaussian_autoencoder_problem"]


class GaussianAutoencoder(LatentProgram):
    r"""$z \sim N(0, 1)$, $x \mid z \sim N(w z + b, s^2)$, with a guide that is near the posterior and not at it.

    Where it is near, weights of importance are smooth in the noise, so that quadrature with few nodes is exact to rounding.

    Args:
        slope: $w$.
        offset: How far the guide's mean is from the posterior's, in units of its scale.
        spread: Logarithm of how much wider the guide is than the posterior.
    """

    def __init__(self, *, slope: float = 0.6, offset: float = 0.1, spread: float = -0.05) -> None:
        super().__init__()
        self.latents, self.observed = {"z": Space("line")}, {"x": Space("line")}
        self.p.slope, self.p.bias, self.p.log_scale = (_number(value) for value in (slope, 0.3, 0.1))
        noise = math.exp(0.2)
        precision = 1 + slope**2 / noise
        self.q.slope, self.q.log_scale = _number(slope / noise / precision), _number(spread - 0.5 * math.log(precision))
        self.q.bias = _number(-0.3 * slope / noise / precision + offset / math.sqrt(precision))

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent, observe the feature."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x)), 1.0))
            pyro.sample("x", dist.Normal(self.p.slope * z + self.p.bias, self.p.log_scale.exp()), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent, given the feature."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.q.slope * x + self.q.bias, self.q.log_scale.exp()))

    def generate(self, answer: Answer, context: Tensor | None) -> None:
        """Ask for the sites in the model's order."""
        zero = torch.zeros_like(self.p.slope)
        z = answer("z", Line(zero, zero + 1))
        answer("x", Line(self.p.slope * z + self.p.bias, self.p.log_scale.exp()))

    def infer(self, x: Tensor, answer: Answer, context: Tensor | None) -> None:
        """Ask for the latent."""
        answer("z", Line(self.q.slope * x + self.q.bias, self.q.log_scale.exp()))

    def log_evidence(self, x: Tensor, context: Tensor | None) -> Tensor:
        r"""Return $\log N(x; b, w^2 + s^2)$."""
        return Line(self.p.bias, (self.p.slope.square() + (2 * self.p.log_scale).exp()).sqrt()).log_prob(x)


def gaussian_autoencoder_problem(
    name: str = "gaussian-autoencoder",
    *,
    batch: int = 1,
    slope: float = 0.6,
    offset: float = 0.1,
    spread: float = -0.05,
    seed: int = 30,
) -> Problem:
    """Return a linear-Gaussian autoencoder and a batch of data."""

    def make(dtype: torch.dtype) -> tuple[PyroPair, Batch]:
        program = GaussianAutoencoder(slope=slope, offset=offset, spread=spread).to(dtype)
        return program.pair(event_shape=()), Batch(generic_weights(batch, seed=seed, scale=1.5).to(dtype))

    return Problem(name, make, LATENT_ORACLES)


def _number(value: float) -> nn.Parameter:
    return nn.Parameter(torch.tensor(value, dtype=torch.float64))


PROBLEMS = (
    gaussian_autoencoder_problem(),
    gaussian_autoencoder_problem("gaussian-autoencoder-batch", batch=2, seed=36),
)

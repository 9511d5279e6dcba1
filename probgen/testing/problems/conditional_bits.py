"""A conditional model of bits, written as a class of probgen's rather than as a pair of functions."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.latent import LatentVariable
from probgen.testing.problem import Problem
from probgen.testing.problems.latent_program import Answer, LatentProgram
from probgen.testing.problems.latent_quantities import LATENT_ORACLES
from probgen.testing.problems.laws import Bits, Space
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "ConditionalBits", "conditional_bits_problem"]


class ConditionalBits(LatentProgram, LatentVariable):
    r"""A latent bit and a visible one, each of whose logits depends on a number $c$ that is given.

    Args:
        scale: Size of the weights.
        seed: Which weights.
    """

    event_shape, context_shape = torch.Size(()), torch.Size(())
    support = constraints.boolean
    inference = ("q.*",)

    def __init__(self, *, scale: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.latents, self.observed = {"z": Space("bits")}, {"x": Space("bits")}
        self.p.prior = nn.Parameter(generic_weights(2, seed=seed + 1, scale=scale))
        self.p.weight = nn.Parameter(generic_weights(3, seed=seed + 2, scale=1.5 * scale))
        self.q.weight = nn.Parameter(generic_weights(3, seed=seed + 3, scale=scale))

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent bit, observe the visible one."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self._prior(context)))
            pyro.sample("x", dist.Bernoulli(logits=self._seen(z, context)), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent bit, given the visible one."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=self._guess(x, context)))

    def generate(self, answer: Answer, context: Tensor | None) -> None:
        """Ask for the sites in the model's order."""
        z = answer("z", Bits(self._prior(context)))
        answer("x", Bits(self._seen(z, context)))

    def infer(self, x: Tensor, answer: Answer, context: Tensor | None) -> None:
        """Ask for the latent bit."""
        answer("z", Bits(self._guess(x, context)))

    def _prior(self, context: Tensor | None) -> Tensor:
        return self.p.prior[0] + self.p.prior[1] * context

    def _seen(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self.p.weight[0] * z + self.p.weight[1] + self.p.weight[2] * z * context

    def _guess(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.q.weight[0] * x + self.q.weight[1] + self.q.weight[2] * context


def conditional_bits_problem(
    name: str = "conditional-bits", *, batch: int = 2, scale: float = 1.0, seed: int = 100
) -> Problem:
    """Return a conditional model of two bits, and a batch of data with their conditions."""

    def make(dtype: torch.dtype) -> tuple[ConditionalBits, Batch]:
        x = (generic_weights(batch, seed=seed + 4) > 0).to(dtype)
        context = generic_weights(batch, seed=seed + 5).to(dtype)
        return ConditionalBits(scale=scale, seed=seed).to(dtype), Batch(x, context)

    return Problem(name, make, LATENT_ORACLES)


PROBLEMS = (conditional_bits_problem(),)

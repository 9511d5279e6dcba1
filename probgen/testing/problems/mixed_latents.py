"""A bit and a normal variable in one model."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.pyro_pair import PyroPair
from probgen.testing.problem import Problem
from probgen.testing.problems.latent_program import Answer, LatentProgram
from probgen.testing.problems.latent_quantities import BOUND_ORACLES
from probgen.testing.problems.laws import Bits, Line, Space
from probgen.testing.problems.strategy_quantities import STRATEGY_ORACLES
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "MixedLatents", "mixed_problem"]


class MixedLatents(LatentProgram):
    r"""A bit $b$, $z \mid b$ normal and $x \mid z, b$ normal. The guide draws the bit first, or the normal variable.

    Args:
        bit_first: The guide's order.
        scale: Size of the weights.
        seed: Which weights.
    """

    nodes = 24

    def __init__(self, *, bit_first: bool = True, scale: float = 0.7, seed: int = 0) -> None:
        super().__init__()
        self.bit_first = bit_first
        sites = {"bit": Space("bits"), "z": Space("line")}
        self.latents = sites if bit_first else dict(reversed(sites.items()))
        self.observed = {"x": Space("line")}
        self.p.prior = nn.Parameter(generic_weights(seed=seed + 1, scale=scale))
        self.p.mean = nn.Parameter(generic_weights(2, seed=seed + 2, scale=scale))
        self.p.slope = nn.Parameter(generic_weights(2, seed=seed + 3, scale=scale))
        self.q.logit = nn.Parameter(generic_weights(3, seed=seed + 4, scale=scale))
        self.q.mean = nn.Parameter(generic_weights(3, seed=seed + 5, scale=scale))
        self.q.log_scale = nn.Parameter(generic_weights(seed=seed + 6, scale=0.4 * scale))

    def _logit(self, x: Tensor, z: Tensor | float) -> Tensor:
        return self.q.logit[0] + self.q.logit[1] * x + self.q.logit[2] * z

    def _mean(self, x: Tensor, bit: Tensor | float) -> Tensor:
        return self.q.mean[0] + self.q.mean[1] * x + self.q.mean[2] * bit

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the bit, then the normal variable; observe the feature."""
        with pyro.plate("data", len(x)):
            bit = pyro.sample("bit", dist.Bernoulli(logits=self.p.prior.expand(len(x))))
            z = pyro.sample("z", dist.Normal(self.p.mean[0] + self.p.mean[1] * bit, 1.0))
            pyro.sample("x", dist.Normal(self.p.slope[0] * z + self.p.slope[1] * bit, 1.0), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw one latent given the feature, and the other given that."""
        with pyro.plate("data", len(x)):
            if self.bit_first:
                bit = pyro.sample("bit", dist.Bernoulli(logits=self._logit(x, 0.0)))
                pyro.sample("z", dist.Normal(self._mean(x, bit), self.q.log_scale.exp()))
            else:
                z = pyro.sample("z", dist.Normal(self._mean(x, 0.0), self.q.log_scale.exp()))
                pyro.sample("bit", dist.Bernoulli(logits=self._logit(x, z)))

    def generate(self, answer: Answer, context: Tensor | None) -> None:
        """Ask for the sites in the model's order."""
        bit = answer("bit", Bits(self.p.prior))
        one = torch.ones_like(self.p.prior)
        z = answer("z", Line(self.p.mean[0] + self.p.mean[1] * bit, one))
        answer("x", Line(self.p.slope[0] * z + self.p.slope[1] * bit, one))

    def infer(self, x: Tensor, answer: Answer, context: Tensor | None) -> None:
        """Ask for the latents in the guide's order."""
        if self.bit_first:
            bit = answer("bit", Bits(self._logit(x, 0.0)))
            answer("z", Line(self._mean(x, bit), self.q.log_scale.exp()))
        else:
            z = answer("z", Line(self._mean(x, 0.0), self.q.log_scale.exp()))
            answer("bit", Bits(self._logit(x, z)))

    def log_evidence(self, x: Tensor, context: Tensor | None) -> Tensor:
        r"""Return $\log p(x)$, of a mixture of two normal densities."""
        bit = torch.stack([torch.zeros_like(x), torch.ones_like(x)])
        mean = self.p.slope[0] * (self.p.mean[0] + self.p.mean[1] * bit) + self.p.slope[1] * bit
        seen = Line(mean, (self.p.slope[0].square() + 1).sqrt()).log_prob(x)
        return (Bits(self.p.prior).log_prob(bit) + seen).logsumexp(0)


def mixed_problem(
    name: str = "mixed-latents", *, bit_first: bool = True, batch: int = 1, scale: float = 0.7, seed: int = 80
) -> Problem:
    """Return a bit and a normal variable above a feature, and a batch of data."""

    def make(dtype: torch.dtype) -> tuple[PyroPair, Batch]:
        program = MixedLatents(bit_first=bit_first, scale=scale, seed=seed).to(dtype)
        return program.pair(event_shape=()), Batch(generic_weights(batch, seed=seed + 7, scale=1.5).to(dtype))

    return Problem(name, make, {**BOUND_ORACLES, **STRATEGY_ORACLES} if bit_first else BOUND_ORACLES)


PROBLEMS = (mixed_problem(), mixed_problem("mixed-latents-bit-last", bit_first=False, seed=90))

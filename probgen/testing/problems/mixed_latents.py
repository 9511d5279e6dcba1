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
from probgen.testing.problems.latent_quantities import BOUND_ORACLES, LATENT_ORACLES
from probgen.testing.problems.laws import Bits, Line, Space
from probgen.testing.problems.strategy_quantities import STRATEGY_ORACLES
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "MixedLatents", "mixed_problem", "near_posterior_problem"]


class MixedLatents(LatentProgram):
    r"""A bit $b$, $z \mid b$ normal and $x \mid z, b$ normal. The guide draws the bit first, or the normal variable.

    The posterior is of the guide's form where the bit comes first, so that a guide can be near it.

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

    @torch.no_grad()
    def approach(self, *, offset: float, spread: float) -> None:
        """Put the guide near the posterior, so near that weights of importance are smooth in the noise.

        Args:
            offset: How far the bit's log-odds are from the posterior's, and the mean in units of its scale.
            spread: Logarithm of how much wider the guide is than the posterior.
        """
        (first, more), (slope, shift) = self.p.mean, self.p.slope
        precision = 1 + slope.square()
        low, high = slope * first, slope * (first + more) + shift
        self.q.logit[0] = self.p.prior + (low.square() - high.square()) / (2 * precision) + offset
        self.q.logit[1] = (high - low) / precision
        self.q.mean[0] = first / precision + offset / precision.sqrt()
        self.q.mean[1] = slope / precision
        self.q.mean[2] = (more - slope * shift) / precision
        self.q.log_scale.fill_(spread - 0.5 * precision.log())
        self.nodes = 12

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


def near_posterior_problem(
    name: str = "mixed-latents-near-posterior", *, batch: int = 1, offset: float = 0.1, spread: float = -0.05, seed: int = 80
) -> Problem:
    """Return the same with a guide that is near the posterior, where bounds of several particles are known as well."""

    def make(dtype: torch.dtype) -> tuple[PyroPair, Batch]:
        program = MixedLatents(seed=seed)
        program.approach(offset=offset, spread=spread)
        return program.to(dtype).pair(event_shape=()), Batch(generic_weights(batch, seed=seed + 7, scale=1.5).to(dtype))

    return Problem(name, make, LATENT_ORACLES)


PROBLEMS = (near_posterior_problem(), mixed_problem(), mixed_problem("mixed-latents-bit-last", bit_first=False, seed=90))

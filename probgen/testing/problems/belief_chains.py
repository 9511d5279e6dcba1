"""Chains of bits, each at a site of its own."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.pyro_pair import PyroPair
from probgen.testing.problem import Problem
from probgen.testing.problems.latent_program import Answer, LatentProgram
from probgen.testing.problems.latent_quantities import LATENT_ORACLES
from probgen.testing.problems.laws import Bits, Space
from probgen.testing.problems.strategy_quantities import STRATEGY_ORACLES
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "BeliefChain", "belief_chain_problem"]


class BeliefChain(LatentProgram):
    r"""$z_1 \to z_2 \to x$ with a bit at each latent site, and two visible bits.

    Args:
        bottom_up: Whether the guide draws $z_2$ first.
        scale: Size of the weights.
        seed: Which weights.
    """

    def __init__(self, *, bottom_up: bool = False, scale: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.order = ("z2", "z1") if bottom_up else ("z1", "z2")
        self.latents, self.observed = {name: Space("bits") for name in self.order}, {"x": Space("bits", 2)}
        self.p.top = nn.Parameter(generic_weights(seed=seed + 1, scale=scale))
        self.p.link = nn.Parameter(generic_weights(2, seed=seed + 2, scale=1.5 * scale))
        self.p.weight = nn.Parameter(generic_weights(2, seed=seed + 3, scale=1.5 * scale))
        self.p.bias = nn.Parameter(generic_weights(2, seed=seed + 4, scale=scale))
        self.q.first = nn.Parameter(generic_weights(2, seed=seed + 5, scale=scale))
        self.q.second = nn.Parameter(generic_weights(2, seed=seed + 6, scale=scale))
        self.q.link = nn.Parameter(generic_weights(2, seed=seed + 7, scale=1.5 * scale))

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latents from above, observe the visible bits."""
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Bernoulli(logits=self.p.top.expand(len(x))))
            z2 = pyro.sample("z2", dist.Bernoulli(logits=self.p.link[0] * z1 + self.p.link[1]))
            pyro.sample("x", dist.Bernoulli(logits=z2[..., None] * self.p.weight + self.p.bias).to_event(1), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw one latent given the visible bits, and the other given that."""
        first, second = self.order
        with pyro.plate("data", len(x)):
            drawn = pyro.sample(first, dist.Bernoulli(logits=x @ self.q.first))
            logits = x @ self.q.second + self.q.link[0] * drawn + self.q.link[1]
            pyro.sample(second, dist.Bernoulli(logits=logits))

    def generate(self, answer: Answer, context: Tensor | None) -> None:
        """Ask for the sites in the model's order."""
        z1 = answer("z1", Bits(self.p.top))
        z2 = answer("z2", Bits(self.p.link[0] * z1 + self.p.link[1]))
        answer("x", Bits(z2[..., None] * self.p.weight + self.p.bias, 1))

    def infer(self, x: Tensor, answer: Answer, context: Tensor | None) -> None:
        """Ask for the latents in the guide's order."""
        first, second = self.order
        drawn = answer(first, Bits(x @ self.q.first))
        answer(second, Bits(x @ self.q.second + self.q.link[0] * drawn + self.q.link[1]))


def belief_chain_problem(
    name: str = "belief-chain", *, bottom_up: bool = False, batch: int = 1, scale: float = 1.0, seed: int = 40
) -> Problem:
    """Return a chain of two latent bits and a batch of data."""

    def make(dtype: torch.dtype) -> tuple[PyroPair, Batch]:
        chain = BeliefChain(bottom_up=bottom_up, scale=scale, seed=seed).to(dtype)
        x = (generic_weights(batch, 2, seed=seed + 8) > 0).to(dtype)
        return chain.pair(event_shape=(2,), support=constraints.boolean), Batch(x)

    return Problem(name, make, LATENT_ORACLES if bottom_up else {**LATENT_ORACLES, **STRATEGY_ORACLES})


PROBLEMS = (belief_chain_problem(), belief_chain_problem("belief-chain-bottom-up", bottom_up=True, seed=50))

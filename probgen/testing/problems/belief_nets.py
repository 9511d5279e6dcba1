"""Sigmoid belief nets: a layer of bits above a layer of visible ones."""

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
from probgen.testing.problems.relaxed_quantities import RELAXED_ORACLES
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "BeliefNet", "belief_net_problem"]


class BeliefNet(LatentProgram):
    r"""$z \sim \mathrm{Bernoulli}(\sigma(a))$, $x \mid z \sim \mathrm{Bernoulli}(\sigma(W^\top z + b))$; one latent site.

    Args:
        visible: Number of visible bits.
        latents: Number of latent ones.
        scale: Size of the weights.
        seed: Which weights.
    """

    def __init__(self, *, visible: int = 3, latents: int = 2, scale: float = 1.0, seed: int = 0) -> None:
        super().__init__()
        self.latents, self.observed = {"z": Space("bits", latents)}, {"x": Space("bits", visible)}
        self.p.prior = nn.Parameter(generic_weights(latents, seed=seed + 1, scale=scale))
        self.p.weight = nn.Parameter(generic_weights(latents, visible, seed=seed + 2, scale=1.5 * scale))
        self.p.bias = nn.Parameter(generic_weights(visible, seed=seed + 3, scale=scale))
        self.q.weight = nn.Parameter(generic_weights(visible, latents, seed=seed + 4, scale=scale))
        self.q.bias = nn.Parameter(generic_weights(latents, seed=seed + 5, scale=0.5 * scale))

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latents, observe the visible bits."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.p.prior.expand(len(x), -1)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=z @ self.p.weight + self.p.bias).to_event(1), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latents, given the visible bits."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=x @ self.q.weight + self.q.bias).to_event(1))

    def generate(self, answer: Answer, context: Tensor | None) -> None:
        """Ask for the sites in the model's order."""
        z = answer("z", Bits(self.p.prior, 1))
        answer("x", Bits(z @ self.p.weight + self.p.bias, 1))

    def infer(self, x: Tensor, answer: Answer, context: Tensor | None) -> None:
        """Ask for the latents."""
        answer("z", Bits(x @ self.q.weight + self.q.bias, 1))


def belief_net_problem(
    name: str = "sigmoid-belief-net",
    *,
    visible: int = 3,
    latents: int = 2,
    batch: int = 1,
    scale: float = 1.0,
    seed: int = 0,
) -> Problem:
    """Return a sigmoid belief net and a batch of data, all of whose quantities are sums over the latents."""

    def make(dtype: torch.dtype) -> tuple[PyroPair, Batch]:
        net = BeliefNet(visible=visible, latents=latents, scale=scale, seed=seed).to(dtype)
        x = (generic_weights(batch, visible, seed=seed + 6) > 0).to(dtype)
        return net.pair(event_shape=(visible,), support=constraints.boolean), Batch(x)

    return Problem(name, make, {**LATENT_ORACLES, **RELAXED_ORACLES})


PROBLEMS = (
    belief_net_problem("one-bit", visible=2, latents=1, seed=20),
    belief_net_problem("one-bit-batch", visible=2, latents=1, batch=2, seed=20),
    belief_net_problem(),
)

"""Hierarchies of normal latents."""

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
from probgen.testing.problems.laws import Line, Space
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "GaussianHierarchy", "gaussian_hierarchy_problem"]


class GaussianHierarchy(LatentProgram):
    r"""$z_1 \to z_2 \to x$, normal given the one before, with a guide that draws $z_1$ first, or `bottom_up` $z_2$.

    Args:
        bottom_up: The guide's order.
        scale: Size of the weights.
        seed: Which weights.
    """

    nodes = 12

    def __init__(self, *, bottom_up: bool = False, scale: float = 0.8, seed: int = 0) -> None:
        super().__init__()
        self.order = ("z2", "z1") if bottom_up else ("z1", "z2")
        self.latents, self.observed = {name: Space("line") for name in self.order}, {"x": Space("line")}
        self.p.link = nn.Parameter(generic_weights(2, seed=seed + 1, scale=scale))
        self.p.slope = nn.Parameter(generic_weights(2, seed=seed + 2, scale=scale))
        self.q.first = nn.Parameter(generic_weights(2, seed=seed + 3, scale=scale))
        self.q.second = nn.Parameter(generic_weights(2, seed=seed + 4, scale=scale))
        self.q.log_scale = nn.Parameter(generic_weights(2, seed=seed + 5, scale=0.5 * scale))

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latents from above, observe the feature."""
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Normal(x.new_zeros(len(x)), 1.0))
            z2 = pyro.sample("z2", dist.Normal(self.p.link[0] * z1 + self.p.link[1], 1.0))
            pyro.sample("x", dist.Normal(self.p.slope[0] * z2 + self.p.slope[1], 1.0), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw one latent given the feature, and the other given that."""
        first, second = self.order
        with pyro.plate("data", len(x)):
            drawn = pyro.sample(first, dist.Normal(self.q.first[0] * x + self.q.first[1], self.q.log_scale[0].exp()))
            mean = self.q.second[0] * x + self.q.second[1] * drawn
            pyro.sample(second, dist.Normal(mean, self.q.log_scale[1].exp()))

    def generate(self, answer: Answer, context: Tensor | None) -> None:
        """Ask for the sites in the model's order."""
        one = torch.ones_like(self.p.link[0])
        z1 = answer("z1", Line(0 * one, one))
        z2 = answer("z2", Line(self.p.link[0] * z1 + self.p.link[1], one))
        answer("x", Line(self.p.slope[0] * z2 + self.p.slope[1], one))

    def infer(self, x: Tensor, answer: Answer, context: Tensor | None) -> None:
        """Ask for the latents in the guide's order."""
        first, second = self.order
        drawn = answer(first, Line(self.q.first[0] * x + self.q.first[1], self.q.log_scale[0].exp()))
        answer(second, Line(self.q.second[0] * x + self.q.second[1] * drawn, self.q.log_scale[1].exp()))

    def log_evidence(self, x: Tensor, context: Tensor | None) -> Tensor:
        r"""Return $\log p(x)$, a normal density."""
        link, slope = self.p.link, self.p.slope
        variance = slope[0].square() * (link[0].square() + 1) + 1
        return Line(slope[0] * link[1] + slope[1], variance.sqrt()).log_prob(x)


def gaussian_hierarchy_problem(
    name: str = "gaussian-hierarchy", *, bottom_up: bool = False, batch: int = 1, scale: float = 0.8, seed: int = 60
) -> Problem:
    """Return two normal latents above a feature, and a batch of data."""

    def make(dtype: torch.dtype) -> tuple[PyroPair, Batch]:
        program = GaussianHierarchy(bottom_up=bottom_up, scale=scale, seed=seed).to(dtype)
        return program.pair(event_shape=()), Batch(generic_weights(batch, seed=seed + 6, scale=1.5).to(dtype))

    return Problem(name, make, BOUND_ORACLES)


PROBLEMS = (
    gaussian_hierarchy_problem(),
    gaussian_hierarchy_problem("gaussian-hierarchy-bottom-up", bottom_up=True, seed=70),
)

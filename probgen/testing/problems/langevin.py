"""A normal law with a chain whose steps carry gradients: it tells who differentiates through the chain."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.capabilities import MarkovKernel, UnnormalizedDensity
from probgen.testing.problem import Oracle, Problem, Situation
from probgen.testing.problems.chains import chain_oracles

__all__ = ["LangevinLine", "langevin_problem"]


class LangevinLine(nn.Module, UnnormalizedDensity, MarkovKernel):
    r"""$E(x) = \frac{s}{2} (x - m)^2$ on the line, with unadjusted Langevin steps $x - h E'(x) + \sqrt{2 h}\,\varepsilon$.

    Args:
        loc: $m$, `(1,)`.
        log_stiffness: $\log s$, `(1,)`.
        step_size: $h$.
    """

    def __init__(self, loc: Tensor, log_stiffness: Tensor, *, step_size: float) -> None:
        super().__init__()
        self.event_shape, self.context_shape = loc.shape, None
        self.support = constraints.real
        self.loc, self.log_stiffness = nn.Parameter(loc.clone()), nn.Parameter(log_stiffness.clone())
        self.step_size = step_size

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        return 0.5 * (self.log_stiffness.exp() * (x - self.loc).square()).sum(1)

    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return chains at the events."""
        return {"x": x}

    def step(
        self, state: Mapping[str, Tensor], context: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Follow the energy's slope with noise."""
        x = state["x"]
        drift = self.step_size * self.log_stiffness.exp() * (x - self.loc)
        return {"x": x - drift + math.sqrt(2 * self.step_size) * torch.randn_like(x)}, {}


def langevin_problem(
    loc: Tensor, log_stiffness: Tensor, x: Tensor, *, step_size: float = 0.3, name: str = "langevin-line"
) -> Problem:
    """Return the problem of a `LangevinLine`, which knows `log_prob` and the quantities of `chain_oracles`.

    Args:
        loc: `(1,)`.
        log_stiffness: `(1,)`.
        x: The batch, `(N, 1)`.
        step_size: Of the chain.
        name: What to call it.
    """

    def make(dtype: torch.dtype) -> tuple[LangevinLine, Batch]:
        return LangevinLine(loc.to(dtype), log_stiffness.to(dtype), step_size=step_size), Batch(x.to(dtype))

    oracles = {"log_prob": Oracle(_log_prob, maximised=True), **chain_oracles(_energies)}
    return Problem(name, make, oracles)


def _log_prob(situation: Situation) -> Tensor:
    model = situation.model
    off = situation.batch.x - model.loc
    return (0.5 * (model.log_stiffness - math.log(2 * math.pi) - model.log_stiffness.exp() * off**2)).squeeze(1)


def _energies(model: LangevinLine, starts: Tensor, steps: int) -> Tensor:
    r"""Return $\frac{s}{2}((\mu_k - m)^2 + v_k)$: a step keeps a share $1 - h s$ of the deviation and adds a variance 2h."""
    loc, keeps = model.loc.detach(), 1 - model.step_size * model.log_stiffness.detach().exp()
    mean = loc + keeps**steps * (starts - loc)
    variance = sum((2 * model.step_size * keeps ** (2 * before) for before in range(steps)), torch.zeros_like(loc))
    return (0.5 * model.log_stiffness.exp() * ((mean - model.loc).square() + variance)).squeeze(1)

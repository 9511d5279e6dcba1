"""The gradient that flows through reparameterised draws, apart from everything else."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from probgen.pyro_bridge import Drawn, Statement

__all__ = ["CutDraws"]


class _Cut(NamedTuple):
    """A draw, which depends on the guide's parameters and earlier copies; and its copy, a leaf that programs go on with."""

    draw: Tensor
    copy: Tensor


class CutDraws:
    r"""Answers a guide's statements with draws that are cut off from how they came about.

    In a run with `draw=CutDraws()`, both programs see copies of the reparameterised draws. Every score is then a function
    $f(z, \theta, \phi)$ of the copies and the parameters, and its gradient with respect to a parameter is the partial one,
    at fixed draws. `along` gives the rest:

    $$\nabla_\phi f(z(\phi), \theta, \phi) = \frac{\partial f}{\partial \phi}
      + \frac{\partial f}{\partial z} \frac{\mathrm{d} z}{\mathrm{d} \phi}$$

    A guide's later draws may depend on earlier ones, in means and scales as anywhere: the chain is followed back through
    all of them. So a score at fixed *parameters* needs neither a second run of the guide nor a copy of its distributions.
    """

    def __init__(self) -> None:
        self._cuts: list[_Cut] = []

    def __call__(self, statement: Statement) -> Drawn | None:
        """Draw at a guide's statement and return the copy; None where draws carry no gradient."""
        if statement.marked or not statement.pathwise:
            return None
        draw = statement.distribution()
        if not draw.requires_grad:
            return Drawn(draw, reparameterized=True)
        self._cuts.append(_Cut(draw, draw.detach().requires_grad_()))
        return Drawn(self._cuts[-1].copy, reparameterized=True)

    def along(self, objective: Tensor) -> Tensor:
        """Return a scalar whose gradient is that of the scalar `objective` through the draws alone; its value means nothing.

        The graph of `objective` is kept. First derivatives only: the sensitivities of later to earlier draws are constants
        here.
        """
        if not self._cuts:
            return objective.new_zeros(())
        copies = [cut.copy for cut in self._cuts]
        slopes = list(torch.autograd.grad(objective, copies, retain_graph=True, materialize_grads=True))
        for number in range(len(copies) - 1, 0, -1):
            draw = self._cuts[number].draw
            through = torch.autograd.grad(draw, copies[:number], slopes[number], retain_graph=True, materialize_grads=True)
            slopes[:number] = [slope + more for slope, more in zip(slopes, through, strict=False)]
        parts = [(cut.draw * slope).sum() for cut, slope in zip(self._cuts, slopes, strict=True)]
        return torch.stack(parts).sum()

"""The cells of levels on the real line: which level a position belongs to, and where in its cell an event may lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from probgen.capabilities import Reparameterized
from probgen.density import Density
from probgen.sampler import Sampler
from probgen.supports import categorical

__all__ = ["Cells", "Placement"]


class Cells(Density, Sampler):
    r"""The law of levels given positions: $P(x \mid y) = 1$ where $x \le y \le x + 1$ in every entry, else 0.

    Both edges belong to a cell, since rounding may carry a draw to the upper one; that changes nothing on which a density
    puts mass.

    Args:
        event_shape: Shape of an event.
        levels: How many there are.
    """

    def __init__(self, event_shape: Sequence[int], *, levels: int) -> None:
        self.event_shape = self.context_shape = torch.Size(event_shape)
        self.support = constraints.boolean if levels == 2 else categorical(levels)
        self.levels = levels

    def holding(self, position: Tensor) -> Tensor:
        """Return the level whose cell a position is in, shaped as the position; outside all of them, the nearest."""
        return position.floor().clamp(0, self.levels - 1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        offset = (context - x).flatten(1)  # pyright: ignore[reportOptionalOperand]  # conditional: the base has checked
        held = ((offset >= 0) & (offset <= 1)).all(1)
        return torch.zeros_like(offset[:, 0]).masked_fill(~held, -torch.inf)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self.holding(context)  # pyright: ignore[reportArgumentType]


class Placement(Density, Reparameterized):
    r"""The law of positions given levels: $y = x + u$ with $u$ uniform on $[0, 1)$, or from a model.

    Args:
        event_shape: Shape of an event.
        levels: How many there are.
        noise: The model of $u$, conditional on the flattened event scaled to $[0, 1]$; None for uniform noise.
    """

    def __init__(self, event_shape: Sequence[int], *, levels: int, noise: Any) -> None:
        self.event_shape = self.context_shape = torch.Size(event_shape)
        self.support = constraints.real
        self.levels = levels
        self.noise = noise

    def scaled(self, x: Tensor) -> Tensor:
        """Return what the noise is given: `(N, *event_shape) -> (N, D)` with entries in the unit interval."""
        return _floating(x).flatten(1) / (self.levels - 1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        level = _floating(context)
        u = x - level
        if self.noise is not None:
            return self.noise.log_prob(u, self.scaled(level))
        offset = u.flatten(1)
        return torch.zeros_like(offset[:, 0]).masked_fill(~((offset >= 0) & (offset <= 1)).all(1), -torch.inf)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self._rsample_and_log_prob(n, context)[0]

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        level = _floating(context)
        if self.noise is None:
            return level + torch.rand_like(level), level.new_zeros(n)
        u, scores = self.noise.rsample_and_log_prob((), self.scaled(level))
        return level + u, scores


def _floating(x: Tensor | None) -> Tensor:
    """Return levels as floating point; the base has checked that they are there."""
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())  # pyright: ignore

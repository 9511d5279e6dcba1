"""Draws of a user's function, made in portions and remembered as sums."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from probgen.errors import ShapeError
from probgen.testing.seeds import derive_seed
from probgen.testing.sums import Sums

__all__ = ["Drawn", "Source", "to_array"]

_PORTION = 2**20
"""How many numbers one call is asked for, at most, unless one draw has more."""


class Source(Protocol):
    """Where fresh draws come from: every call makes new ones."""

    target: np.ndarray
    """What the draws are centred at, `(d,)`."""
    seed: int
    """What all of them follow from."""
    samples: int
    """How many have been made."""
    resolution: float
    """Their relative rounding error."""

    def sums(self, n: int) -> Sums | None:
        """Return the sums over `n` draws; None if one of them is not finite."""
        ...

    def projected(self, n: int, direction: np.ndarray) -> Sums | None:
        """Return the sums over the projections of `n` draws on `direction`; None if one of them is not finite."""
        ...


class Drawn:
    """Fresh draws of `draw(n, seed)`, centred at `target`; no two calls are given the same seed.

    Args:
        draw: Returns `n` draws, `(n, d)`, or `(n,)` where the target has one coordinate.
        target: The claimed mean, `(d,)`.
        seed: From which the seeds of the calls follow.
    """

    def __init__(self, draw: Callable[[int, int], Any], target: np.ndarray, *, seed: int) -> None:
        self.target = target
        self.seed = seed
        self.samples = 0
        self.resolution = 1e-9
        self._draw = draw
        self._calls = 0

    def sums(self, n: int) -> Sums | None:
        """Return the sums over `n` fresh draws; None if one of them is not finite."""
        return self._summed(n, lambda centred: centred)

    def projected(self, n: int, direction: np.ndarray) -> Sums | None:
        """Return the sums over the projections of `n` fresh draws on `direction`; None if one of them is not finite."""
        return self._summed(n, lambda centred: centred @ direction[:, None])

    def _summed(self, n: int, view: Callable[[np.ndarray], np.ndarray]) -> Sums | None:
        total: Sums | None = None
        for portion in self._portions(n):
            draws = self._call(portion)
            if not np.isfinite(draws).all():
                return None
            part = Sums.of(view(draws - self.target))
            total = part if total is None else total + part
        return total

    def _portions(self, n: int) -> Iterator[int]:
        size = max(_PORTION // len(self.target), 1)
        while n > 0:
            yield min(n, size)
            n -= size

    def _call(self, n: int) -> np.ndarray:
        self._calls += 1
        draws, epsilon = to_array(self._draw(n, derive_seed("draws", self._calls, entropy=self.seed)))
        features = len(self.target)
        if draws.shape != (n, features) and not (features == 1 and draws.shape == (n,)):
            raise ShapeError(
                f"decide_mean: expected draws of shape ({n}, {features}); got {draws.shape}. Return one row for each draw."
            )
        self.samples += n
        self.resolution = max(self.resolution, 100 * epsilon)
        return draws.reshape(n, features)


def to_array(draws: Any) -> tuple[np.ndarray, float]:
    """Return tensor or array as float64, and the relative rounding error of the numbers it held."""
    if isinstance(draws, Tensor):
        epsilon = torch.finfo(draws.dtype).eps if draws.is_floating_point() else 0.0
        return draws.detach().to("cpu", torch.float64).numpy(), epsilon
    array = np.asarray(draws)
    epsilon = float(np.finfo(array.dtype).eps) if np.issubdtype(array.dtype, np.floating) else 0.0
    return array.astype(np.float64), epsilon

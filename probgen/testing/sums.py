"""What the statistical engine remembers of the draws it has seen."""

from __future__ import annotations

import dataclasses

import numpy as np

__all__ = ["Sums"]

_CANCELLATION = 1e-7
"""Sums of squares about a target that is this many times farther away than the draws spread leave no digit of the spread."""


@dataclasses.dataclass(frozen=True)
class Sums:
    """Sums of powers of $X - t$ over draws, about a known target $t$, in float64: so little cancels.

    The leading dimensions, if any, are runs of a study; a check has none.

    Args:
        n: Number of draws.
        first: Sum of $X - t$, `(..., d)`.
        second: Sum of $(X - t)(X - t)^T$, `(..., d, d)`.
        third: Sum of the cubes, `(..., d)`.
    """

    n: int
    first: np.ndarray
    second: np.ndarray
    third: np.ndarray

    @classmethod
    def of(cls, centred: np.ndarray) -> Sums:
        """Return the sums over the rows of `centred`, `(n, d)`.

        Example:
            >>> Sums.of(np.array([[1.0], [3.0]])).mean
            array([2.])
        """
        return cls(len(centred), centred.sum(0), centred.T @ centred, (centred**3).sum(0))

    def __add__(self, other: Sums) -> Sums:
        return Sums(self.n + other.n, self.first + other.first, self.second + other.second, self.third + other.third)

    def __getitem__(self, index: np.ndarray | slice) -> Sums:
        """Return some of the runs."""
        return Sums(self.n, self.first[index], self.second[index], self.third[index])

    @property
    def mean(self) -> np.ndarray:
        """Mean deviation from the target, `(..., d)`."""
        return self.first / self.n

    @property
    def covariance(self) -> np.ndarray:
        """Sample covariance, `(..., d, d)`."""
        mean = self.mean
        return (self.second - self.n * mean[..., :, None] * mean[..., None, :]) / (self.n - 1)

    @property
    def deviation(self) -> np.ndarray:
        """Sample standard deviation of each coordinate, `(..., d)`; 0 where rounding alone would leave what is there."""
        mean = self.mean
        squares = np.diagonal(self.second, axis1=-2, axis2=-1) - self.n * mean**2
        deviation = np.sqrt(np.maximum(squares, 0.0) / (self.n - 1))
        return np.where(deviation > _CANCELLATION * np.abs(mean), deviation, 0.0)

    @property
    def skewness(self) -> np.ndarray:
        """Sample skewness of each coordinate, `(..., d)`; 0 where nothing varies."""
        mean, deviation = self.mean, self.deviation
        squares = np.diagonal(self.second, axis1=-2, axis2=-1) / self.n
        central = self.third / self.n - 3 * mean * squares + 2 * mean**3
        return np.divide(central, deviation**3, out=np.zeros_like(central), where=deviation > 0)

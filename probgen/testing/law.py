"""Distributions with finitely many outcomes, as tables."""

from __future__ import annotations

import dataclasses

import numpy as np

from probgen.errors import ShapeError
from probgen.testing.sums import Sums

__all__ = ["FiniteLaw", "LawSource"]


@dataclasses.dataclass(frozen=True)
class FiniteLaw:
    """A random vector that takes finitely many values: how an estimator's draws are distributed, for studies of the engine.

    A million draws cost as much as a thousand: only how often each value occurs is drawn.

    Args:
        values: Outcomes, `(m, d)`.
        probabilities: Their probabilities, `(m,)`; they sum to 1.

    Raises:
        ShapeError: the two do not belong together.

    Example:
        >>> coin = FiniteLaw(np.array([[0.0], [1.0]]), np.array([0.7, 0.3]))
        >>> coin.mean
        array([0.3])
        >>> coin.draw(4, 0).shape
        (4, 1)
    """

    values: np.ndarray
    probabilities: np.ndarray

    def __post_init__(self) -> None:
        if self.values.ndim != 2 or self.probabilities.shape != self.values.shape[:1]:
            raise ShapeError(
                "FiniteLaw: expected values (m, d) and probabilities (m,); "
                f"got {self.values.shape} and {self.probabilities.shape}. Give one probability for each row."
            )

    @property
    def mean(self) -> np.ndarray:
        """The expectation, `(d,)`."""
        return self.probabilities @ self.values

    @property
    def skewness(self) -> np.ndarray:
        """The third standardised moment of each coordinate, `(d,)`; 0 for a constant one."""
        centred = self.values - self.mean
        deviation = np.sqrt(self.probabilities @ centred**2)
        return np.divide(self.probabilities @ centred**3, deviation**3, out=np.zeros_like(deviation), where=deviation > 0)

    def draw(self, n: int, seed: int) -> np.ndarray:
        """Return `n` independent draws, `(n, d)`."""
        return self.values[np.random.default_rng(seed).choice(len(self.values), size=n, p=self.probabilities)]

    def shifted(self, by: np.ndarray) -> FiniteLaw:
        """Return the law of the vector plus `by`, `(d,)`: one whose mean is off by that much."""
        return FiniteLaw(self.values + by, self.probabilities)

    def source(self, target: np.ndarray, *, seed: int) -> LawSource:
        """Return a source of draws about `target`."""
        return LawSource(self, target, seed=seed)

    def sums(self, n: int, target: np.ndarray, stream: np.random.Generator, *, runs: int | None = None) -> Sums:
        """Return the sums over `n` fresh draws about `target`, or those of many `runs`."""
        counts = stream.multinomial(n, self.probabilities, size=runs).astype(float)
        centred = self.values - target
        products = (centred[:, :, None] * centred[:, None, :]).reshape(len(centred), -1)
        features = centred.shape[1]
        return Sums(
            n=n,
            first=counts @ centred,
            second=(counts @ products).reshape(*counts.shape[:-1], features, features),
            third=counts @ centred**3,
        )


class LawSource:
    """Fresh draws of a `FiniteLaw`, as the engine asks for them."""

    def __init__(self, law: FiniteLaw, target: np.ndarray, *, seed: int) -> None:
        self.target = target
        self.seed = seed
        self.samples = 0
        self.resolution = 1e-9
        self._law = law
        self._stream = np.random.default_rng(seed)

    def sums(self, n: int) -> Sums | None:
        """Return the sums over `n` draws; None if an outcome of the law is not finite."""
        self.samples += n
        return self._law.sums(n, self.target, self._stream) if np.isfinite(self._law.values).all() else None

    def projected(self, n: int, direction: np.ndarray) -> Sums | None:
        """Return the sums over the projections of `n` draws on `direction`; None if an outcome is not finite."""
        self.samples += n
        projection = FiniteLaw((self._law.values - self.target) @ direction[:, None], self._law.probabilities)
        return projection.sums(n, np.zeros(1), self._stream) if np.isfinite(projection.values).all() else None

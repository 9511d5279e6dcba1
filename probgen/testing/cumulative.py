"""The distribution function of a density on the line, by adaptive quadrature."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.interpolate import CubicHermiteSpline

from probgen.errors import SupportError

__all__ = ["Cumulative", "integrate"]

_LOW, _HIGH = (np.polynomial.legendre.leggauss(order) for order in (8, 12))
_TOLERANCE = 1e-11
"""Error allowed in one panel."""

_DEPTH = 50
_COARSE = 64
_MOST_PANELS = 20_000
_SUBDIVISION = 8
_EDGE = 1e-15
r"""How close to 0 and 1 the variable of integration goes: the tails of $10^{-15}$ of the map are left out."""


@dataclasses.dataclass(frozen=True)
class _Axis:
    """A map of (0, 1) onto the interval from `low` to `high`, with half of it near `centre`, within `scale`."""

    low: float
    high: float
    centre: float
    scale: float

    def from_unit(self, unit: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the points of the interval, and the derivative there."""
        low, high, scale = self.low, self.high, self.scale
        if np.isfinite(low) and np.isfinite(high):
            return low + (high - low) * unit, np.full_like(unit, high - low)
        if np.isfinite(low):
            return low + scale * unit / (1 - unit), scale / (1 - unit) ** 2
        if np.isfinite(high):
            return high - scale * (1 - unit) / unit, scale / unit**2
        ratio = (2 * unit - 1) / (unit * (1 - unit)) / 2
        return self.centre + scale * ratio, scale * (1 / unit**2 + 1 / (1 - unit) ** 2) / 2

    def to_unit(self, x: np.ndarray) -> np.ndarray:
        """Invert `from_unit`."""
        low, high, scale = self.low, self.high, self.scale
        if np.isfinite(low) and np.isfinite(high):
            return (x - low) / (high - low)
        if np.isfinite(low):
            return (x - low) / (scale + x - low)
        if np.isfinite(high):
            return scale / (scale + high - x)
        ratio = (x - self.centre) / scale
        return 0.5 + 0.5 * ratio / (1 + np.sqrt(1 + ratio**2))


@dataclasses.dataclass(frozen=True)
class Cumulative:
    """A distribution function, tabulated.

    Args:
        mass: The integral of the density: 1 for a normalised one.
    """

    mass: float
    _axis: _Axis
    _spline: CubicHermiteSpline

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Return the probability of a value up to `x`, in [0, 1]."""
        unit = self._axis.to_unit(x)
        return np.clip(self._spline(np.clip(unit, _EDGE, 1 - _EDGE)) / self.mass, 0.0, 1.0)


def integrate(
    density: Callable[[np.ndarray], np.ndarray],
    low: float,
    high: float,
    *,
    near: np.ndarray | None = None,
    precision: float = 0.0,
) -> Cumulative:
    """Return the distribution function of `density` on the interval from `low` to `high`, either of which may be infinite.

    The interval is mapped to (0, 1) and halved where two Gauss-Legendre rules disagree, so that kinks and jumps are found.

    Args:
        density: Values at `(n,)` points, `(n,)`; it need not be normalised.
        low: Left end of the support.
        high: Right end.
        near: Points where there may be mass, `(m,)`: a density that is narrow or far out is missed without them.
        precision: Relative rounding error of the density.

    Raises:
        SupportError: the density is negative or not finite somewhere, or has no mass.

    Example:
        >>> standard = integrate(lambda x: np.exp(-x**2 / 2) / np.sqrt(2 * np.pi), -np.inf, np.inf)
        >>> round(standard.mass, 9), standard(np.array([0.0, 1.959964])).round(6)
        (1.0, array([0.5  , 0.975]))
    """
    axis = _Axis(low, high, *((0.0, 1.0) if near is None else _place(near)))

    def weighted(unit: np.ndarray) -> np.ndarray:
        point, stretch = axis.from_unit(unit)
        values = density(point)
        if not np.isfinite(values).all() or (values < 0).any():
            raise SupportError(
                "integrate: expected a finite density of at least 0; "
                f"got {values[~np.isfinite(values) | (values < 0)][0]:g}. Check log_prob inside its support."
            )
        return values * stretch

    hints = np.zeros(0) if near is None else axis.to_unit(_spread_out(near).clip(low, high))
    knots = _panels(weighted, hints, precision)
    masses = _rule(weighted, knots[:-1], knots[1:], _HIGH)
    cumulative = np.concatenate([[0.0], np.cumsum(masses)])
    if not cumulative[-1] > 0:
        raise SupportError("integrate: expected a density with mass in its support; got 0 everywhere. Check its support.")
    return Cumulative(float(cumulative[-1]), axis, CubicHermiteSpline(knots, cumulative, weighted(knots)))


def _place(near: np.ndarray) -> tuple[float, float]:
    """Return the middle of some points and how far they spread."""
    lower, middle, upper = np.quantile(near, [0.25, 0.5, 0.75])
    return float(middle), float(upper - lower) or 1.0


def _spread_out(near: np.ndarray) -> np.ndarray:
    """Add points beyond the extreme ones, ever farther out, so that a tail begins in panels of its own size."""
    least, most = near.min(), near.max()
    steps = (most - least) * 2.0 ** np.arange(-2, 40)
    return np.concatenate([near, least - steps, most + steps])


def _panels(weighted: Callable[[np.ndarray], np.ndarray], hints: np.ndarray, precision: float) -> np.ndarray:
    """Return the ends of panels that are small enough for the rule, each divided further for interpolation."""
    left = np.unique(np.concatenate([np.linspace(_EDGE, 1 - _EDGE, _COARSE + 1), hints.clip(_EDGE, 1 - _EDGE)]))
    left, right = left[:-1], left[1:]
    done = []
    for _ in range(_DEPTH):
        masses = _rule(weighted, left, right, _HIGH)
        fine = np.abs(_rule(weighted, left, right, _LOW) - masses) <= _TOLERANCE + 100 * precision * masses
        done.append(left[fine])
        left, right = left[~fine], right[~fine]
        if not 0 < len(left) < _MOST_PANELS:
            break
        middle = (left + right) / 2
        left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
    starts = np.sort(np.concatenate([*done, left]))
    ends = np.append(starts[1:], 1 - _EDGE)
    shares = np.arange(_SUBDIVISION) / _SUBDIVISION
    return np.unique(np.append((starts[:, None] + (ends - starts)[:, None] * shares).reshape(-1), 1 - _EDGE))


def _rule(
    weighted: Callable[[np.ndarray], np.ndarray], left: np.ndarray, right: np.ndarray, rule: tuple[np.ndarray, np.ndarray]
) -> np.ndarray:
    """Integrate over each panel from `left` to `right`."""
    points, weights = rule
    half = (right - left)[:, None] / 2
    return (weighted((left[:, None] + half * (1 + points)).reshape(-1)).reshape(len(left), -1) * weights * half).sum(1)

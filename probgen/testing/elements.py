"""What a program makes of one uniform variable before it compares it: an interval, and monotone functions of it."""

from __future__ import annotations

import dataclasses
import math

import torch

from probgen.testing.monotone import Monotone

__all__ = ["Element", "Interval"]


@dataclasses.dataclass
class Interval:
    """Where a uniform variable lies; of no length once it has a value."""

    low: float
    high: float
    whole: float
    """Its length when it was drawn."""

    @property
    def settled(self) -> bool:
        """Whether the variable has a value."""
        return self.low == self.high


@dataclasses.dataclass(frozen=True)
class Element:
    """An element of a tensor: a monotone function of a uniform variable, as the steps that lead to it.

    Args:
        interval: Where the variable lies.
        steps: The functions, each with the precision of its result.

    Example:
        >>> clamp = Monotone(lambda x: max(x, 0.5), lambda t: t if t > 0.5 else -math.inf, exact=True)
        >>> element = Element(Interval(0.0, 1.0, 1.0), ((clamp, torch.finfo(torch.float64)),))
        >>> element.range, element.threshold(0.75, including=False), element.threshold(0.5, including=False)
        ((0.5, 1.0), (0.75, True), (-inf, True))
    """

    interval: Interval
    steps: tuple[tuple[Monotone, torch.finfo], ...] = ()

    @property
    def value(self) -> float:
        """The number that it is, once its variable has one."""
        return self._apply(self.interval.low)

    @property
    def range(self) -> tuple[float, float]:
        """The least and the largest number that it may be."""
        ends = self._apply(self.interval.low), self._apply(self.interval.high)
        return min(ends), max(ends)

    def _apply(self, value: float) -> float:
        for step, _ in self.steps:
            value = step.apply(value)
        return value

    def threshold(self, value: float, *, including: bool) -> tuple[float, bool]:
        """Return the end of the set of variables where this element is below `value`, and whether they lie below that end.

        Args:
            value: The threshold of the element.
            including: Whether the threshold itself counts as below.
        """
        below = True
        for step, _ in reversed(self.steps):
            below, including = below == step.rising, including == step.rising
            value = step.preimage(value, including=including)
        return value, below

    def doubt(self, value: float) -> float:
        """Return the probability that rounding decides on which side of `value` the element lies."""
        low = high = value
        for step, precision in reversed(self.steps):
            if not step.exact:
                low, high = _blurred(low, high, precision)
            wide = low < high  # a threshold that meets the flat end of a clamp without rounding is no matter of doubt
            low, high = sorted((step.preimage(low, including=False), step.preimage(high, including=wide)))
        inside = [min(max(end, self.interval.low), self.interval.high) for end in (low, high)]
        return (inside[1] - inside[0]) / (self.interval.whole or 1.0)


def _blurred(low: float, high: float, precision: torch.finfo) -> tuple[float, float]:
    """Return the interval of the numbers that rounding may have brought into this one."""
    low = low - abs(low) * precision.eps - precision.tiny if math.isfinite(low) else min(low, precision.max)
    high = high + abs(high) * precision.eps + precision.tiny if math.isfinite(high) else max(high, -precision.max)
    return low, high

r"""The two readings of a set of draws: does anything look wrong, and how wrong can it still be?

Everything here works on `Sums` and on many runs at once, so that a study of error rates reads the very code that checks use.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from probgen.testing.quantiles import block_radius, skewed_quantile
from probgen.testing.sums import Sums

__all__ = ["Question", "Reading", "certified", "screened", "t_ratio"]

_GATE = 415.0
r"""Draws per squared skewness before a tail is trusted: $(6.1 / 0.3)^2$ keeps the correction of a quantile under 10 %."""

_CARRIES = 0.01
"""A coordinate with this share of the total variance takes part in how the norm of the mean deviates."""


@dataclasses.dataclass(frozen=True)
class Question:
    """What is asked about a mean.

    Args:
        target: The claimed mean $t$, `(d,)`.
        blocks: Groups of coordinates that are looked at together, the whole vector among them.
        side: 0 if the mean is claimed to be the target; +1 if it is claimed not to lie above it, -1 not below.
        resolution: Relative rounding error of the draws: less than this is no deviation.
        skewness: Known skewness of each coordinate; estimated from the draws where None.
    """

    target: np.ndarray
    blocks: tuple[slice, ...]
    side: int = 0
    resolution: float = 1e-9
    skewness: np.ndarray | None = None

    @property
    def scale(self) -> float:
        """What a bias of the whole vector is relative to."""
        return max(float(np.linalg.norm(self.target)), 1e-3)

    def block_scale(self, block: slice) -> float:
        """Return what a bias of one block is relative to: its own size unless it is a small part of the whole."""
        own = float(np.linalg.norm(self.target[block]))
        parts = max(len(self.blocks) - 1, 1)
        return max(own, 0.1 * float(np.linalg.norm(self.target)) / np.sqrt(parts), 1e-3)

    def coordinate_scale(self) -> np.ndarray:
        """Return what a bias of each coordinate is relative to, `(d,)`."""
        floor = max(0.1 * float(np.linalg.norm(self.target)) / np.sqrt(len(self.target)), 1e-3)
        return np.maximum(np.abs(self.target), floor)

    def skewness_of(self, sums: Sums) -> np.ndarray:
        """Return each coordinate's skewness, as known or as estimated."""
        return sums.skewness if self.skewness is None else np.broadcast_to(self.skewness, sums.first.shape)

    def varies(self, sums: Sums) -> np.ndarray:
        """Return which coordinates have a spread above rounding, `(..., d)`."""
        return sums.deviation > self.resolution * self.scale


@dataclasses.dataclass(frozen=True)
class Reading:
    """How suspicious draws look.

    Args:
        excess: The largest statistic relative to its threshold, `(...)`; above 1 is suspicious.
        direction: Unit vector along which the deviation is largest, `(..., d)`.
        place: Which statistic it was, `(...)`: a coordinate, or `d` plus the number of a block.
    """

    excess: np.ndarray
    direction: np.ndarray
    place: np.ndarray


def screened(sums: Sums, question: Question, *, level: float, looks: int) -> Reading:
    """Compare every coordinate and every block with what chance allows.

    Args:
        sums: The draws so far.
        question: What is asked.
        level: Probability that any of `looks` readings of a correct mean is suspicious.
        looks: How many readings there will be.
    """
    coordinates, sign = _coordinate_excess(sums, question, level=level, looks=looks)
    parts = [coordinates]
    if question.side == 0:
        exponent = np.log(2 * looks * len(question.blocks) / level)
        parts += [_block_excess(sums, question, block, exponent)[..., None] for block in question.blocks]
    excess = np.concatenate(parts, axis=-1)
    place = excess.argmax(-1)
    return Reading(excess.max(-1), _direction(sums, question, place, sign), place)


def certified(sums: Sums, question: Question, *, level: float, looks: int, by_block: bool = False) -> np.ndarray:
    """Return the largest relative bias that the draws leave possible, `(...)`; infinite while tails are not to be trusted.

    Args:
        sums: The draws so far.
        question: What is asked.
        level: Probability that any of `looks` readings excludes a bias that is there.
        looks: How many readings there will be.
        by_block: Bound the bias of each block relative to its own size, not only that of the whole.
    """
    if question.side != 0:
        upper = _upper_ends(sums, question, level=level, looks=looks)
        return (upper / question.coordinate_scale()).max(-1)
    exponent = float(np.log(looks / level))
    whole = _block_bound(sums, question, slice(None), exponent) / question.scale
    if not by_block:
        return whole
    parts = [_block_bound(sums, question, block, exponent) / question.block_scale(block) for block in question.blocks]
    return np.max([whole, *parts], axis=0)


def t_ratio(sums: Sums, *, level: float) -> np.ndarray:
    """Return the one-sided t-statistic of scalar draws relative to its threshold, `(...)`; above 1 the mean is not 0."""
    deviation, mean = sums.deviation[..., 0], sums.mean[..., 0]
    threshold = skewed_quantile(level, sums.skewness[..., 0], sums.n, side=+1) * deviation / np.sqrt(sums.n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(mean > 0, mean / threshold, 0.0)


def _coordinate_excess(sums: Sums, question: Question, *, level: float, looks: int) -> tuple[np.ndarray, np.ndarray]:
    """Return each coordinate's t-statistic relative to its threshold, and the side on which it deviates."""
    features = sums.first.shape[-1]
    tail = level / (4 * looks * features) if question.side == 0 else level / (looks * features)
    skewness, mean = question.skewness_of(sums), sums.mean
    sides = (-1, 1) if question.side == 0 else (question.side,)
    excess, sign = np.zeros_like(mean), np.ones_like(mean)
    for side in sides:
        threshold = skewed_quantile(tail, skewness, sums.n, side=side) * sums.deviation / np.sqrt(sums.n)
        ripe = question.varies(sums) & (sums.n >= _GATE * np.maximum(0.0, -side * skewness) ** 2)
        ratio = np.divide(side * mean, threshold, out=np.zeros_like(mean), where=ripe)
        sign = np.where(ratio > excess, side, sign)
        excess = np.maximum(excess, ratio)
    return excess, sign


def _block_excess(sums: Sums, question: Question, block: slice, exponent: float) -> np.ndarray:
    """Return the norm of a block's mean relative to its radius."""
    varies = question.varies(sums)[..., block]
    skewness = np.where(varies, question.skewness_of(sums)[..., block], 0.0)
    norm = np.linalg.norm(np.where(varies, sums.mean[..., block], 0.0), axis=-1)
    radius = block_radius(sums.covariance[..., block, block], skewness, sums.n, exponent)
    ripe = varies.any(-1) & (sums.n >= _GATE * np.abs(skewness).max(-1) ** 2)
    return np.divide(norm, radius, out=np.zeros_like(norm), where=ripe)


def _block_bound(sums: Sums, question: Question, block: slice, exponent: float) -> np.ndarray:
    """Return the largest norm that a block's bias may have."""
    skewness, covariance = question.skewness_of(sums)[..., block], sums.covariance[..., block, block]
    variances = np.diagonal(covariance, axis1=-2, axis2=-1)
    carries = variances >= _CARRIES * variances.sum(-1, keepdims=True)
    ripe = sums.n >= _GATE * np.where(carries, np.abs(skewness), 0.0).max(-1) ** 2
    bound = np.linalg.norm(sums.mean[..., block], axis=-1) + block_radius(covariance, skewness, sums.n, exponent)
    return np.where(ripe, bound, np.inf)


def _upper_ends(sums: Sums, question: Question, *, level: float, looks: int) -> np.ndarray:
    """Return how far each coordinate may lie beyond the target on the side that is claimed to be empty."""
    skewness = question.skewness_of(sums)
    tail = level / (looks * sums.first.shape[-1])
    reach = skewed_quantile(tail, skewness, sums.n, side=-question.side) * sums.deviation / np.sqrt(sums.n)
    ripe = sums.n >= _GATE * skewness**2
    return np.where(ripe, question.side * sums.mean + reach, np.inf)


def _direction(sums: Sums, question: Question, place: np.ndarray, sign: np.ndarray) -> np.ndarray:
    """Return the unit vector that belongs to the statistic at `place`."""
    features = sums.first.shape[-1]
    index = np.arange(features)
    mean = np.where(question.varies(sums), sums.mean, 0.0)
    direction = np.where(index == place[..., None], sign, 0.0)
    for number, block in enumerate(question.blocks):
        inside = np.isin(index, index[block])
        direction = np.where(place[..., None] == features + number, np.where(inside, mean, 0.0), direction)
    norm = np.linalg.norm(direction, axis=-1, keepdims=True)
    return np.divide(direction, norm, out=np.zeros_like(direction), where=norm > 0)

"""Laws of the sites of small latent-variable models, and tables of all that they may give."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

__all__ = ["Bits", "Law", "Line", "Space", "Table", "crossed", "logistic_table", "table"]

_REACH, _STEP = 26.0, 0.25
"""Of the trapezoidal rule for logistic noise, whose density is analytic: the error falls exponentially with the step."""


@dataclasses.dataclass(frozen=True, eq=False)
class Bits:
    """Independent bits.

    Args:
        logits: Their log-odds.
        event_dim: How many of the last axes make up one event.
    """

    logits: Tensor
    event_dim: int = 0

    @property
    def mean(self) -> Tensor:
        """The probabilities of ones."""
        return self.logits.sigmoid()

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-mass, continued linearly to values between 0 and 1."""
        return _summed(value * logsigmoid(self.logits) + (1 - value) * logsigmoid(-self.logits), self.event_dim)

    def divergence(self, other: Bits) -> Tensor:
        """Return KL(self ‖ other)."""
        ones = self.mean * (logsigmoid(self.logits) - logsigmoid(other.logits))
        zeros = (1 - self.mean) * (logsigmoid(-self.logits) - logsigmoid(-other.logits))
        return _summed(ones + zeros, self.event_dim)


@dataclasses.dataclass(frozen=True, eq=False)
class Line:
    """Independent normal variables.

    Args:
        mean: Their means.
        scale: Their standard deviations.
        event_dim: How many of the last axes make up one event.
    """

    mean: Tensor
    scale: Tensor
    event_dim: int = 0

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density."""
        standard = (value - self.mean) / self.scale
        return _summed(-0.5 * standard.square() - self.scale.log() - 0.5 * math.log(2 * math.pi), self.event_dim)

    def divergence(self, other: Line) -> Tensor:
        """Return KL(self ‖ other)."""
        ratio, shift = self.scale / other.scale, (self.mean - other.mean) / other.scale
        return _summed(0.5 * (ratio.square() + shift.square() - 1) - ratio.log(), self.event_dim)


Law = Bits | Line


@dataclasses.dataclass(frozen=True)
class Space:
    """What a site's values are.

    Args:
        kind: Bits, or real numbers with normal laws.
        size: How many; None for a scalar.
    """

    kind: Literal["bits", "line"]
    size: int | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """All joint outcomes of the noise of several sites, one a row.

    Args:
        entries: What each site takes: bits, or nodes of a rule for standard normal noise, `(S, 1, *event)`.
        masses: Weights of the rules, `(S, 1)`; 1 where there are only bits, whose masses their laws know.
    """

    entries: Mapping[str, Tensor]
    masses: Tensor


def table(spaces: Mapping[str, Space], *, nodes: int, like: Tensor) -> Table:
    """Return the product of all bits and of a Gauss-Hermite rule for every normal variable.

    Args:
        spaces: The sites.
        nodes: Nodes of a rule.
        like: A tensor whose type to take.
    """
    points, weights = np.polynomial.hermite_e.hermegauss(nodes)
    rules = {
        "bits": ([0.0, 1.0], [1.0, 1.0]),
        "line": (points.tolist(), (weights / weights.sum()).tolist()),
    }
    return _product({name: (space, rules[space.kind]) for name, space in spaces.items()}, like)


def logistic_table(spaces: Mapping[str, Space], *, like: Tensor) -> Table:
    """Return a rule for logistic noise behind every bit of the sites, which are all bits."""
    count = int(2 * _REACH / _STEP) + 1
    points = torch.linspace(-_REACH, _REACH, count, dtype=torch.float64)
    masses = (logsigmoid(points) + logsigmoid(-points)).exp()
    rule = (points.tolist(), (masses / masses.sum()).tolist())
    return _product({name: (space, rule) for name, space in spaces.items()}, like)


def crossed(one: Table, other: Table) -> tuple[Table, Table]:
    """Return both tables with a row for each pair of rows, in one order; the entries and masses are their own."""

    def repeated(tensor: Tensor) -> Tensor:
        return tensor.repeat(len(one.masses), *(1 for _ in tensor.shape[1:]))

    inner = len(other.masses)
    first = {name: entry.repeat_interleave(inner, 0) for name, entry in one.entries.items()}
    second = {name: repeated(entry) for name, entry in other.entries.items()}
    return Table(first, one.masses.repeat_interleave(inner, 0)), Table(second, repeated(other.masses))


def _product(sites: Mapping[str, tuple[Space, tuple[list[float], list[float]]]], like: Tensor) -> Table:
    rules = [rule for space, rule in sites.values() for _ in range(space.size or 1)]
    values = _grid([points for points, _ in rules], like)
    masses = _grid([weights for _, weights in rules], like).prod(1, keepdim=True)
    entries, start = {}, 0
    for name, (space, _) in sites.items():
        columns = values[:, None, start : start + (space.size or 1)]
        entries[name] = columns if space.size is not None else columns.squeeze(-1)
        start += space.size or 1
    return Table(entries, masses)


def _grid(axes: list[list[float]], like: Tensor) -> Tensor:
    """Return the Cartesian product, a point a row."""
    if len(axes) * math.prod(map(len, axes)) < 1000:
        return torch.tensor(list(itertools.product(*axes)), dtype=like.dtype)
    return torch.cartesian_prod(*(torch.tensor(axis, dtype=like.dtype) for axis in axes)).reshape(-1, len(axes))


def _summed(terms: Tensor, event_dim: int) -> Tensor:
    return terms.sum(list(range(-event_dim, 0))) if event_dim else terms

"""Exact moments of a random program's outputs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from probgen.errors import ShapeError

__all__ = ["Accumulator", "Moments", "Outputs"]

_ROUNDING = 1e-12
"""A standard deviation below this share of the mean is what rounding leaves of a constant."""

_SMALLEST = 1e-6
"""Means and deviations below this count as zero when quadrature rules are compared."""


@dataclasses.dataclass(frozen=True)
class Moments:
    """Moments of a random vector, coordinate by coordinate, in float64.

    Args:
        mean: Expectation, `(d,)`. It is not finite where an outcome of positive probability is not.
        variance: Variance, `(d,)`.
        skewness: Third standardised moment, `(d,)`; 0 where the variance is.
        kurtosis: Fourth standardised moment, `(d,)`: 3 for a normal variable; 0 where the variance is 0.
        p_min: The smallest probability with which discrete choices select a path; 1 when all noise is smooth.
        paths: How many paths were walked.
        error: Largest disagreement between two quadrature rules about the mean, relative to `size`; 0 without quadrature.
        variance_error: The same for the variance.
        blocks: Where each output stands in the vectors, by name.

    Example:
        >>> from probgen.testing import exact_expectation
        >>> moments = exact_expectation(lambda: {"a": torch.bernoulli(torch.tensor([0.5, 0.1])), "b": torch.ones(1)})
        >>> moments["a"].mean, moments["a"].variance
        (tensor([0.5000, 0.1000], dtype=torch.float64), tensor([0.2500, 0.0900], dtype=torch.float64))
        >>> moments.paths
        4
    """

    mean: Tensor
    variance: Tensor
    skewness: Tensor
    kurtosis: Tensor
    p_min: float
    paths: int
    error: float = 0.0
    variance_error: float = 0.0
    blocks: Mapping[str, slice] = dataclasses.field(default_factory=dict)

    @property
    def size(self) -> float:
        """The largest mean or deviation of a coordinate, among those that are finite."""
        found = torch.cat([self.mean.abs(), self.variance.sqrt()])
        found = found[found.isfinite()]
        return max(found.max().item(), _SMALLEST) if found.numel() else _SMALLEST

    def __getitem__(self, name: str) -> Moments:
        """Return the moments of the output called `name`, flattened."""
        part = self.blocks[name]
        return dataclasses.replace(
            self,
            mean=self.mean[part],
            variance=self.variance[part],
            skewness=self.skewness[part],
            kurtosis=self.kurtosis[part],
            blocks=MappingProxyType({name: slice(0, part.stop - part.start)}),
        )


@dataclasses.dataclass(frozen=True)
class Outputs:
    """What one run of a program returned: a vector in float64, the names in it, and the coarsest precision among them."""

    values: Tensor
    blocks: Mapping[str, slice]
    resolution: float

    @classmethod
    def of(cls, result: Any) -> Outputs:
        """Flatten a tensor or number, a dict of these, or a sequence of these, which are then called `"0"`, `"1"`, ….

        Raises:
            ShapeError: the result is something else.
        """
        if isinstance(result, Mapping):
            named = dict(result)
        elif isinstance(result, Sequence) and not isinstance(result, str):
            named = {str(index): part for index, part in enumerate(result)}
        else:
            named = {"value": result}
        for name, part in named.items():
            if not isinstance(part, Tensor | float | int) or (isinstance(part, Tensor) and part.is_complex()):
                raise ShapeError(
                    f"exact_expectation: expected real tensors, by name or in a sequence; got {type(part).__name__} "
                    f"for {name!r}. Return one tensor for each output."
                )
        tensors = {str(name): torch.as_tensor(part).detach().cpu() for name, part in named.items()}
        blocks, start = {}, 0
        for name, tensor in tensors.items():
            blocks[name] = slice(start, start + tensor.numel())
            start += tensor.numel()
        flat = [tensor.to(torch.float64).reshape(-1) for tensor in tensors.values()]
        epsilons = [torch.finfo(tensor.dtype).eps for tensor in tensors.values() if tensor.is_floating_point()]
        return cls(
            torch.cat(flat) if flat else torch.zeros(0, dtype=torch.float64),
            MappingProxyType(blocks),
            max(1e-8, 100 * max(epsilons, default=0.0)),
        )

    def agrees_with(self, other: Outputs) -> bool:
        """Return whether both runs gave the same up to rounding."""
        if self.blocks != other.blocks:
            return False
        size = max(self.values.nan_to_num(0, 0, 0).abs().amax().item(), 1.0) if self.values.numel() else 1.0
        return torch.allclose(self.values, other.values, rtol=0, atol=size * self.resolution * 1e-2, equal_nan=True)


class Accumulator:
    """Central moments, updated path by path so that nothing cancels.

    References:
        Pébay (2008). Formulas for robust, one-pass parallel computation of covariances and arbitrary-order
        statistical moments.
    """

    def __init__(self, outputs: Outputs) -> None:
        self.blocks = outputs.blocks
        self._mean = torch.zeros_like(outputs.values)
        self._second, self._third, self._fourth = (torch.zeros_like(outputs.values) for _ in range(3))
        self.mass = 0.0
        self.p_min = 1.0
        self.paths = 0
        self.resolution = 0.0

    def add(self, outputs: Outputs, weight: float, atom: float) -> None:
        """Add the outcome of one path.

        Raises:
            ShapeError: it has another shape than the first one's.
        """
        if outputs.blocks != self.blocks:
            raise ShapeError(
                "exact_expectation: expected outputs of one shape on every path; "
                f"got {dict(self.blocks)} and {dict(outputs.blocks)}. Pad them, or return a statistic of fixed shape."
            )
        before, self.mass = self.mass, self.mass + weight
        old, new = before / self.mass, weight / self.mass
        delta = outputs.values - self._mean
        spread = delta**2 * old * weight
        self._fourth += spread * delta**2 * (old**2 - old * new + new**2)
        self._fourth += 6 * delta**2 * new**2 * self._second - 4 * delta * new * self._third
        self._third += spread * delta * (old - new) - 3 * delta * new * self._second
        self._second += spread
        self._mean += delta * new
        self.p_min = min(self.p_min, atom)
        self.paths += 1
        self.resolution = max(self.resolution, outputs.resolution)

    def moments(self) -> Moments:
        """Return the moments over all paths that were added."""
        variance = self._second / self.mass
        deviation = variance.sqrt()
        constant = deviation <= _ROUNDING * self._mean.abs()
        safe = torch.where(constant, 1.0, deviation)
        return Moments(
            mean=self._mean,
            variance=variance,
            skewness=torch.where(constant, 0.0, self._third / self.mass / safe**3),
            kurtosis=torch.where(constant, 0.0, self._fourth / self.mass / safe**4),
            p_min=self.p_min,
            paths=self.paths,
            blocks=self.blocks,
        )

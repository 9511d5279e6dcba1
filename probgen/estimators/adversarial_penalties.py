"""Penalties that keep a critic smooth."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable

import torch
from torch import Tensor

from probgen.errors import ConfigurationError
from probgen.estimators.numbers import require_numbers

__all__ = ["AroundData", "AtData", "Between", "GradientPenalty", "Place"]


class Place(abc.ABC):
    """Where a critic's slope is looked at.

    Attributes:
        batch_coupled: Whether the points depend on the batch as a whole.
    """

    batch_coupled: bool = False

    @abc.abstractmethod
    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return one point for each pair of an event from the data and one from the generator, `(N, *event_shape)`."""


@dataclasses.dataclass(frozen=True)
class Between(Place):
    """Uniform on the segment between the two, with a position for each pair (WGAN-GP)."""

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the points."""
        position = torch.rand(len(real), *[1] * (real.ndim - 1), dtype=real.dtype, device=real.device)
        return torch.lerp(real, fake, position)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AroundData(Place):
    """Data with normal noise (DRAGAN).

    Args:
        spread: The noise's standard deviation, in standard deviations of the batch's entries.

    Raises:
        ConfigurationError: the spread is not positive.
    """

    spread: float = 0.5
    batch_coupled = True

    def __post_init__(self) -> None:
        require_numbers(type(self).__name__, spread=self.spread)
        if not self.spread > 0:
            raise ConfigurationError(f"AroundData: expected a positive spread; got {self.spread}. AtData() adds no noise.")

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the points."""
        return real + self.spread * real.std(correction=0) * torch.randn_like(real)


@dataclasses.dataclass(frozen=True)
class AtData(Place):
    """The data themselves (R1, with `center=0`)."""

    def __call__(self, real: Tensor, fake: Tensor) -> Tensor:
        """Return the data."""
        return real


@dataclasses.dataclass(frozen=True, kw_only=True)
class GradientPenalty:
    r"""The squared distance of the critic's slope from a wanted one, $w\, (\lVert \nabla_x f(x) \rVert - s)^2$.

    Args:
        weight: $w$.
        center: $s$; 1 for slopes near 1, 0 for flat critics.
        where: `Between()`, `AroundData()` or `AtData()`.

    Raises:
        ConfigurationError: the weight is not positive, or the center is negative.

    Example:
        >>> real, fake = torch.zeros(5, 2), torch.ones(5, 2)
        >>> GradientPenalty(weight=2.0)(lambda x: 3 * x[:, 0], real, fake)
        tensor([8., 8., 8., 8., 8.])

    References:
        Gulrajani et al. (2017), arXiv:1704.00028. Kodali et al. (2017), arXiv:1705.07215. Mescheder, Geiger & Nowozin
        (2018), arXiv:1801.04406.
    """

    weight: float = 10.0
    center: float = 1.0
    where: Place = dataclasses.field(default_factory=Between)

    def __post_init__(self) -> None:
        if not self.weight > 0 or self.center < 0:
            raise ConfigurationError(
                f"GradientPenalty: expected a positive weight and a center of at least 0; got {self.weight}, {self.center}."
            )

    @property
    def batch_coupled(self) -> bool:
        """Whether the points depend on the batch as a whole."""
        return self.where.batch_coupled

    def __call__(self, score: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor) -> Tensor:
        """Return the penalty of each pair, as a function of the critic's parameters.

        Args:
            score: The critic, `(N, *event_shape) -> (N,)`.
            real: Events from the data, `(N, *event_shape)`.
            fake: Events from the generator, `(N, *event_shape)`.
        """
        with torch.enable_grad():
            points = self.where(real, fake).detach().requires_grad_()
            (slope,) = torch.autograd.grad(score(points).sum(), points, create_graph=True)
            steepness = _norm(slope.reshape(len(points), -1))
            return self.weight * (steepness - self.center).square()


def _norm(rows: Tensor) -> Tensor:
    """Return the norm of each row, whose gradient at zero is zero and not, as the square root's would make it, NaN."""
    squares = rows.square().sum(1)
    positive = squares > 0
    return torch.where(positive, squares, 1).sqrt() * positive

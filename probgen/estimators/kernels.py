"""Kernels that compare events by their distance, and the bandwidth that suits a sample."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
from torch import Tensor

from probgen.errors import ConfigurationError, ShapeError

__all__ = ["RBF", "InverseMultiquadric", "Kernel", "KernelMixture", "MultiscaleRBF", "median_heuristic"]

_LARGEST_EXPONENT = 87.0
"""Where `exp` is nothing beside 1; torch is an order of magnitude slower where it underflows."""

_MOST_EVENTS = 1000
"""How many events the median heuristic compares."""


class Kernel(abc.ABC):
    r"""A positive definite kernel of the distance alone, $k(x, y) = \varphi(\lVert x - y \rVert^2)$.

    The derivative $\varphi'$ comes with the value, so that sums over many pairs can form their gradient on the way and
    forget the pairs.
    """

    @abc.abstractmethod
    def values_and_slopes(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return $\varphi(s)$ and $\varphi'(s)$ at squared distances $s \ge 0$, each a new tensor shaped as `squared`."""

    def values(self, squared: Tensor) -> Tensor:
        r"""Return $\varphi(s)$ alone."""
        return self.values_and_slopes(squared)[0]


class RBF(Kernel):
    r"""The Gaussian kernel, $k(x, y) = \exp(-\lVert x - y \rVert^2 / 2 \sigma^2)$.

    Args:
        bandwidth: $\sigma$, in the distance units of the events.

    Raises:
        ConfigurationError: the bandwidth is not positive.

    Example:
        >>> RBF(2.0).values(torch.tensor(8.0))
        tensor(0.3679)
    """

    def __init__(self, bandwidth: float) -> None:
        self.bandwidth = _positive(bandwidth, "RBF", "bandwidth")

    def values_and_slopes(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and their slopes."""
        values = self.values(squared)
        return values, values * (-0.5 / self.bandwidth**2)

    def values(self, squared: Tensor) -> Tensor:
        """Return the values alone."""
        return (squared * (-0.5 / self.bandwidth**2)).clamp_(min=-_LARGEST_EXPONENT).exp_()


class MultiscaleRBF(Kernel):
    r"""The mean of Gaussian kernels whose bandwidths are one octave apart.

    $$k(x, y) = \frac{1}{2m + 1} \sum_{j=-m}^{m} \exp\left(-\frac{\lVert x - y \rVert^2}{2 (2^j \sigma)^2}\right)$$

    A single Gaussian kernel is blind to differences on other scales than its own. Each of these is the fourth power of the
    next wider one, so all of them cost one exponential.

    Args:
        bandwidth: $\sigma$ of the kernel in the middle, a float or a scalar tensor.
        octaves: $m$, how many bandwidths lie on each side of it.

    Raises:
        ConfigurationError: a bandwidth that is a float is not positive, or `octaves` is negative.

    Example:
        >>> MultiscaleRBF(1.0, octaves=0).values(torch.tensor(2.0)) == RBF(1.0).values(torch.tensor(2.0))
        tensor(True)
    """

    def __init__(self, bandwidth: float | Tensor, *, octaves: int = 2) -> None:
        if octaves < 0:
            raise ConfigurationError(f"MultiscaleRBF: expected octaves of at least 0; got {octaves}. 0 is a single kernel.")
        if not isinstance(bandwidth, Tensor):  # a tensor is not looked at: it may live on a device, or stand for many values
            _positive(bandwidth, "MultiscaleRBF", "bandwidth")
        self.bandwidth = bandwidth
        self.octaves = octaves

    def values_and_slopes(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and their slopes."""
        rate = self._widest_rate
        kernel = self._widest(squared)
        values, slopes = kernel.clone(), kernel * rate
        for octave in range(1, 2 * self.octaves + 1):
            kernel.square_().square_()
            values.add_(kernel)
            slopes.addcmul_(kernel, torch.as_tensor(rate * 4**octave, dtype=kernel.dtype, device=kernel.device))
        return values.div_(2 * self.octaves + 1), slopes.div_(2 * self.octaves + 1)

    def values(self, squared: Tensor) -> Tensor:
        """Return the values alone."""
        kernel = self._widest(squared)
        values = kernel.clone()
        for _ in range(2 * self.octaves):
            values.add_(kernel.square_().square_())
        return values.div_(2 * self.octaves + 1)

    @property
    def _widest_rate(self) -> float | Tensor:
        """The factor of the squared distance in the widest kernel's exponent."""
        return -0.5 / (self.bandwidth * 2**self.octaves) ** 2

    def _widest(self, squared: Tensor) -> Tensor:
        return (squared * self._widest_rate).clamp_(min=-_LARGEST_EXPONENT).exp_()


class InverseMultiquadric(Kernel):
    r"""A kernel with heavy tails, $k(x, y) = (1 + \lVert x - y \rVert^2 / c^2)^{-\beta}$, which still sees events far apart.

    Args:
        scale: $c$, in the distance units of the events.
        exponent: $\beta$.

    Raises:
        ConfigurationError: one of them is not positive.

    Example:
        >>> InverseMultiquadric(2.0).values(torch.tensor(12.0))
        tensor(0.5000)

    References:
        Gorham & Mackey (2017), arXiv:1703.01717, for why it controls convergence where a Gaussian kernel does not.
    """

    def __init__(self, scale: float, *, exponent: float = 0.5) -> None:
        self.scale = _positive(scale, "InverseMultiquadric", "scale")
        self.exponent = _positive(exponent, "InverseMultiquadric", "exponent")

    def values_and_slopes(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and their slopes."""
        base = squared / self.scale**2 + 1
        values = base.pow(-self.exponent)
        return values, values / base * (-self.exponent / self.scale**2)


class KernelMixture(Kernel):
    """The mean of kernels.

    Args:
        kernels: One kernel or more.

    Raises:
        ConfigurationError: there is none.

    Example:
        >>> KernelMixture([RBF(1.0), InverseMultiquadric(1.0)]).values(torch.tensor(0.0))
        tensor(1.)
    """

    def __init__(self, kernels: Sequence[Kernel]) -> None:
        if not kernels:
            raise ConfigurationError("KernelMixture: expected one kernel or more; got none. Give it some.")
        self.kernels = tuple(kernels)

    def values_and_slopes(self, squared: Tensor) -> tuple[Tensor, Tensor]:
        """Return the values and their slopes."""
        values, slopes = torch.zeros_like(squared), torch.zeros_like(squared)
        for kernel in self.kernels:
            value, slope = kernel.values_and_slopes(squared)
            values += value
            slopes += slope
        return values / len(self.kernels), slopes / len(self.kernels)

    def values(self, squared: Tensor) -> Tensor:
        """Return the values alone."""
        return torch.stack([kernel.values(squared) for kernel in self.kernels]).mean(0)


def median_heuristic(x: Tensor) -> Tensor:
    """Return the median distance between two of the first 1000 events of `x`, a scalar tensor.

    Where at least half of the pairs coincide the mean distance stands in, and 1 where all do.

    Shapes:
        x: `(N, D)`.

    Raises:
        ShapeError: `x` has another number of axes.

    Example:
        >>> median_heuristic(torch.tensor([[0.0], [1.0], [3.0]]))
        tensor(2.)
    """
    if x.ndim != 2:
        raise ShapeError(f"median_heuristic: expected x of shape (events, D); got {tuple(x.shape)}. Flatten each event.")
    distances = torch.nn.functional.pdist(x.detach()[:_MOST_EVENTS])
    if not distances.numel():
        return x.new_ones(())
    median, mean = distances.median(), distances.mean()
    stand_in = torch.where(mean > 0, mean, torch.ones_like(mean))
    return torch.where(median > 0, median, stand_in)


def _positive(value: float, owner: str, name: str) -> float:
    if not (value > 0 and math.isfinite(value)):
        raise ConfigurationError(f"{owner}: expected a positive {name}; got {value}. See median_heuristic for a scale.")
    return value

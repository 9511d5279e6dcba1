"""What the flows here share: a standard normal at one end, events in any units at the other."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen import Batch, ConfigurationError, Density, Invertible, Reparameterized, SupportError
from probgen.supports import support_name

__all__ = ["Flow", "LogDeterminant", "Units"]

LogDeterminant = Callable[[], Tensor]
r"""Computes $\log|\det|$ of a map that has been applied, `(N,)`; a function, for draws without scores do without it."""


class Flow(nn.Module, Density, Reparameterized, Invertible, abc.ABC):
    r"""A density whose events are a standard normal pushed through a bijection.

    $$\log p(x \mid c) = \log \mathcal{N}(f(x; c); 0, I) + \log\left|\det \partial f(x; c) / \partial x\right|$$

    Events and contexts of any shape are flattened to $D$ and $C$ numbers. A subclass writes the two directions of $f$ for
    events in the units of the model: `initialize` sets location and scale of each number from the first batch.

    Args:
        event_shape: Shape of an event.
        context_shape: Shape of a context; None when not conditional.
        support: The reals.
        transforms: Number of layers.
        hidden: Width of each hidden layer of a conditioner.

    Raises:
        SupportError: the support is not the reals.
        ConfigurationError: a size is below 1.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        transforms: int,
        hidden: Sequence[int],
    ) -> None:
        super().__init__()
        name = type(self).__name__
        if support_name(support) != "real":
            raise SupportError(f"{name}: expected a real support; got {support}. Choose a real-valued view of the data.")
        if transforms < 1 or not hidden or min(hidden) < 1:
            raise ConfigurationError(
                f"{name}: expected at least one transform and one hidden layer, of width at least 1; got {transforms} "
                f"and {tuple(hidden)}. Raise them."
            )
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.support = constraints.real
        self.units = Units(self.event_shape.numel())

    @property
    def features(self) -> int:
        """The number $D$ of entries of an event."""
        return self.event_shape.numel()

    @property
    def context_features(self) -> int:
        """The number $C$ of entries of a context; 0 when not conditional."""
        return 0 if self.context_shape is None else self.context_shape.numel()

    def initialize(self, batch: Batch) -> None:
        """Take location and scale of each entry from `batch`, unless they were set before."""
        self.units.initialize(batch.x.reshape(len(batch), self.features))

    @abc.abstractmethod
    def _to_noise(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        r"""Return $z$, `(N, D)`, and what computes $\log|\det \partial z / \partial x|$, of `(N, D), (N, C)`."""

    @abc.abstractmethod
    def _to_events(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        r"""Return $x$, `(N, D)`, and what computes $\log|\det \partial x / \partial z|$, of `(N, D), (N, C)`."""

    def _transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_det = self._to_noise(self.units(x.reshape(len(x), self.features)), self._flattened(context, x))
        return z.reshape(x.shape), log_det() - self.units.log_volume()

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_det = self._from_noise(z, context)
        return x, log_det() + self.units.log_volume()

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, log_det = self._transform(x, context)
        return self._normal_log_prob(z) + log_det

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self._from_noise(self._noise(n), context)[0]

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = self._noise(n)
        x, log_det = self._inverse(z, context)
        return x, self._normal_log_prob(z) - log_det

    def _from_noise(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        """Return events in the units of the data, and the log-determinant of the way to those of the model."""
        x, log_det = self._to_events(z.reshape(len(z), self.features), self._flattened(context, z))
        return self.units.inverse(x).reshape(z.shape), log_det

    def _noise(self, n: int) -> Tensor:
        return torch.randn((n, *self.event_shape), dtype=self.units.scale.dtype, device=self.units.scale.device)

    def _normal_log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * (z.reshape(len(z), self.features).square().sum(1) + self.features * math.log(2 * math.pi))

    def _flattened(self, context: Tensor | None, like: Tensor) -> Tensor | None:
        return None if context is None else context.reshape(len(context), self.context_features).to(like.dtype)


class Units(nn.Module):
    r"""The location and scale of each number of an event: $(x - \mu) / s$, constants that the first batch sets.

    They are no parameters: a step of a given size in $\mu$ is large or small depending on the unit of $x$, while the layers
    behind see numbers of size 1 whatever the unit.
    """

    location: Tensor
    scale: Tensor

    def __init__(self, features: int) -> None:
        super().__init__()
        self.register_buffer("location", torch.zeros(features))
        self.register_buffer("scale", torch.ones(features))

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Set both from a batch `(N, D)`, unless they were; a number that does not vary keeps the scale 1."""
        if self.location.any() or (self.scale != 1).any():
            return
        location = x.double().mean(0)
        deviation = x.double().std(0, correction=0)
        varies = deviation > 1e-6 * location.abs()
        self.location.copy_(location)
        self.scale.copy_(torch.where(varies, deviation, 1.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return events of location 0 and scale 1."""
        return (x - self.location) / self.scale

    def inverse(self, x: Tensor) -> Tensor:
        """Return events in the units of the data."""
        return torch.addcmul(self.location, x, self.scale)

    def log_volume(self) -> Tensor:
        r"""Return $\sum_d \log s_d$."""
        return self.scale.log().sum()

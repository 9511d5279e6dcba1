"""The skew-normal distribution, coordinate by coordinate."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions import Normal, constraints
from torch.distributions.constraints import Constraint

from probgen import ConfigurationError, Density, Reparameterized, SupportError

__all__ = ["SkewNormal", "examples"]


class SkewNormal(nn.Module, Density, Reparameterized):
    r"""Independent skew-normal coordinates.

    $$p(x) = \prod_d \frac{2}{s_d}\, \varphi(z_d)\, \Phi(\alpha_d z_d), \qquad z_d = \frac{x_d - \mu_d}{s_d}$$

    Args:
        event_shape: Shape of one event.
        context_shape: None: the model is not conditional.
        support: The reals.
        skewness: Every $\alpha$ before training; 0 is a Gaussian.

    Raises:
        ConfigurationError: there is a context.
        SupportError: `support` is not the reals.

    Example:
        >>> SkewNormal(event_shape=(2,), skewness=0.0).log_prob(torch.zeros(2)).exp().item() * 2 * math.pi
        1.0
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None = None,
        support: Constraint = constraints.real,
        skewness: float = 1.0,
    ) -> None:
        super().__init__()
        if support is not constraints.real:
            raise SupportError(f"SkewNormal: expected real events; got support {support}. Choose another view of the data.")
        if context_shape is not None:
            raise ConfigurationError(f"SkewNormal: expected no context; got one of shape {context_shape}. Leave it out.")
        self.event_shape, self.context_shape, self.support = torch.Size(event_shape), None, support
        self.location = nn.Parameter(torch.zeros(self.event_shape))
        self.log_scale = nn.Parameter(torch.zeros(self.event_shape))
        self.skewness = nn.Parameter(torch.full(self.event_shape, skewness))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z = (x - self.location) / self.log_scale.exp()
        bell = Normal(torch.zeros_like(z), 1.0).log_prob(z)
        scores = math.log(2) + bell + torch.special.log_ndtr(self.skewness * z) - self.log_scale
        return scores.reshape(len(x), self.event_shape.numel()).sum(1)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        delta = self.skewness / (1 + self.skewness**2).sqrt()
        folded, free = torch.randn(2, n, *self.event_shape, dtype=delta.dtype, device=delta.device)
        return self.location + self.log_scale.exp() * (delta * folded.abs() + (1 - delta**2).sqrt() * free)


def examples() -> dict[str, SkewNormal]:
    """Return tiny instances for the conformance kit; integrals over one entry are exact."""
    return {"one": SkewNormal(event_shape=(1,)), "grid": SkewNormal(event_shape=(2, 2), skewness=-2.0)}

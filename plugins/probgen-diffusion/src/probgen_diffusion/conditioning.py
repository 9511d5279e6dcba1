"""What a denoiser knows besides the noisy event: the time, and the context."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from probgen.errors import ConfigurationError
from probgen.nn import Linear

__all__ = ["Conditioning", "Modulation", "sinusoids"]

_LONGEST_PERIOD = 10_000.0
_TIME_SCALE = 1000.0  # the frequencies were made for a thousand steps


def sinusoids(t: Tensor, size: int) -> Tensor:
    r"""Return sines and cosines of $1000 t$ at `size / 2` frequencies from 1 down to 1/10000, `(N,) -> (N, size)`.

    References:
        Vaswani et al. (2017), arXiv:1706.03762, section 3.5.
    """
    half = size // 2
    exponents = torch.arange(half, dtype=t.dtype, device=t.device) / max(half - 1, 1)
    angles = _TIME_SCALE * t[:, None] * torch.exp(-math.log(_LONGEST_PERIOD) * exponents)
    return torch.cat([angles.sin(), angles.cos()], 1)


class Conditioning(nn.Module):
    """Turns times, and contexts where there are some, into the features that steer every block of a network.

    Args:
        size: Width of the features, an even number.
        context_size: Number of entries of a context; 0 without one.

    Shapes:
        forward: `(N,), (N, *context_shape) -> (N, size)`.
    """

    def __init__(self, size: int, *, context_size: int) -> None:
        super().__init__()
        if size % 2:
            raise ConfigurationError(f"Conditioning: expected an even size; got {size}. Use {size + 1}.")
        self.size = size
        self.time = nn.Sequential(Linear(size, size), nn.SiLU(), Linear(size, size))
        self.context = Linear(context_size, size) if context_size else None

    def forward(self, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the features of a flat batch."""
        features = self.time(sinusoids(t, self.size))
        if self.context is not None and context is not None:
            features = features + self.context(context.reshape(len(t), self.context.in_features).to(features.dtype))
        return nn.functional.silu(features)


class Modulation(nn.Module):
    """Scales and shifts each channel of normalised features as the conditioning says; at first it leaves them as they are.

    Args:
        size: Width of the conditioning.
        channels: Channels of the features, their second axis.

    Shapes:
        forward: `(N, channels, ...), (N, size) -> (N, channels, ...)`.

    References:
        Perez et al. (2018), arXiv:1709.07871.
    """

    def __init__(self, size: int, channels: int) -> None:
        super().__init__()
        self.projection = Linear(size, 2 * channels)
        nn.init.zeros_(self.projection.weight)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """Return the modulated features."""
        scale, shift = self.projection(features)[(..., *[None] * (h.ndim - 2))].chunk(2, 1)
        return torch.addcmul(shift, h, 1 + scale)

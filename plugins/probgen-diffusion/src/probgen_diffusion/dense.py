"""The dense network, for vectors and whatever else can be flattened."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn

from probgen.nn import Linear
from probgen_diffusion.conditioning import Conditioning, Modulation

__all__ = ["DenseNetwork"]


class DenseNetwork(nn.Module):
    """Residual blocks over one hidden vector, each steered by time and context.

    Args:
        event_shape: Shape of an event.
        context_size: Number of entries of a context; 0 without one.
        width: Size of the hidden vector, an even number.
        depth: Number of blocks.

    Shapes:
        forward: `(N, *event_shape), (N,), (N, *context_shape) -> (N, *event_shape)`.
    """

    def __init__(self, *, event_shape: Sequence[int], context_size: int, width: int, depth: int) -> None:
        super().__init__()
        entries = math.prod(event_shape)
        self.conditioning = Conditioning(width, context_size=context_size)
        self.first = Linear(entries, width)
        self.blocks = nn.ModuleList(DenseBlock(width) for _ in range(depth))
        self.norm = nn.LayerNorm(width)
        self.last = Linear(width, entries)
        nn.init.zeros_(self.last.weight)

    def forward(self, z: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the network's prediction for a flat batch; zeros before anything is learned."""
        features = self.conditioning(t, context)
        h = self.first(z.reshape(len(z), self.first.in_features))
        for block in self.blocks:
            h = block(h, features)
        return self.last(nn.functional.silu(self.norm(h))).reshape(z.shape)


class DenseBlock(nn.Module):
    """A residual block: normalise, modulate, and add what two layers make of it.

    Args:
        width: Size of the vector, and of the conditioning.

    Shapes:
        forward: `(N, width), (N, width) -> (N, width)`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width, elementwise_affine=False)
        self.modulation = Modulation(width, width)
        self.inner, self.outer = Linear(width, width), Linear(width, width)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """Return the vector after the block."""
        inner = self.inner(nn.functional.silu(self.modulation(self.norm(h), features)))
        return h + self.outer(nn.functional.silu(inner))

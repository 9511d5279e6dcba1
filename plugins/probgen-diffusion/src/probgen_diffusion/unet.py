"""The convolutional network, for images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probgen.errors import ShapeError
from probgen_diffusion.conditioning import Conditioning, Modulation

__all__ = ["SMALLEST_IMAGE", "UNet"]

SMALLEST_IMAGE = 8
"""The least height and width of an image that the U-Net takes."""

_LOWEST_RESOLUTION = 4
_MOST_LEVELS = 3
_GROUPS = 8


class UNet(nn.Module):
    """Residual convolutions at falling and rising resolution, with what was lost on the way down handed across.

    The first level has the image's resolution; each next one halves it, rounding up, and all but the first have twice the
    channels, as long as sides stay at 4 pixels or more and up to three levels: 8x8 images have two, 28x28 three.

    Args:
        event_shape: `(channels, height, width)`; height and width at least 8.
        context_size: Number of entries of a context; 0 without one.
        width: Channels of the first level, an even number.
        depth: Residual blocks of each level, on the way down and on the way up.
        attention: Whether pixels attend to each other at the lowest resolution.

    Shapes:
        forward: `(N, *event_shape), (N,), (N, *context_shape) -> (N, *event_shape)`.

    Raises:
        ShapeError: the events are no images, or too small.

    References:
        Ronneberger, Fischer & Brox (2015), arXiv:1505.04597. Ho, Jain & Abbeel (2020), arXiv:2006.11239, appendix B.
    """

    def __init__(self, *, event_shape: Sequence[int], context_size: int, width: int, depth: int, attention: bool) -> None:
        super().__init__()
        widths = [width, *[2 * width] * (_levels(event_shape) - 1)]
        self.conditioning = Conditioning(2 * width, context_size=context_size)
        self.first = nn.Conv2d(event_shape[0], width, 3, padding=1)
        self.down, self.halve = nn.ModuleList(), nn.ModuleList()
        channels, handed = width, []
        for level, wide in enumerate(widths):
            if level:
                self.halve.append(nn.Conv2d(channels, channels, 3, stride=2, padding=1))
            sizes = [channels, *[wide] * depth]
            self.down.append(_blocks(sizes[:-1], sizes[1:], 2 * width))
            handed.append(wide)
            channels = wide
        self.attention = PixelAttention(channels) if attention else nn.Identity()
        self.middle = ResidualBlock(channels, channels, 2 * width)
        self.up = nn.ModuleList()
        for wide in reversed(widths):
            inputs = [channels + handed.pop(), *[wide] * (depth - 1)]
            self.up.append(_blocks(inputs, [wide] * depth, 2 * width))
            channels = wide
        self.norm = _norm(channels)
        self.last = nn.Conv2d(channels, event_shape[0], 3, padding=1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # pyright: ignore[reportArgumentType]  # it has one
        for module in self.modules():  # convolutions of this layout, and what follows them, are faster
            if isinstance(module, nn.Conv2d):
                module.weight.data = module.weight.data.contiguous(memory_format=torch.channels_last)

    def forward(self, z: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the network's prediction for a flat batch; zeros before anything is learned."""
        features = self.conditioning(t, context)
        h, handed = self.first(z), []
        for level, blocks in enumerate(self.down):
            if level:
                h = self.halve[level - 1](h)
            h = _through(blocks, h, features)
            handed.append(h)
        h = self.middle(self.attention(h), features)
        for blocks in self.up:
            across = handed.pop()
            if h.shape[2:] != across.shape[2:]:
                h = F.interpolate(h, size=across.shape[2:], mode="nearest")
            h = _through(blocks, torch.cat([h, across], 1), features)
        return self.last(F.silu(self.norm(h)))


class ResidualBlock(nn.Module):
    """Two normalised convolutions, steered by the conditioning in between, added to the input.

    Args:
        inputs: Channels of the input.
        outputs: Channels of the output.
        size: Width of the conditioning.

    Shapes:
        forward: `(N, inputs, H, W), (N, size) -> (N, outputs, H, W)`.
    """

    def __init__(self, inputs: int, outputs: int, size: int) -> None:
        super().__init__()
        self.norm_in, self.norm_out = _norm(inputs), _norm(outputs)
        self.conv_in = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv_out = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.modulation = Modulation(size, outputs)
        self.across = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv_out.weight)

    def forward(self, h: Tensor, features: Tensor) -> Tensor:
        """Return the channels after the block."""
        inner = self.conv_in(F.silu(self.norm_in(h)))
        inner = self.conv_out(F.silu(self.modulation(self.norm_out(inner), features)))
        return self.across(h) + inner


class PixelAttention(nn.Module):
    """Self-attention with one head between the pixels of a feature map, added to the input.

    Args:
        channels: Channels of the map.

    Shapes:
        forward: `(N, channels, H, W) -> (N, channels, H, W)`.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.projections = nn.Conv2d(channels, 3 * channels, 1)
        self.last = nn.Conv2d(channels, channels, 1)
        nn.init.zeros_(self.last.weight)

    def forward(self, h: Tensor) -> Tensor:
        """Return the map after attention."""
        queries, keys, values = self.projections(self.norm(h)).flatten(2).transpose(1, 2).chunk(3, -1)
        seen = F.scaled_dot_product_attention(queries, keys, values)
        return h + self.last(seen.transpose(1, 2).reshape(h.shape))


def _through(blocks: nn.Module, h: Tensor, features: Tensor) -> Tensor:
    for block in blocks.children():
        h = block(h, features)
    return h


def _blocks(inputs: Sequence[int], outputs: Sequence[int], size: int) -> nn.ModuleList:
    return nn.ModuleList(ResidualBlock(*channels, size) for channels in zip(inputs, outputs, strict=True))


def _norm(channels: int) -> nn.GroupNorm:
    groups = max(groups for groups in range(1, _GROUPS + 1) if channels % groups == 0)
    return nn.GroupNorm(groups, channels)


def _levels(shape: Sequence[int]) -> int:
    if len(shape) != 3 or min(shape[1:]) < SMALLEST_IMAGE or shape[0] < 1:
        raise ShapeError(
            f"UNet: expected an image shape (channels, height, width) of sides of at least {SMALLEST_IMAGE}; got "
            f"{tuple(shape)}. Use architecture='mlp' for other events."
        )
    side, levels = min(shape[1:]), 1
    while levels < _MOST_LEVELS and (side + 1) // 2 >= _LOWEST_RESOLUTION:
        side, levels = (side + 1) // 2, levels + 1
    return levels

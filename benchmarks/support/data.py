"""Data with something to learn, made on the spot."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bits", "images", "rows"]


def bits(count: int, entries: int, *, seed: int = 0) -> Tensor:
    """Return bits that are near one of ten patterns, `(count, entries)`."""
    generator = torch.Generator().manual_seed(seed)
    patterns = torch.rand(10, entries, generator=generator) < 0.3
    chosen = patterns[torch.randint(10, (count,), generator=generator)]
    flipped = torch.rand(count, entries, generator=generator) < 0.05
    return (chosen ^ flipped).float()


def rows(count: int, features: int, *, seed: int = 0) -> Tensor:
    """Return correlated numbers of mean 0 and variance 1 with heavy tails, `(count, features)`."""
    generator = torch.Generator().manual_seed(seed)
    factors = torch.randn(count, 4, generator=generator) @ torch.randn(4, features, generator=generator)
    x = factors + factors.roll(1, 1).square() / 4 + 0.5 * torch.randn(count, features, generator=generator)
    return (x - x.mean(0)) / x.std(0)


def images(count: int, side: int = 28, *, seed: int = 0) -> Tensor:
    """Return pictures of one bright spot each, between -1 and 1, `(count, 1, side, side)`."""
    generator = torch.Generator().manual_seed(seed)
    place = torch.arange(side) / side
    centre, width = torch.rand(count, 2, 1, generator=generator), 0.05 + 0.2 * torch.rand(count, 1, 1, generator=generator)
    across = torch.exp(-((place - centre[:, 0]) ** 2) / width[:, 0] ** 2)
    down = torch.exp(-((place - centre[:, 1]) ** 2) / width[:, 0] ** 2)
    return (2 * down[:, :, None] * across[:, None, :] - 1).unsqueeze(1)

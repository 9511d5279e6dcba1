"""Bars and stripes: binary pictures few enough to be enumerated."""

from __future__ import annotations

import torch

from probgen.data.source import Source

__all__ = ["bars_and_stripes"]


def bars_and_stripes(*, size: int = 4) -> Source:
    r"""Return all $2 \cdot 2^s - 2$ binary pictures of $s \times s$ pixels whose columns, or rows, are constant.

    Each distinct picture occurs once, the all-black and the all-white one too, although both rules make those: the target is
    uniform, with an entropy of $\log(2^{s + 1} - 2)$ nats, the best that a model can reach. Every split is the full set.

    Args:
        size: Pixels on a side, from 2 to 10.

    References:
        Hinton & Sejnowski (1986), *Learning and relearning in Boltzmann machines*; MacKay (2003), chapter 43.

    Example:
        >>> len(bars_and_stripes(size=4).splits["train"])
        30
    """
    patterns = (torch.arange(2**size).unsqueeze(1) >> torch.arange(size)) & 1
    bars = patterns.unsqueeze(1).expand(-1, size, -1)
    stripes = patterns[1:-1].unsqueeze(2).expand(-1, -1, size)
    pictures = torch.cat([bars, stripes]).to(torch.uint8).unsqueeze(1)
    return Source(
        name="bars-and-stripes",
        splits=dict.fromkeys(("train", "valid", "test"), pictures),
        kind="binary",
        is_image=True,
        description=f"All {len(pictures)} pictures of bars or stripes on {size}x{size} pixels; every split is the full set.",
        reference="Hinton & Sejnowski (1986)",
    )

"""Weights for small problems: generic, so that no symmetry hides a mistake, and small, so that no outcome is rare."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["generic_weights"]


def generic_weights(*shape: int, seed: int, scale: float = 1.0) -> Tensor:
    """Return numbers of random sign whose sizes lie between 0.3 and 1 times `scale`, in float64.

    Near zero, where a random weight is likely to lie, many a wrong formula agrees with the right one.

    Example:
        >>> weights = generic_weights(2, 3, seed=1)
        >>> weights.shape, bool((weights.abs() >= 0.3).all())
        (torch.Size([2, 3]), True)
    """
    generator = torch.Generator().manual_seed(seed)
    size = 0.3 + 0.7 * torch.rand(shape, generator=generator, dtype=torch.float64)
    sign = 2 * torch.randint(0, 2, shape, generator=generator).to(torch.float64) - 1
    return scale * sign * size

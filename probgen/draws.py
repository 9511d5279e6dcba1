"""Draws that the families share."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["bernoulli"]


@torch.no_grad()
def bernoulli(probabilities: Tensor) -> Tensor:
    """Return ones with the given probabilities and zeros else, of the same shape and type, as constants.

    They are four times as fast as those of `torch.bernoulli`. Under `vmap` they need `randomness="different"`.

    Shapes:
        `(...) -> (...)`.

    Example:
        >>> bernoulli(torch.tensor([0.0, 1.0]))
        tensor([0., 1.])
    """
    # Uniform numbers in half precision are too coarse for rare ones.
    uniform = torch.rand_like(probabilities, dtype=torch.promote_types(probabilities.dtype, torch.float32))
    # Numbers in place of the uniform ones: torch fills and converts tensors of truth values slowly.
    return uniform.lt_(probabilities).to(probabilities.dtype)

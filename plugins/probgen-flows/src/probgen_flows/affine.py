"""The affine map that every layer here applies to a feature, and its bounds."""

from __future__ import annotations

import functools
import operator
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from probgen.nn import soft_limit

__all__ = ["affine", "affine_inverse", "quieten", "shift_and_log_scale", "total"]

_LOG_SCALE_LIMIT = 5.0  # of a layer: scales from 0.007 to 148 times that of its input
_QUIET = 0.1


def shift_and_log_scale(outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Read a network's outputs, `(N, 2 K)`, as shifts and bounded log-scales of K features, `(N, K)` each."""
    shift, log_scale = outputs.chunk(2, -1)
    return shift, soft_limit(log_scale, _LOG_SCALE_LIMIT)


def affine(x: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
    r"""Return $z = (x - m)\, e^{-a}$, the noise of which $x$ is an affine function."""
    return (x - shift) * torch.exp(-log_scale)


def affine_inverse(z: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
    r"""Return $x = m + z\, e^{a}$."""
    return torch.addcmul(shift, z, torch.exp(log_scale))


def total(log_scales: Sequence[Tensor]) -> Tensor:
    """Return the sum over features and layers, `[(N, K), ...] -> (N,)`."""
    return functools.reduce(operator.add, (each.sum(1) for each in log_scales))


@torch.no_grad()
def quieten(last_layer: nn.Linear) -> None:
    """Make a network's outputs small, so that a new layer is almost the identity and many of them train together."""
    last_layer.weight.mul_(_QUIET)

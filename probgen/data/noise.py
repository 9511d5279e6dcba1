r"""Noise that is a pure function of (seed, epoch, index, entry): nothing is drawn, so nothing has to be remembered.

A renewed view of the data needs fresh noise for every example in every epoch, and the same noise for the same example
whatever the batch it is in, the process that asks or the step at which a run is resumed. A generator cannot give that,
because what it returns depends on what was drawn before; a counter-based hash can. Each example gets a 64-bit key from
(seed, epoch, index); each entry of the example mixes both halves of that key with a constant of its own. Only integer
arithmetic modulo $2^{32}$ and $2^{64}$ is used, so the bits are the same on every device.

References:
    Salmon, Moraes, Dror & Shaw (2011), *Parallel random numbers: as easy as 1, 2, 3*.
    Steele, Lea & Flood (2014), *Fast splittable pseudorandom number generators* (the 64-bit finaliser).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["example_keys", "permutation", "uniform"]

_MASK_64 = (1 << 64) - 1
_GOLDEN_64 = 0x9E3779B97F4A7C15
_MIX_64 = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB))
_MIX_32 = ((16, 0x7FEB352D), (15, 0x846CA68B))
_GOLDEN_32 = 0x9E3779B9


def uniform(
    seed: int,
    epoch: int,
    index: Tensor,
    size: int,
    *,
    bits: int = 23,
    dtype: torch.dtype | None = None,
) -> Tensor:
    r"""Return noise in the open interval (0, 1) for each entry of each example.

    The values are the midpoints $(k + \tfrac12) / 2^b$ of $2^b$ equal cells, so that neither 0 nor 1 occurs and the mean is
    exactly one half.

    Args:
        seed: Any integer; seeds give unrelated noise.
        epoch: Any integer, likewise.
        index: Which examples, `(N,)` of int64.
        size: Entries of an example, $D$.
        bits: Resolution $b$, from 1 to 31. float32 holds the midpoints exactly up to 23.
        dtype: Floating-point type of the result; None for torch's default.

    Shapes:
        `(N,) -> (N, D)`.

    Example:
        >>> whole = uniform(0, 1, torch.arange(4), 3)
        >>> bool((uniform(0, 1, torch.tensor([2]), 3) == whole[2]).all())
        True
    """
    keys = example_keys(seed, epoch, index)
    low = ((keys << 32) >> 32).to(torch.int32).unsqueeze(-1)
    high = (keys >> 32).to(torch.int32).unsqueeze(-1)
    words = low ^ _entry_constants(size, index.device)
    scratch = torch.empty_like(words)
    (first_shift, first_factor), (second_shift, second_factor) = _MIX_32
    _fold(words, first_shift, scratch).mul_(_signed_32(first_factor))
    # Without the second half of the key, examples whose first halves nearly agree would share some of their noise.
    _fold(words, second_shift, scratch).add_(high).mul_(_signed_32(second_factor))
    _fold(words, first_shift, scratch).bitwise_right_shift_(32 - bits)  # signed: in [-2^(b-1), 2^(b-1))
    noise = words.to(torch.get_default_dtype() if dtype is None else dtype)
    return noise.mul_(2.0**-bits).add_(0.5 + 2.0 ** -(bits + 1))


def example_keys(seed: int, epoch: int, index: Tensor) -> Tensor:
    """Return a 64-bit key for each example, `(N,) -> (N,)` of int64; distinct indices never share one."""
    start = _mix_64_scalar(_mix_64_scalar((seed + 1) * _GOLDEN_64) + epoch * _GOLDEN_64)
    keys = index.to(torch.int64) * _signed_64(_GOLDEN_64) + _signed_64(start)
    for shift, factor in _MIX_64:
        keys = (keys ^ _logical_shift_64(keys, shift)) * _signed_64(factor)
    return keys ^ _logical_shift_64(keys, 31)


def permutation(seed: int, epoch: int, size: int) -> Tensor:
    """Return an order of `size` examples that depends on (seed, epoch) alone, `(size,)` of int64.

    Example:
        >>> permutation(0, 0, 5).sort().values.tolist()
        [0, 1, 2, 3, 4]
    """
    return torch.argsort(example_keys(seed, epoch, torch.arange(size)))


def _entry_constants(size: int, device: torch.device) -> Tensor:
    """Return a well-mixed 32-bit constant for each entry of an example, `(D,)` of int32."""
    words = (torch.arange(1, size + 1, device=device) * _GOLDEN_32).bitwise_and_(0xFFFFFFFF)
    for shift, factor in _MIX_32:
        words = ((words ^ (words >> shift)) * factor).bitwise_and_(0xFFFFFFFF)
    return (((words ^ (words >> 16)) << 32) >> 32).to(torch.int32)


def _fold(words: Tensor, shift: int, scratch: Tensor) -> Tensor:
    """Do `words ^= words >>> shift` in place; torch shifts signed words arithmetically, so the copied signs are masked."""
    torch.bitwise_right_shift(words, shift, out=scratch)
    return words.bitwise_xor_(scratch.bitwise_and_((1 << (32 - shift)) - 1))


def _logical_shift_64(words: Tensor, shift: int) -> Tensor:
    return (words >> shift) & ((1 << (64 - shift)) - 1)


def _mix_64_scalar(word: int) -> int:
    word &= _MASK_64
    for shift, factor in _MIX_64:
        word = ((word ^ (word >> shift)) * factor) & _MASK_64
    return word ^ (word >> 31)


def _signed_32(word: int) -> int:
    return word - (1 << 32) if word >> 31 else word


def _signed_64(word: int) -> int:
    return word - (1 << 64) if word >> 63 else word

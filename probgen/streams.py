"""Random streams as functions of (seed, purpose, counters).

Each purpose has a stream of its own (initialisation, data order, training noise, validation), and a stream's seed at a step
is a hash of where it stands. So nothing has to be remembered to resume a run exactly, and drawing a picture or validating
more often never changes the weights.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

__all__ = ["epoch_order", "preserved_streams", "seed_streams", "seeded_streams", "stream_seed"]


def stream_seed(seed: int, purpose: str, *counters: int) -> int:
    """Return the seed, in [0, 2^63), of the stream for `purpose` at `counters`.

    Example:
        >>> stream_seed(0, "noise", 1) == stream_seed(0, "noise", 1)
        True
        >>> stream_seed(0, "noise", 1) == stream_seed(0, "noise", 2)
        False
    """
    text = f"{seed}\0{purpose}\0{counters}".encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def epoch_order(seed: int, purpose: str, epoch: int, size: int) -> Tensor:
    """Return the order in which an epoch visits `size` examples: a permutation, `(size,)` of int64."""
    generator = torch.Generator().manual_seed(stream_seed(seed, purpose, epoch))
    return torch.randperm(size, generator=generator)


@contextmanager
def preserved_streams() -> Iterator[None]:
    """Put torch's global random streams, on every device in use, back as they were when the block ends."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        yield


def seed_streams(seed: int) -> None:
    """Seed torch's global random streams on every device in use.

    `torch.manual_seed` does the same and also prepares devices that may come into use later, for which it writes down the
    whole Python stack: a hundred times slower, at every step.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    if torch.backends.mps.is_available():
        torch.mps.manual_seed(seed)


@contextmanager
def seeded_streams(seed: int, purpose: str, *counters: int) -> Iterator[None]:
    """Run the block on the stream for `purpose`, then put the global streams back as they were."""
    with preserved_streams():
        seed_streams(stream_seed(seed, purpose, *counters))
        yield

"""Where and how a run of the benchmarks computes."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from typing import TypeVar

import torch
from torch import Tensor, nn

__all__ = ["Setting", "confine"]

_Placed = TypeVar("_Placed", Tensor, nn.Module)


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the options of the command line say.

    Args:
        rounds: Most rounds of a row.
        seconds: Time after which a row starts no further round, once it has a few.
        threads: Threads of every contestant.
        device: `cpu` or `cuda`.
        precision: `float32`, or `bfloat16` for automatic mixed precision of all training that runs on torch.
        inductor: Whether contestants that are compiled take part.
    """

    rounds: int = 12
    seconds: float = 8.0
    threads: int = 2
    device: str = "cpu"
    precision: str = "float32"
    inductor: bool = True

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Return the context in which a hand-written loss or a peer's is computed."""
        return torch.autocast(self.device, torch.bfloat16, enabled=self.precision == "bfloat16")

    def synchronize(self) -> None:
        """Wait for what runs on the device."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def place(self, what: _Placed) -> _Placed:
        """Return a tensor or module on the device."""
        return what.to(self.device)


def confine(threads: int) -> None:
    """Leave this process as many processors as threads, whatever makes the threads: torch, XLA, BLAS or OpenMP."""
    torch.set_num_threads(threads)
    if hasattr(os, "sched_setaffinity"):
        allowed = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, allowed[:threads])

"""Many processes as one: who this process is, and how gradients are averaged.

Models are never wrapped. Each process runs the estimators on its own rows of the batch, and one flat `all_reduce` for each
phase adds the gradients up.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.distributed as distributed
from torch import Tensor, nn

__all__ = ["World", "joined"]


@dataclasses.dataclass(frozen=True)
class World:
    """This process's place among those that train together.

    Args:
        rank: Number of this process, from 0. Process 0 writes files and prints.
        size: How many processes there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this is the process that writes and prints."""
        return self.rank == 0

    def add_up(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the sums over processes of the gradients, exchanged as one flat tensor."""
        if self.size == 1:
            return list(gradients)
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        parts = flat.split([gradient.numel() for gradient in gradients])
        return [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)]

    def agree(self, number: int, device: torch.device) -> int:
        """Return the largest of the processes' numbers: a stop that one asks for is a stop for all."""
        if self.size == 1:
            return number
        largest = torch.tensor(number, device=device)
        distributed.all_reduce(largest, op=distributed.ReduceOp.MAX)
        return int(largest)

    def share(self, *modules: nn.Module | None) -> None:
        """Give every process the parameters and buffers of process 0."""
        if self.size == 1:
            return
        for module in modules:
            for tensor in [] if module is None else [*module.parameters(), *module.buffers()]:
                distributed.broadcast(tensor.detach(), src=0)

    def wait(self) -> None:
        """Return when every process has come here."""
        if self.size > 1:
            distributed.barrier()


@contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Join the processes that `torchrun` started, if it did; leave them again at the end unless already joined before."""
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 and not distributed.is_initialized():
        yield World()
        return
    mine = not distributed.is_initialized()
    if mine:
        distributed.init_process_group("nccl" if device.type == "cuda" else "gloo")
    try:
        yield World(distributed.get_rank(), distributed.get_world_size())
    finally:
        if mine:
            distributed.destroy_process_group()

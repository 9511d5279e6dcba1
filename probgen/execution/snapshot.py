"""Putting back what running a phase on trial has changed."""

from __future__ import annotations

import operator
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from probgen.execution.reach import Container, Reach, Slots
from probgen.streams import preserved_streams

__all__ = ["Snapshot", "same_bits", "untouched"]


class Snapshot:
    """A copy of everything within reach, to go back to.

    Args:
        reach: What is copied, as it is now.
    """

    def __init__(self, reach: Reach) -> None:
        self._reach = reach
        self._values = _copies(reach.tensors)
        self._streams = [(stream, stream.read()) for stream in reach.streams]

    def restore(self, *, keep_new: bool = False) -> None:
        """Put values, contents and random streams back.

        Args:
            keep_new: Whether to keep what was None, or was not there: that is how things are remembered that are made once.
        """
        for container in self._reach.containers:
            _refill(container, keep_new=keep_new)
        for tensor, value, pointer in self._values:
            _put_back(tensor, value, pointer)
        for stream, state in self._streams:
            stream.write(state)

    def drawn_from(self) -> str | None:
        """Return the name of a stream, none of torch's, from which was drawn since; None if there is none."""
        for stream, state in self._streams:
            if not isinstance(state, Tensor) and repr(stream.read()) != repr(state):
                return stream.path
        return None


@contextmanager
def untouched(tensors: Sequence[Tensor], reach: Reach) -> Iterator[None]:
    """Put tensors, and the random streams, back as they were when the block ends."""
    copies = _copies(tensors)
    streams = [(stream, stream.read()) for stream in reach.streams]
    try:
        with preserved_streams():
            yield
    finally:
        for tensor, value, pointer in copies:
            _put_back(tensor, value, pointer)
        for stream, state in streams:
            stream.write(state)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Return whether two tensors are equal, where NaN equals itself."""
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if torch.equal(one, other):
        return True
    return one.is_floating_point() and torch.allclose(one, other, rtol=0.0, atol=0.0, equal_nan=True)


_Copy = tuple[Tensor, Tensor, int]


def _copies(tensors: Iterable[Tensor]) -> list[_Copy]:
    """Return each tensor with a copy of its value and where its memory begins; sparse ones are taken for constants."""
    return [(tensor, tensor.detach().clone(), tensor.data_ptr()) for tensor in tensors if tensor.layout == torch.strided]


def _put_back(tensor: Tensor, value: Tensor, pointer: int) -> None:
    """Give a tensor its value again, without writing where nothing was written."""
    if tensor.data_ptr() != pointer or tensor.shape != value.shape or tensor.dtype != value.dtype:
        tensor.data = value
    elif not same_bits(tensor.detach(), value):
        with torch.no_grad():
            tensor.detach().copy_(value)


def _refill(container: Container, *, keep_new: bool) -> None:
    holder, before = container.holder, container.contents
    if isinstance(holder, Slots):
        for name, value in before.items():
            if getattr(holder.owner, name, None) is not value and not (keep_new and value is None):
                holder[name] = value
    elif isinstance(holder, dict):
        now = dict(holder)
        wanted = {**now, **{name: value for name, value in before.items() if value is not None or now.get(name) is None}}
        wanted = wanted if keep_new else before
        if list(now) != list(wanted) or any(now[name] is not value for name, value in wanted.items()):
            holder.clear()
            holder.update(wanted)
    elif isinstance(holder, set):
        if holder != before and not (keep_new and before <= holder):
            holder.clear()
            holder.update(before)
    else:
        _refill_list(holder, before, keep_new=keep_new)


def _refill_list(holder: list[Any] | deque[Any], before: list[Any], *, keep_new: bool) -> None:
    now = list(holder)
    longer = len(now) > len(before) and keep_new
    if (longer or len(now) == len(before)) and all(map(operator.is_, now, before)):
        return
    holder.clear()
    holder.extend(before)

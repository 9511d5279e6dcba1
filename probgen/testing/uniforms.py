r"""Uniform noise that stays undecided until it is compared with something.

Code that writes `torch.rand(n) < p` never looks at the uniform variable itself, only at which side of $p$ it lies on. So a
uniform draw is answered with an interval for each of its elements, and each comparison cuts the interval in two. Two
comparisons of one draw are then dependent as they should be.
"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from probgen.testing.script import Script

__all__ = ["Uniforms"]


@dataclasses.dataclass
class _Interval:
    low: float
    high: float


@dataclasses.dataclass(frozen=True)
class _Tracked:
    """A storage that holds undecided elements, and which: an index into the intervals for each element, or -1."""

    storage: torch.UntypedStorage  # kept, so that its address is not given to another tensor
    labels: Tensor


class Uniforms:
    """The undecided uniform elements of one path.

    Tensors are recognised by the memory that they share, since views, autograd and vmap hand out new tensor objects.

    Args:
        script: Answers the comparisons.
        position: Where in its interval an element lies as far as the memory itself is concerned, for code that reads it
            behind torch's back. Two replays with different positions tell whether any does.
    """

    def __init__(self, script: Script, *, position: float) -> None:
        self._script = script
        self._position = position
        self._intervals: list[_Interval] = []
        self._storages: dict[int, _Tracked] = {}

    def draw(self, tensor: Tensor, low: float, high: float) -> None:
        """Make every element of `tensor` undecided in [`low`, `high`)."""
        first = len(self._intervals)
        self._intervals += [_Interval(low, high) for _ in range(tensor.numel())]
        tensor.fill_(low + self._position * (high - low))
        self.relabel(tensor, torch.arange(first, len(self._intervals)).reshape(tensor.shape))

    def relabel(self, tensor: Tensor, labels: Tensor) -> None:
        """Say which undecided elements `tensor` holds, by their labels; -1 for one that is an ordinary number."""
        if tensor.numel() == 0:
            return
        storage = tensor.untyped_storage()
        tracked = self._storages.get(storage.data_ptr())
        if tracked is None:
            size = storage.nbytes() // tensor.element_size()
            tracked = self._storages[storage.data_ptr()] = _Tracked(storage, torch.full((size,), -1))
        tracked.labels.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(labels)

    def labels(self, tensor: Tensor) -> Tensor | None:
        """Return the label of each element, -1 where it is an ordinary number; None when all are."""
        tracked = self._storages.get(tensor.untyped_storage().data_ptr()) if self else None
        if tracked is None or tensor.numel() == 0:
            return None
        labels = tracked.labels.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        return labels if bool((labels >= 0).any()) else None

    def __bool__(self) -> bool:
        """Return whether any element is undecided."""
        return bool(self._storages)

    def forget(self, tensor: Tensor) -> None:
        """Say that `tensor` has been overwritten with ordinary numbers."""
        if self.labels(tensor) is not None:
            self.relabel(tensor, torch.full(tensor.shape, -1))

    def below(self, labels: Tensor, thresholds: Tensor, operation: str) -> Tensor:
        """Decide, for each element, whether it lies below its threshold; both have the shape of the answer."""
        pairs = list(zip(labels.reshape(-1).tolist(), thresholds.reshape(-1).tolist(), strict=True))
        self._script.expect(self._outcomes(pairs), operation)
        return torch.tensor([self._is_below(label, threshold) for label, threshold in pairs]).reshape(labels.shape)

    def _outcomes(self, pairs: list[tuple[int, float]]) -> int:
        """Return a number of joint outcomes that there are at least: distinct elements that a threshold cuts."""
        cut = {label for label, t in pairs if self._intervals[label].low < t < self._intervals[label].high}
        return 2 ** len(cut)

    def _is_below(self, label: int, threshold: float) -> bool:
        interval = self._intervals[label]
        if math.isnan(threshold) or threshold <= interval.low:
            return False
        if threshold >= interval.high:
            return True
        share = (threshold - interval.low) / (interval.high - interval.low)
        below = self._script.choose((1 - share, share)) == 1
        if below:
            interval.high = threshold
        else:
            interval.low = threshold
        return below

r"""Uniform noise that stays undecided until it is compared with something, or read.

Code that writes `torch.rand(n) < p` never looks at the uniform variable itself, only at which side of $p$ it lies on. So a
uniform draw is answered with an interval for each of its elements, and each comparison cuts the interval in two. Two
comparisons of one draw are then dependent as they should be. Monotone functions of one element are undecided with it, since
comparing $g(u)$ with $t$ is comparing $u$ with $g^{-1}(t)$.

Code that computes with the variable gets a number: a node of the Gauss-Legendre rule on what is left of the interval. What
follows should be smooth there, and it is where comparisons came first: a threshold cuts the interval where the function
jumps.
"""

from __future__ import annotations

import dataclasses
import functools
import math

import numpy as np
import torch
from torch import Tensor

from probgen.testing.elements import Element, Interval
from probgen.testing.failures import NotEnumerable
from probgen.testing.monotone import Monotone
from probgen.testing.script import Script

__all__ = ["Uniforms"]

_LEAST_DOUBT, _ROUNDINGS = 1e-9, 16
"""Comparisons that rounding decides are refused from this probability on, or that of so many roundings if it is larger."""


@dataclasses.dataclass(frozen=True)
class _Tracked:
    """A storage that holds undecided elements, and which: an index into the elements for each of its places, or -1."""

    memory: Tensor  # all of the storage, which is kept so that its address is not given to another tensor
    labels: Tensor


class Uniforms:
    """The undecided uniform elements of one path.

    Tensors are recognised by the memory that they share, since views, autograd and vmap hand out new tensor objects.

    The variables are real numbers. That torch draws multiples of $2^{-24}$ in single precision, or $2^{-53}$ in double,
    changes a probability by no more than that. In half precision it would show, so such noise is refused; so is a
    comparison that the rounding of a monotone function may decide.

    Args:
        script: Answers the comparisons, and chooses nodes.
        nodes: Number of nodes of the Gauss-Legendre rule for an element that is read.
        position: Where in its interval an element lies as far as the memory itself is concerned, for code that reads it
            behind torch's back. Two replays with different positions tell whether any does.
    """

    def __init__(self, script: Script, *, nodes: int, position: float) -> None:
        self._script = script
        self._nodes = nodes
        self._position = position
        self._elements: list[Element] = []
        self._storages: dict[int, _Tracked] = {}

    def draw(self, tensor: Tensor, low: float, high: float) -> None:
        """Make every element of `tensor` undecided in [`low`, `high`).

        Raises:
            NotEnumerable: the tensor is so coarse that the draws are far from real numbers.
        """
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise NotEnumerable(f"uniform noise of {tensor.dtype}, which takes few values")
        tensor.fill_(low + self._position * (high - low))
        self._hold(tensor, [Element(Interval(low, high, high - low)) for _ in range(tensor.numel())])

    def derive(self, tensor: Tensor, labels: Tensor, steps: list[Monotone]) -> bool:
        """Make every element of `tensor` that monotone function, one for each, of the one with that label.

        Returns:
            Whether that is possible: whether the functions are numbers wherever the variables may lie.
        """
        before = [self._elements[label] for label in labels.reshape(-1).tolist()]
        for one, step in zip(before, steps, strict=True):
            low, high = one.range
            if not step.domain[0] <= low <= high <= step.domain[1]:
                return False
        precision = torch.finfo(tensor.dtype)
        self._hold(
            tensor,
            [Element(one.interval, (*one.steps, (step, precision))) for one, step in zip(before, steps, strict=True)],
        )
        return True

    def _hold(self, tensor: Tensor, elements: list[Element]) -> None:
        first = len(self._elements)
        self._elements += elements
        self.relabel(tensor, torch.arange(first, len(self._elements)).reshape(tensor.shape))

    def relabel(self, tensor: Tensor, labels: Tensor) -> None:
        """Say which undecided elements `tensor` holds, by their labels; -1 for one that is an ordinary number."""
        if tensor.numel() == 0:
            return
        storage = tensor.untyped_storage()
        tracked = self._storages.get(storage.data_ptr())
        if tracked is None:
            size = storage.nbytes() // tensor.element_size()
            memory = tensor.detach().as_strided((size,), (1,), 0)
            tracked = self._storages[storage.data_ptr()] = _Tracked(memory, torch.full((size,), -1))
        tracked.labels.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset()).copy_(labels)

    def labels(self, tensor: Tensor) -> Tensor | None:
        """Return the label of each element, -1 where it is an ordinary number; None when all are.

        Raises:
            NotEnumerable: the tensor takes the noise for numbers of another kind.
        """
        tracked = self._storages.get(tensor.untyped_storage().data_ptr()) if self else None
        if tracked is None or tensor.numel() == 0:
            return None
        if tensor.dtype != tracked.memory.dtype:
            raise NotEnumerable(f"uniform noise whose bits are read as {tensor.dtype}")
        labels = tracked.labels.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        return labels if bool((labels >= 0).any()) else None

    def __bool__(self) -> bool:
        """Return whether any element is undecided."""
        return bool(self._storages)

    def forget(self, tensor: Tensor) -> None:
        """Say that `tensor` has been overwritten with ordinary numbers."""
        if self.labels(tensor) is not None:
            self.relabel(tensor, torch.full(tensor.shape, -1))

    def below(self, labels: Tensor, thresholds: Tensor, operation: str, *, including: bool) -> Tensor:
        """Decide, for each element, whether it lies below its threshold; all have the shape of the answer.

        Args:
            labels: Which elements.
            thresholds: What they are compared with; nothing lies below one that is not a number.
            operation: The operation that asks, for messages.
            including: Whether an element that equals its threshold counts as below.

        Raises:
            NotEnumerable: rounding has more than a little to say in it, or the outcomes are too many.
        """
        pairs = self._pairs(labels, thresholds, operation)
        self._script.expect(2 ** len(self._cut(pairs)), operation)
        answers = [self._is_below(element, value, including=including) for element, value in pairs]
        return torch.tensor(answers, dtype=torch.bool).reshape(labels.shape)

    def at(self, labels: Tensor, thresholds: Tensor, operation: str) -> Tensor:
        """Decide, for each element, whether it equals its threshold, which it may where a function is flat.

        Raises:
            NotEnumerable: as for `below`.
        """
        pairs = self._pairs(labels, thresholds, operation)
        answers = [
            element.threshold(value, including=True) != element.threshold(value, including=False)
            and self._is_below(element, value, including=True)
            and not self._is_below(element, value, including=False)
            for element, value in pairs
        ]
        return torch.tensor(answers, dtype=torch.bool).reshape(labels.shape)

    def _pairs(self, labels: Tensor, thresholds: Tensor, operation: str) -> list[tuple[Element, float]]:
        """Return each element with its threshold."""
        elements = [self._elements[label] for label in labels.reshape(-1).tolist()]
        pairs = list(zip(elements, thresholds.reshape(-1).tolist(), strict=True))
        for element, value in pairs:
            if element.steps and not math.isnan(value):
                allowed = max(_LEAST_DOUBT, _ROUNDINGS * element.steps[-1][1].eps)
                if element.doubt(value) > allowed:
                    raise NotEnumerable(f"a comparison of uniform noise that rounding decides, by {operation}")
        return pairs

    def settle(self, tensors: list[Tensor], operation: str) -> list[Tensor]:
        """Give a number to every variable that these tensors are made of; return the memory that numbers were written to."""
        labels = torch.cat([found.reshape(-1) for tensor in tensors if (found := self.labels(tensor)) is not None])
        elements = [self._elements[label] for label in labels[labels >= 0].tolist()]
        open_ones = {id(each.interval): each.interval for each in elements if not each.interval.settled}
        self._script.expect(self._nodes ** len(open_ones), operation)
        points, weights = _gauss_legendre(self._nodes)
        for interval in open_ones.values():
            point = points[self._script.choose(weights, smooth=True)]
            interval.low = interval.high = interval.low + (interval.high - interval.low) * point
        return [memory for address in list(self._storages) if (memory := self._written(address)) is not None]

    def _written(self, address: int) -> Tensor | None:
        """Replace what follows from settled variables by ordinary numbers; return the memory if there was anything."""
        tracked, wrote = self._storages[address], False
        for place in torch.nonzero(tracked.labels >= 0).reshape(-1).tolist():
            element = self._elements[int(tracked.labels[place])]
            if element.interval.settled:
                tracked.memory[place], tracked.labels[place] = element.value, -1
                wrote = True
        if wrote and not bool((tracked.labels >= 0).any()):
            del self._storages[address]
        return tracked.memory if wrote else None

    def _cut(self, pairs: list[tuple[Element, float]]) -> set[int]:
        """Return the variables that a threshold cuts; there are at least two outcomes for each."""
        return {
            id(element.interval)
            for element, value in pairs
            if element.interval.low < element.threshold(value, including=False)[0] < element.interval.high
        }

    def _is_below(self, element: Element, value: float, *, including: bool) -> bool:
        if math.isnan(value):
            return False
        threshold, below = element.threshold(value, including=including)
        return self._lies_below(element.interval, threshold) == below

    def _lies_below(self, interval: Interval, threshold: float) -> bool:
        if threshold <= interval.low:
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


@functools.cache
def _gauss_legendre(nodes: int) -> tuple[list[float], list[float]]:
    points, weights = np.polynomial.legendre.leggauss(nodes)
    return ((points + 1) / 2).tolist(), (weights / 2).tolist()

"""Where a program jumps in noise that a quadrature rule stands for.

A rule integrates smooth functions. It sees nothing of a jump where no node lies nearby, so that two rules may well agree on
a wrong number. So what is computed from nodes is followed, and the program is refused where the result becomes discrete.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from probgen.testing.failures import NotEnumerable

__all__ = ["COMPARISONS", "JUMPS", "Smooth"]

COMPARISONS = {"lt": True, "le": True, "gt": False, "ge": False}
"""Whether each of them is true of a first operand below the second. Equality has probability zero."""

_STEPS = (
    "floor",
    "ceil",
    "round",
    "trunc",
    "frac",
    "fmod",
    "remainder",
    "floor_divide",
    "sign",
    "sgn",
    "copysign",
    "angle",
    "heaviside",
    "hardshrink",
    "threshold",
)

JUMPS = (*_STEPS, *COMPARISONS, "eq", "ne", "sort", "argsort", "topk", "argmax", "argmin", "max", "min")
"""Operations whose result jumps, or has a part that does, where nothing tells."""

_QUESTIONS = ("_is_all_true", "_is_any_true", "all", "any", "bitwise_and", "bitwise_or", "bitwise_not", "logical_and")
_QUESTIONS += ("logical_or", "logical_not", "_local_scalar_dense")
"""What is done with truth values that are only asked whether all is well, as when arguments are validated."""


class Smooth:
    """The memory that depends on nodes of a rule, and which of it is a truth value about them.

    Example:
        >>> smooth = Smooth()
        >>> noise = torch.rand(2)
        >>> smooth.add(noise)
        >>> smooth.follow("gt", [noise], above := noise > 0.1)
        >>> smooth.follow("all", [above], above.all())
        >>> smooth.follow("where", [above], torch.where(above, 1.0, 0.0))
        Traceback (most recent call last):
        probgen.testing.failures.NotEnumerable: ...noise of a continuous law where a result jumps, by where...
    """

    def __init__(self) -> None:
        self._kept: dict[int, torch.UntypedStorage] = {}  # kept, so that an address is not given to another tensor
        self._truths: set[int] = set()

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._kept)

    def add(self, tensor: Tensor) -> None:
        """Say that `tensor` depends on nodes."""
        storage = tensor.untyped_storage()
        self._kept[storage.data_ptr()] = storage
        if tensor.dtype == torch.bool:
            self._truths.add(storage.data_ptr())

    def follow(self, name: str, inputs: Iterable[Tensor], *outputs: Tensor) -> None:
        """Take note of what an operation has made of its inputs.

        Raises:
            NotEnumerable: it jumps in the noise, or makes whole numbers of it or numbers of truth values about it.
        """
        touched = {address for tensor in inputs if (address := tensor.untyped_storage().data_ptr()) in self._kept}
        if not touched:
            return
        numbers = any(not tensor.is_floating_point() and tensor.dtype != torch.bool for tensor in outputs)
        used = bool(touched & self._truths) and name not in _QUESTIONS
        if numbers or used or name.removesuffix("_") in _STEPS:
            raise NotEnumerable(f"noise of a continuous law where a result jumps, by {name}")
        for tensor in outputs:
            self.add(tensor)

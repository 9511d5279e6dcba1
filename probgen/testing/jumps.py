"""Where a program jumps in noise that a quadrature rule stands for.

A rule integrates smooth functions. It sees nothing of a jump where no node lies nearby, so that two rules may well agree on
a wrong number. So what is computed from nodes is followed, and the program is refused where the result becomes discrete,
or where Python is told something that is not the same at every node.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from probgen.testing.failures import NotEnumerable
from probgen.testing.script import Script

__all__ = ["COMPARISONS", "SHAPE_ONLY", "Smooth", "jumps"]

COMPARISONS = {"lt": (True, False), "le": (True, True), "gt": (False, True), "ge": (False, False)}
"""Whether each of them is true of a first operand below the second, and whether those below include the second."""

SHAPE_ONLY = ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty")
"""Operations that read no element."""

_STEPS = frozenset(
    {
        *("floor", "ceil", "round", "trunc", "frac", "fmod", "remainder", "floor_divide", "fake_quantize_per_tensor_affine"),
        *("sign", "sgn", "copysign", "angle", "heaviside", "nextafter", "hardshrink", "threshold", "threshold_backward"),
        *("hardshrink_backward", "softshrink_backward", "hardtanh_backward", "hardsigmoid_backward", "hardswish_backward"),
        *("leaky_relu_backward", "_prelu_kernel_backward", "multi_margin_loss_backward", "histc", "histogram"),
    }
)

_ORDERS = frozenset({*COMPARISONS, "eq", "ne", "sort", "argsort", "topk", "argmax", "argmin", "max", "min"})

_TRUTHS = frozenset(
    {*COMPARISONS, "eq", "ne", "isnan", "signbit", "logical_and", "logical_or", "logical_not", "logical_xor"}
)
"""Operations that give truth values, and jump where these are written as numbers."""

_SELECTIONS = ("index", "masked_select")
"""Operations that make a shape of truth values."""

_RELOCATIONS = ("resize", "resize_as", "set")
"""Operations that give a tensor other memory."""


def jumps(name: str, arguments: Mapping[str, Any], *, orders: bool = False) -> bool:
    """Return whether the result of an operation jumps in its arguments where nothing tells.

    Args:
        name: The operation's short name.
        arguments: What it is called with by name.
        orders: Whether to count those, too, whose result has a part that says how arguments are ordered.

    Example:
        >>> jumps("_foreach_round_", {}), jumps("div", {"rounding_mode": "floor"}), jumps("div", {"rounding_mode": None})
        (True, True, False)
    """
    plain = name.removeprefix("_foreach_").removesuffix("_")
    return plain in _STEPS or (orders and plain in _ORDERS) or arguments.get("rounding_mode") is not None


class Smooth:
    """The memory that depends on nodes of a rule, and which of it is a truth value about them.

    Truth values may be asked for, as when arguments are validated, while the comparisons behind them have the same answers
    at all nodes. They may not be computed with.

    Args:
        script: Knows the answers at other nodes.

    Example:
        >>> smooth = Smooth(Script(max_paths=10))
        >>> noise = torch.rand(2)
        >>> smooth.add(noise)
        >>> smooth.follow("gt", {}, smooth.touched([noise]), [above := noise > 0.1], above)
        >>> smooth.follow("where", {}, smooth.touched([above]), [chosen := torch.where(above, 1.0, 0.0)], chosen)
        Traceback (most recent call last):
        probgen.testing.failures.NotEnumerable: ...noise of a continuous law where a result jumps, by where...
    """

    def __init__(self, script: Script) -> None:
        self._script = script
        self._kept: dict[int, torch.UntypedStorage] = {}  # kept, so that an address is not given to another tensor
        self._truths: dict[int, bytes] = {}  # with the answers of the comparisons that they are made of

    def __bool__(self) -> bool:
        """Return whether there is any."""
        return bool(self._kept)

    def add(self, tensor: Tensor) -> None:
        """Say that `tensor` depends on nodes.

        Raises:
            NotEnumerable: it is so coarse that no function of it is smooth.
        """
        if tensor.dtype in (torch.float16, torch.bfloat16):
            raise NotEnumerable(f"noise of a continuous law that is rounded to {tensor.dtype}")
        if tensor.numel():
            storage = tensor.untyped_storage()
            self._kept[storage.data_ptr()] = storage

    def touched(self, tensors: Iterable[Tensor]) -> set[int]:
        """Return the addresses of those memories among the tensors' that depend on nodes."""
        return {address for tensor in tensors if (address := tensor.untyped_storage().data_ptr()) in self._kept}

    def follow(
        self, name: str, arguments: Mapping[str, Any], touched: set[int], outputs: Iterable[Tensor], result: Any
    ) -> None:
        """Take note of what an operation has made of its inputs.

        Args:
            name: The operation's short name.
            arguments: What it was called with by name.
            touched: Which memory of its inputs depends on nodes.
            outputs: The tensors that it returned or wrote to.
            result: What it returned.

        Raises:
            NotEnumerable: it jumps in the noise, makes whole numbers of it or numbers of truth values about it, or tells
                Python a number, or a truth that is none at another node.
        """
        if not touched or name in SHAPE_ONLY:
            return
        outputs = list(outputs)
        truths = [self._truths[address] for address in sorted(touched) if address in self._truths]
        whole = any(not tensor.is_floating_point() and tensor.dtype != torch.bool for tensor in outputs)
        used = (truths or name.removesuffix("_") in _TRUTHS) and any(tensor.dtype != torch.bool for tensor in outputs)
        lost = (truths and name in _SELECTIONS) or name.removesuffix("_") in _RELOCATIONS
        if whole or used or lost or jumps(name, arguments):
            raise NotEnumerable(f"noise of a continuous law where a result jumps, by {name}")
        numbers = len(truths) < len(touched)
        for tensor in outputs:
            self.add(tensor)
            if tensor.dtype == torch.bool and tensor.numel():
                own = [bytes(tensor.detach().cpu().contiguous().numpy())] if numbers else []
                self._truths[tensor.untyped_storage().data_ptr()] = b"|".join([*truths, *own])
        if isinstance(result, bool | int | float):
            self._tell(name, result, truths)

    def _tell(self, name: str, result: float, truths: list[bytes]) -> None:
        """Let Python know `result`, which is made of those truths if there are any."""
        if not isinstance(result, bool):
            raise NotEnumerable(f"noise of a continuous law that is read as a number, by {name}")
        if not self._script.agrees(b"|".join(truths) or bytes([result])):
            raise NotEnumerable(f"noise of a continuous law that decides between branches, by {name}")

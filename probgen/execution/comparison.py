"""Is a graph the program? Both are run on the same tensors with the same draws, and every number is compared."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from probgen.execution.reach import Reach
from probgen.execution.snapshot import same_bits, untouched
from probgen.execution.tracing import draws

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

__all__ = ["TOLERANCE", "agree", "agree_somewhere", "outcome_of", "rewritten_agrees"]

TOLERANCE = 1e-5
"""Of the largest entry: what reordering a sum in single precision costs."""
_TRIALS = 3

_Run = Callable[..., Sequence[Tensor]]


def outcome_of(run: _Run, inputs: Sequence[Tensor], reach: Reach) -> list[Tensor]:
    """Return what a run puts out, then what becomes of its inputs; inputs and random streams are put back."""
    with untouched(inputs, reach), torch.no_grad():
        return [tensor.detach().clone() for tensor in (*run(*inputs), *inputs)]


def agree(expected: Sequence[Tensor], got: Sequence[Tensor], *, gradients: int, tolerance: float) -> bool:
    """Return whether two outcomes are the same.

    Args:
        expected: One.
        got: The other.
        gradients: How many of the first tensors are gradients: errors are measured against the largest of them all, since
            one that is zero but for rounding has no size of its own.
        tolerance: Largest error, in shares of the largest entry; 0 for the same bits.
    """
    if len(expected) != len(got) or any(one.shape != other.shape for one, other in zip(expected, got, strict=True)):
        return False
    if any(one.dtype != other.dtype for one, other in zip(expected, got, strict=True)):
        return False
    if tolerance == 0:
        return all(map(same_bits, expected, got))
    largest = max((_largest(tensor) for tensor in expected[:gradients]), default=0.0)
    sizes = [max(largest, _largest(one)) if number < gradients else _largest(one) for number, one in enumerate(expected)]
    return all(
        same_bits(one, other) or torch.allclose(one, other, rtol=tolerance, atol=tolerance * size, equal_nan=True)
        for one, other, size in zip(expected, got, sizes, strict=True)
    )


def _largest(tensor: Tensor) -> float:
    finite = tensor[tensor.isfinite()] if tensor.is_floating_point() else tensor
    return float(finite.abs().max()) if finite.numel() and finite.dtype != torch.bool else 0.0


def agree_somewhere(
    expected: _Run, got: _Run, inputs: Sequence[Tensor], reach: Reach, *, gradients: int, tolerance: float = TOLERANCE
) -> bool:
    """Return whether two functions give the same up to rounding, with the same draws.

    A rounding error now and then moves a number to the other side of a step; it does not do so everywhere. So one of a few
    inputs, the given ones and others a little smaller, has to do.
    """
    for trial in range(_TRIALS):
        near = _scaled(inputs, 1.0 - trial / 128) if trial else inputs
        outcomes = [outcome_of(run, near, reach) for run in (expected, got)]
        if agree(*outcomes, gradients=gradients, tolerance=tolerance):
            return True
    return False


def rewritten_agrees(
    graph: GraphModule, rewritten: GraphModule, inputs: Sequence[Tensor], reach: Reach, *, gradients: int
) -> bool:
    """Return whether a graph and a rewritten copy of it give the same up to rounding.

    What was drawn, and every outcome that is no real number, is held as it was: a coin whose probability is rounded
    differently falls as before.
    """
    noted: dict[str, Any] = {}
    return agree_somewhere(_Noted(graph, noted).run, _Held(rewritten, noted).run, inputs, reach, gradients=gradients)


def _scaled(inputs: Sequence[Tensor], factor: float) -> list[Tensor]:
    """Return copies, the real numbers among them multiplied by `factor`."""
    return [tensor.detach() * factor if tensor.is_floating_point() else tensor.detach().clone() for tensor in inputs]


class _Noted(fx.Interpreter):
    """Runs a graph and notes what it draws, and every outcome that is no real number."""

    def __init__(self, graph: GraphModule, noted: dict[str, Any]) -> None:
        super().__init__(graph)
        self._noted = noted

    def run_node(self, n: Node) -> Any:
        """Run a node and note its result."""
        result = super().run_node(n)
        if n.op == "call_function" and _is_decided(n, result):
            self._noted[n.name] = result.clone() if isinstance(result, Tensor) else result
        return result


class _Held(fx.Interpreter):
    """Runs a rewritten graph with the draws and outcomes of another run."""

    def __init__(self, graph: GraphModule, noted: dict[str, Any]) -> None:
        super().__init__(graph)
        self._noted = noted

    def run_node(self, n: Node) -> Any:
        """Run a node, unless its result is held fixed."""
        name = n.meta.get("stands_for", n.name)
        if n.op != "call_function" or name not in self._noted:
            return super().run_node(n)
        held = self._noted[name]
        if isinstance(held, Tensor) and _writes(n):
            return self.fetch_args_kwargs_from_env(n)[0][0].copy_(held)
        return held.clone() if isinstance(held, Tensor) else held


def _is_decided(node: Node, result: Any) -> bool:
    """Return whether a node draws, or decides: whether its result, if it is none of an argument's memory, is not real."""
    if draws(node):
        return True
    if not isinstance(result, Tensor) or result.is_floating_point() or result.is_complex():
        return False
    return _writes(node) or not any(value.alias_info for value in _returns(node))


def _writes(node: Node) -> bool:
    """Return whether a node writes to its first argument, and returns that."""
    returns = _returns(node)
    return bool(returns and returns[0].alias_info and returns[0].alias_info.is_write)


def _returns(node: Node) -> Sequence[Any]:
    """Return what a node's schema says of its results; nothing of one that was taken from among several."""
    if node.target is operator.getitem:
        return ()
    return node.target._schema.returns  # pyright: ignore[reportFunctionMemberAccess,reportAttributeAccessIssue]

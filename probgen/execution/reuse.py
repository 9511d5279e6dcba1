"""Elementwise operations of a graph that write over an operand which nobody looks at any more.

A result in new memory costs the processor twice: what lay there is fetched before it is written over, and something else
leaves the cache. An operand that has just been read is there already. The bits of every result stay the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from probgen.execution.tracing import draws

if TYPE_CHECKING:
    from torch.fx import Graph, GraphModule, Node

__all__ = ["reuse_memory"]

_aten = torch.ops.aten
_COMMUTATIVE = frozenset({_aten.add.Tensor, _aten.mul.Tensor})
_EXCEPTIONS = {_aten.mul.Scalar: _aten.mul_.Tensor}
"""Where another overload has the bits: in half precision `mul_.Scalar` rounds the number, and `mul.Scalar` does not."""
_SILENT_VIEWS = frozenset({_aten._unsafe_view.default, _aten.unsafe_split.Tensor, _aten.unsafe_split_with_sizes.default})
"""Operations whose results are their operand's memory and whose schema does not say so."""
_NEVER = 1 << 62  # after every node: inputs, constants and results are looked at from outside


def reuse_memory(graph: GraphModule) -> int:
    """Let elementwise operations of a graph write over their operands where that changes nothing; return how many do.

    Args:
        graph: A graph as `trace` returns it, where every node knows the layout of its result; changed in place.

    Example:
        >>> import torch
        >>> from probgen.execution.tracing import trace
        >>> graph = trace(lambda x: [(2 * x.exp()).sin()], [torch.zeros(3)])
        >>> reuse_memory(graph)
        2
        >>> [node.name + str(node.target)[4:] for node in graph.graph.nodes if node.op == "call_function"]
        ['exp.exp.default', 'mul.mul_.Tensor', 'sin.sin_.default']
    """
    lives = _Lives(graph.graph)
    count = 0
    for node in graph.graph.nodes:
        for operand, write_over in _ways(node):
            if lives.ends_with(operand, node) and _is_laid_out_alike(node, operand):
                write_over()
                lives.join(node, operand)
                count += 1
                break
    graph.recompile()
    return count


def _ways(node: Node) -> Sequence[tuple[Node, Callable[[], None]]]:
    """Return the operands that an operation could write over, each with what makes it do so."""
    target = node.target
    if not isinstance(target, torch._ops.OpOverload) or torch.Tag.pointwise not in target.tags:
        return []
    if target._schema.is_mutable or draws(node) or not isinstance(node.args[0], torch.fx.Node):
        return []
    if "grad_input" in target.overloadpacket.overloads():  # derivatives, which take the gradient of their result first
        return [(node.args[0], lambda: _call(node, target.overloadpacket.grad_input, node.args, grad_input=node.args[0]))]
    over_first = _EXCEPTIONS.get(target) or getattr(
        getattr(_aten, f"{target.overloadpacket.__name__}_", None), target._overloadname, None
    )
    if over_first is None:
        return []
    ways = [(node.args[0], lambda: _call(node, over_first, node.args))]
    second = node.args[1] if target in _COMMUTATIVE and not node.kwargs else None
    if isinstance(second, torch.fx.Node) and _type_of(second) == _type_of(node.args[0]):
        # Of two types the second tensor, if it has no axes, is not rounded to the type of the first, and would be there.
        ways.append((second, lambda: _call(node, over_first, node.args[::-1])))
    return ways


def _type_of(node: Node) -> torch.dtype | None:
    value = node.meta.get("val")
    return value.dtype if isinstance(value, Tensor) else None


def _call(node: Node, target: Any, arguments: Sequence[Any], **more: Any) -> None:
    node.target, node.args, node.kwargs = target, tuple(arguments), {**node.kwargs, **more}


def _is_laid_out_alike(node: Node, operand: Node) -> bool:
    """Return whether the operand is all of its memory, and of the size, type and order of the result, real and dense."""
    mine, its = node.meta.get("val"), operand.meta.get("val")
    if not isinstance(mine, Tensor) or not isinstance(its, Tensor):
        return False
    if {mine.layout, its.layout} != {torch.strided} or mine.is_complex():  # complex kernels round by where numbers lie
        return False
    if its.untyped_storage().nbytes() != its.numel() * its.element_size():
        return False
    return (mine.shape, mine.stride(), mine.dtype, mine.device) == (its.shape, its.stride(), its.dtype, its.device)


class _Lives:
    """Which nodes of a graph may share memory, and until when anybody looks at it.

    Args:
        graph: What is looked at.
    """

    def __init__(self, graph: Graph) -> None:
        self._number = {node: number for number, node in enumerate(graph.nodes)}
        self._joined: dict[Node, Node] = {}
        self._last: dict[Node, int] = {}
        for node, number in self._number.items():
            self._last[node] = number if node.op == "call_function" else _NEVER
            seen = _NEVER if node.op == "output" else number
            for operand in node.all_input_nodes:
                first = self._first(operand)
                self._last[first] = max(self._last[first], seen)
                if _may_share(node):
                    self.join(node, operand)

    def ends_with(self, operand: Node, node: Node) -> bool:
        """Return whether nobody looks at the memory of `operand` after `node`, which itself does so by one name only."""
        first = self._first(operand)
        names = [name for name in node.all_input_nodes if self._first(name) is first]
        return self._last[first] == self._number[node] and len(names) == 1

    def join(self, node: Node, operand: Node) -> None:
        """Note that both may be the same memory."""
        one, other = self._first(node), self._first(operand)
        if one is not other:
            self._joined[one] = other
            self._last[other] = max(self._last[one], self._last[other])

    def _first(self, node: Node) -> Node:
        while node in self._joined:
            node = self._joined[node]
        return node


def _may_share(node: Node) -> bool:
    """Return whether the result of a node may be memory of its operands."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return True
    if node.target in _SILENT_VIEWS:
        return True
    return node.target._schema.is_mutable or any(value.alias_info for value in node.target._schema.returns)

"""Dropping from a recorded graph what computes nothing new: views of all of a tensor, products with one, repetitions.

Handlers and distributions are written for any shape: they expand to a shape that is there already, take an average's
gradient over a single particle, transpose a gradient and transpose it back. In a graph of one layout each of these costs as
much as a small product of matrices. What is dropped here changes no bit of any result, not even the sign of a zero: `x + 0`
stays, and so does the mean of one number, since both make `0.0` of `-0.0`.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from probgen.execution.tracing import draws, tidy

if TYPE_CHECKING:
    from torch.fx import Graph, GraphModule, Node

__all__ = ["SIMPLIFICATIONS", "Simplification", "simplify"]

_aten = torch.ops.aten
_VIEWS = frozenset(
    {
        _aten.alias.default,
        _aten.detach.default,
        _aten.expand.default,
        _aten.permute.default,
        _aten.select.int,
        _aten.slice.Tensor,
        _aten.squeeze.default,
        _aten.squeeze.dim,
        _aten.squeeze.dims,
        _aten.t.default,
        _aten.transpose.int,
        _aten.unsqueeze.default,
        _aten.view.default,
        _aten._unsafe_view.default,
    }
)
"""Operations whose result is their first argument's memory, read with another shape."""
_TIMES = frozenset(
    {_aten.mul.Tensor, _aten.mul.Scalar, _aten.div.Tensor, _aten.div.Scalar, _aten.pow.Tensor_Scalar},
)
"""Operations that do nothing where their second argument is one."""


@dataclasses.dataclass(frozen=True)
class Simplification:
    """One kind of node that computes what another one has.

    Args:
        name: What it is called.
        concerns: Whether a node is of this kind.
        same_as: Returns the node that has the same shape, strides and bits already; None if there is none.
    """

    name: str
    concerns: Callable[[Node], bool]
    same_as: Callable[[Node], Node | None]


def simplify(graph: GraphModule) -> dict[str, int]:
    """Drop nodes that compute nothing new from a graph, in place, and return how many of each kind.

    Draws stay, all of them and in their order; so does whatever writes, and all that concerns memory that is written to. An
    output has memory of its own afterwards if it had before.

    Args:
        graph: A graph as `trace` returns it, where every node knows the shape and the memory of its result.

    Example:
        >>> import torch
        >>> from probgen.execution.tracing import trace
        >>> graph = trace(lambda x: [(x.exp().expand(3) / 1).t().t().sum() + x.exp()], [torch.zeros(3)])
        >>> simplify(graph)
        {'view': 3, 'one': 1, 'again': 1}
        >>> [node.name for node in graph.graph.nodes]
        ['x_1', 'exp', 'sum_1', 'add', 'output']
    """
    memory = _Memory(graph.graph)
    used = {rule.name: 0 for rule in SIMPLIFICATIONS}
    for node in list(graph.graph.nodes):  # in order, so that a node is seen when those before it are simple
        for rule in SIMPLIFICATIONS:
            if not rule.concerns(node):
                continue
            same = rule.same_as(node)
            if same is not None and memory.allows(node, same):
                memory.join(node, same)
                node.replace_all_uses_with(same)
                graph.graph.erase_node(node)
                used[rule.name] += 1
                break
    tidy(graph)
    return used


# ------------------------------------------------------------------------------------------------------ what is the same


def _layout_of(node: Any) -> tuple[Any, ...] | None:
    """Return how a node's tensor lies in memory, but for where; None if it is no plain tensor."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor) or value.layout != torch.strided:
        return None
    return value.shape, value.stride(), value.dtype, value.device


def _is_same_layout(node: Node, other: Any) -> bool:
    return _layout_of(node) is not None and _layout_of(node) == _layout_of(other)


def _viewed(node: Node) -> Node | None:
    """Return what is viewed, through any number of views, if in the end nothing of it is viewed otherwise."""
    above: Any = node
    while above.target in _VIEWS:
        above = above.args[0]
        if _is_same_layout(node, above) and above.meta["val"].storage_offset() == node.meta["val"].storage_offset():
            return above
    return None


def _multiplied_by_one(node: Node) -> Node | None:
    """Return `x` of `x * 1`, `x / 1` and `x ** 1`: exact for real numbers, NaN and zeros of either sign among them."""
    source, factor, *more = node.args
    if more or node.kwargs or not isinstance(factor, int | float) or factor != 1 or not _is_same_layout(node, source):
        return None
    return None if node.meta["val"].is_complex() else source  # pyright: ignore[reportReturnType]


def _repeats(node: Node) -> bool:
    """Return whether a node is one that gives the same whenever it is repeated, and cheap enough to be compared."""
    if node.op != "call_function" or not isinstance(node.target, torch._ops.OpOverload):
        return False
    if not node.all_input_nodes or node.target._schema.is_mutable or draws(node):
        return False
    return torch.Tag.pointwise in node.target.tags or node.target in _VIEWS


def _repeated(node: Node) -> Node | None:
    """Return an earlier node that does the same to the same; numbers are compared as written, since `0.0` is not `-0.0`."""
    what = _written_out(node)
    others = (other for other in node.all_input_nodes[0].users if other.target == node.target and other < node)
    return next((other for other in others if _written_out(other) == what and _is_same_layout(node, other)), None)


def _written_out(node: Node) -> str:
    return repr((node.args, node.kwargs))


SIMPLIFICATIONS = (
    Simplification("view", lambda node: node.target in _VIEWS, _viewed),
    Simplification("one", lambda node: node.target in _TIMES, _multiplied_by_one),
    Simplification("again", _repeats, _repeated),
)
"""Every simplification, in the order in which they are tried on a node."""

# ------------------------------------------------------------------------------------------------------ whose memory


class _Memory:
    """Which nodes of a graph share memory, what of it is written to, what is seen from outside.

    Memory is known by the storage of the tensors without values that tracing left.

    Args:
        graph: What is looked at, before anything is dropped.
    """

    def __init__(self, graph: Graph) -> None:
        self._joined: dict[int, int] = {}
        self._outside: set[int] = set()
        self._returned: set[int] = set()
        self._written: set[int] = set()
        known: set[int] = set()
        for node in graph.nodes:
            new = set(_storages([node])) - known
            known |= new
            if not _makes(node):
                self._outside |= new
            self._written.update(_storages(_targets_of_writes(node)))
            if node.op == "output":
                self._returned.update(_storages(node.all_input_nodes))
        # Inputs that have nothing in common now may be the same memory at a later step.
        self._unsteady = self._written | self._outside if self._written & self._outside else self._written

    def allows(self, node: Node, same: Node) -> bool:
        """Return whether `same` may stand for `node`, given that it has the same bits when `node` is computed."""
        mine, its = self._of(node), self._of(same)
        if mine in self._written or its in self._written:
            return False
        if mine == its:
            # One tensor that is returned twice, or given and returned, is not the same to the caller as two tensors.
            return not _is_returned(node) or (same.op == "call_function" and not _is_returned(same))
        if its in self._outside or (mine in self._returned and its in self._returned):
            return False
        return self._unsteady.isdisjoint(map(self._found, _storages(node.all_input_nodes)))

    def join(self, node: Node, same: Node) -> None:
        """Note that the memory of `node`, which views of it know as theirs, is that of `same` from now on."""
        mine, its = self._of(node), self._of(same)
        if mine != its:
            self._joined[mine] = its
            if mine in self._returned:
                self._returned.add(its)

    def _of(self, node: Node) -> int:
        return self._found(node.meta["val"].untyped_storage()._cdata)

    def _found(self, storage: int) -> int:
        while storage in self._joined:
            storage = self._joined[storage]
        return storage


def _storages(nodes: Iterable[Node]) -> list[int]:
    """Return what identifies the memory of some nodes' tensors."""
    values = [value for node in nodes for value in tree_leaves(node.meta.get("val")) if isinstance(value, Tensor)]
    return [value.untyped_storage()._cdata for value in values if value.layout == torch.strided]


def _makes(node: Node) -> bool:
    """Return whether memory that is new with a node is the graph's own, and none of an input's or a constant's."""
    schema = getattr(node.target, "_schema", None)
    return node.op == "call_function" and schema is not None and not any(value.alias_info for value in schema.returns)


def _targets_of_writes(node: Node) -> list[Node]:
    """Return the nodes whose memory a node writes to."""
    if node.op != "call_function" or node.target is operator.getitem:
        return []
    schema = getattr(node.target, "_schema", None)
    if schema is None:
        return node.all_input_nodes
    names = [argument.name for argument in schema.arguments]
    given = {**dict(zip(names, node.args, strict=False)), **node.kwargs}
    written = [given.get(argument.name) for argument in schema.arguments if _is_written(argument)]
    return [value for value in tree_leaves(written) if isinstance(value, torch.fx.Node)]


def _is_written(argument: Any) -> bool:
    # Normalisation over a batch does not say that it changes the running statistics.
    return bool(argument.alias_info and argument.alias_info.is_write) or argument.name.startswith("running_")


def _is_returned(node: Node) -> bool:
    return any(user.op == "output" for user in node.users)

"""Replacements in a staged graph that compute the same faster, each with the condition under which it pays."""

from __future__ import annotations

import dataclasses
import functools
import operator
import platform
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from probgen.execution.tracing import tidy

if TYPE_CHECKING:
    from torch.fx import Graph, GraphModule, Node

__all__ = ["REWRITES", "Rewrite", "rewrite"]

_aten = torch.ops.aten
_WORTHWHILE = 4_000_000
"""Multiplications from which on oneDNN's larger kernels pay for their set-up."""


@dataclasses.dataclass(frozen=True)
class Rewrite:
    """A replacement of one kind of node.

    Args:
        name: What it is called.
        targets: The operations that it concerns.
        applies: Whether it pays for a node, by shapes, dtypes and the processor, never by the clock: runs must repeat.
        replace: Returns the node that stands for the old one; the graph's insertion point is right before that.
        compiled: Whether it pays in a graph that is compiled afterwards.
    """

    name: str
    targets: frozenset[object]
    applies: Callable[[Node], bool]
    replace: Callable[[Graph, Node], Node]
    compiled: bool = True


def rewrite(graph: GraphModule, *, compiled: bool = False) -> dict[str, int]:
    """Apply every rewrite to a staged graph, in place, and return how often each was used.

    Args:
        graph: The graph.
        compiled: Whether it is compiled afterwards.
    """
    used = {}
    for rule in REWRITES:
        if compiled and not rule.compiled:
            continue
        count = 0
        for node in list(graph.graph.nodes):
            if node.op == "call_function" and node.target in rule.targets and rule.applies(node):
                with graph.graph.inserting_before(node):
                    new = rule.replace(graph.graph, node)
                new.meta.setdefault("val", node.meta.get("val"))
                new.meta["stands_for"] = node.name
                node.replace_all_uses_with(new)
                graph.graph.erase_node(node)
                count += 1
        used[rule.name] = count
    tidy(graph)
    return used


def _value(node: Any) -> Tensor:
    """Return the tensor without values that tracing left for a node."""
    return node.meta["val"]


def _arguments(node: Any) -> tuple[Any, ...]:
    """Return what a node is called with."""
    return node.args


# ------------------------------------------------------------------------------------------------------ faster coins


def _is_plain_bernoulli(node: Node) -> bool:
    return len(node.args) == 1 and not node.kwargs


def _compare_with_uniform(graph: Graph, node: Node) -> Node:
    """`bernoulli(p)` as `rand < p`, written as numbers: the same law, and a vectorised generator."""
    probabilities, dtype = node.args[0], _value(node).dtype
    made: dict[str, Any] = {"memory_format": torch.contiguous_format}  # as what `bernoulli` returns
    if dtype.itemsize >= 4:
        uniform = graph.call_function(_aten.rand_like.default, (probabilities,), made)
        return graph.call_function(_aten.lt_.Tensor, (uniform, probabilities))
    # Uniform numbers in half precision are too coarse for rare coins.
    uniform = graph.call_function(_aten.rand_like.default, (probabilities,), {"dtype": torch.float32, **made})
    coins = graph.call_function(_aten.lt_.Tensor, (uniform, probabilities))
    return graph.call_function(_aten._to_copy.default, (coins,), {"dtype": dtype})


# ------------------------------------------------------------------------------------------------------ linear layers


@functools.cache
def _has_fast_onednn() -> bool:
    """Return whether oneDNN's products beat the default's here: on AMD processors with AVX-512, where MKL uses AVX2."""
    if not hasattr(torch.ops.mkldnn, "_linear_pointwise") or torch.backends.cpu.get_cpu_capability() != "AVX512":
        return False
    if platform.system() != "Linux":
        return False
    return "AuthenticAMD" in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")


def _pays_on_onednn(node: Node) -> bool:
    if not _has_fast_onednn():
        return False
    left, right = map(_value, node.args[-2:])
    return (
        left.device.type == "cpu"
        and left.dtype == right.dtype == torch.float32
        and left.shape[0] * left.shape[1] * right.shape[1] >= _WORTHWHILE
    )


def _plain_addmm(node: Node) -> bool:
    return not node.kwargs and _value(node.args[0]).ndim == 1 and _pays_on_onednn(node)


def _onednn_linear(graph: Graph, node: Node) -> Node:
    """`mm(a, b)` and `addmm(c, a, b)` as oneDNN's linear layer, exact in float32."""
    *bias, left, right = node.args
    weight = graph.call_function(_aten.t.default, (right,))
    arguments = (left, weight, bias[0] if bias else None, "none", [], "")
    return graph.call_function(torch.ops.mkldnn._linear_pointwise.default, arguments)


# ------------------------------------------------------------------------------------- transposed convolutions to pictures


def _is_narrow_transposed(node: Node) -> bool:
    """Return whether a transposed convolution makes so few channels that all of its products are less than its input.

    The last layer of a decoder is one: to a grey picture oneDNN takes several times as long as the products.
    """
    x, weight, _, _, _, dilation, transposed, _, groups = _arguments(node)
    return transposed and groups == 1 and set(dilation) == {1} and _is_narrow(x, weight, node)


def _is_narrow_slope(node: Node) -> bool:
    """Return whether this is the gradient by a convolution's input of few channels, and nothing else is asked for there.

    The first layer of a critic has one, where a generator of grey pictures is trained by it.
    """
    backward, index = _arguments(node)
    if index != 0 or getattr(backward, "target", None) is not _aten.convolution_backward.default:
        return False
    arriving, _, weight, _, _, _, dilation, transposed, _, groups, wanted = _arguments(backward)
    alone = list(wanted) == [True, False, False]
    return alone and not transposed and groups == 1 and set(dilation) == {1} and _is_narrow(arriving, weight, node)


def _is_narrow(x: Any, weight: Any, made: Node) -> bool:
    given, kernel = _value(x), _value(weight)
    return (
        given.ndim == 4
        and given.device.type == "cpu"
        and given.dtype == kernel.dtype == torch.float32
        and given.is_contiguous()
        and kernel.is_contiguous()
        and _value(made).is_contiguous()
        and kernel[0].numel() < kernel.shape[0]
    )


def _add_up_transposed(graph: Graph, node: Node) -> Node:
    """A transposed convolution, as products that are added up."""
    x, weight, bias, stride, padding, dilation, *_ = _arguments(node)
    picture = _add_up_products(graph, x, weight, node, dilation, padding, stride)
    if bias is None:
        return picture
    level = graph.call_function(_aten.view.default, (bias, [-1, 1, 1]))
    return graph.call_function(_aten.add_.Tensor, (picture, level))


def _add_up_slope(graph: Graph, node: Node) -> Node:
    """The gradient by a convolution's input, which is a transposed convolution."""
    arriving, _, weight, _, stride, padding, dilation, *_ = _arguments(_arguments(node)[0])
    return _add_up_products(graph, arriving, weight, node, dilation, padding, stride)


def _add_up_products(graph: Graph, x: Any, weight: Any, made: Node, *folding: Any) -> Node:
    """One product of matrices, whose entries are added up where they overlap."""
    (count, channels), size = _value(x).shape[:2], _value(x).shape[2:]
    kernel = _value(weight).shape
    across = graph.call_function(_aten.t.default, (graph.call_function(_aten.view.default, (weight, [channels, -1])),))
    repeated = graph.call_function(_aten.expand.default, (across, [count, kernel[1:].numel(), channels]))
    pixels = graph.call_function(_aten.view.default, (x, [count, channels, size.numel()]))
    products = graph.call_function(_aten.bmm.default, (repeated, pixels))
    return graph.call_function(_aten.col2im.default, (products, [*_value(made).shape[2:]], [*kernel[2:]], *folding))


REWRITES = (
    Rewrite("bernoulli", frozenset({_aten.bernoulli.default}), _is_plain_bernoulli, _compare_with_uniform),
    Rewrite("mm", frozenset({_aten.mm.default}), _pays_on_onednn, _onednn_linear),
    Rewrite("addmm", frozenset({_aten.addmm.default}), _plain_addmm, _onednn_linear),
    Rewrite("narrow", frozenset({_aten.convolution.default}), _is_narrow_transposed, _add_up_transposed, compiled=False),
    Rewrite("narrow-slope", frozenset({operator.getitem}), _is_narrow_slope, _add_up_slope, compiled=False),
)
"""Every rewrite, in the order in which they are applied."""

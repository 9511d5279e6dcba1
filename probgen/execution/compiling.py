"""Compiling a recorded graph with inductor, straight from the graph.

`torch.compile` would look at every input again before each run, for what it may have assumed about it. A phase's watch has
done that, so the graph goes to the compiler itself; for a small model the looking takes longer than the compiled step.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from probgen.errors import StagingError

if TYPE_CHECKING:
    from torch.fx import GraphModule

__all__ = ["compiled"]

_HALF = (torch.float16, torch.bfloat16)


def compiled(graph: GraphModule, inputs: Sequence[Tensor]) -> Callable[..., Sequence[Tensor]]:
    """Return a function that does what a graph does, for inputs laid out like these, without gradients.

    It draws torch's own random numbers, so that compiled and interpreted draw alike, and rounds where the graph rounds: of
    operations in half precision that become one, the compiler would by itself leave out what lies between. Constants of the
    graph are read where they are at each run, as the graph reads them.

    Args:
        graph: A graph as `trace` returns it; it stays as it is.
        inputs: What it may be called with: only shapes, strides, dtypes and devices matter.

    Raises:
        StagingError: the compiler failed, or there is none.
    """
    from torch._inductor import compile as compile_with_inductor

    opened, constants = _with_constants_as_inputs(graph)
    given: list[Any] = [*constants, *(tensor.detach() for tensor in inputs)]
    options = {"fallback_random": True, "emulate_precision_casts": _has_half_precision(graph)}
    try:
        with torch.no_grad():
            run: Any = compile_with_inductor(opened, given, options=options)
    except Exception as error:  # whatever goes wrong between torch and the machine's compiler
        words = " ".join(str(error).split()).rstrip(".")
        raise StagingError(
            f"staging: expected inductor to compile the graph; got {type(error).__name__}: {words[:200]}. It needs a C++ "
            "compiler, such as g++; execution graph needs none."
        ) from error
    return lambda *now: run(*constants, *now)


def _has_half_precision(graph: GraphModule) -> bool:
    return any(getattr(node.meta.get("val"), "dtype", None) in _HALF for node in graph.graph.nodes)


def _with_constants_as_inputs(graph: GraphModule) -> tuple[GraphModule, list[Tensor]]:
    """Return a copy of a graph that takes its constants first, and these: inductor would build small ones into its code."""
    nodes, constants = fx.Graph(), list[Tensor]()
    known: dict[fx.Node, fx.Node] = {}
    for node in graph.graph.nodes:
        if node.op == "get_attr" and isinstance(getattr(graph, str(node.target)), Tensor):
            known[node] = nodes.placeholder(node.name)
            known[node].meta = dict(node.meta)
            constants.append(getattr(graph, str(node.target)))
    output = nodes.graph_copy(graph.graph, known)
    nodes.output(output)
    return fx.GraphModule(graph, nodes), constants

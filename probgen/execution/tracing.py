"""Recording a program as a graph of tensor operations, without computing anything."""

from __future__ import annotations

import linecache
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx
from torch.distributions import Distribution
from torch.overrides import TorchFunctionMode

from probgen.errors import ProbgenError, StagingError
from probgen.streams import preserved_streams

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

__all__ = ["copied", "draws", "tidy", "trace"]

_LIBRARIES = ("torch", "pyro")


def trace(program: Callable[..., list[Tensor]], inputs: Sequence[Tensor]) -> GraphModule:
    """Return `program` as a graph: the tensor operations that it does for inputs like these, in order.

    It runs once on stand-ins that have shapes and no values, so handlers, distributions and autograd do their work here and
    never again. Random operations are recorded, not their draws. Distributions do not check their arguments meanwhile.

    Args:
        program: A function of tensors that returns a list of tensors.
        inputs: What it may be called with: only shapes, dtypes and devices matter.

    Raises:
        StagingError: it reads a tensor's value, or does something else that cannot be recorded; the message names the line.
        ProbgenError: it raised one.
    """
    from torch.fx.experimental.proxy_tensor import make_fx

    checked = Distribution._validate_args
    Distribution.set_default_validate_args(value=False)
    try:
        record = make_fx(program, tracing_mode="fake", _allow_non_fake_inputs=True)
        with preserved_streams():
            graph = record(*inputs)
            if any(node.target is torch.ops.aten._local_scalar_dense.default for node in graph.graph.nodes):
                with _NumbersRefused():  # a number out of a tensor has no value yet, wherever the program takes it
                    record(*inputs)
    except ProbgenError:  # the program's own complaint, which it would make in any case
        raise
    except Exception as error:  # whatever a program's author wrote may fail on tensors without values
        raise StagingError(
            f"staging: expected a program of tensors alone; got one that cannot be recorded, {_why(error)}."
        ) from error
    finally:
        Distribution.set_default_validate_args(value=checked)
    tidy(graph)
    return graph


def tidy(graph: GraphModule) -> None:
    """Drop what has no effect. What draws stays, used or not: those after it would draw something else."""
    for node in graph.graph.nodes:
        if node.target is torch.ops.aten.detach.default:  # nothing is differentiated any more
            node.replace_all_uses_with(node.args[0])
    graph.graph.eliminate_dead_code(is_impure_node=lambda node: node.is_impure() or draws(node))
    graph.recompile()


def copied(graph: GraphModule) -> GraphModule:
    """Return a graph with the same nodes, by the same names, that reads the same constants."""
    nodes = fx.Graph()
    output = nodes.graph_copy(graph.graph, {})
    nodes.output(output)
    return fx.GraphModule(graph, nodes)


def draws(node: Node) -> bool:
    """Return whether a node draws random numbers."""
    return torch.Tag.nondeterministic_seeded in getattr(node.target, "tags", ())


class _NumbersRefused(TorchFunctionMode):
    """Stops where a program takes a number out of a tensor without values."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.SymInt | torch.SymFloat | torch.SymBool):
            raise _ReadsValueError
        return result


class _ReadsValueError(RuntimeError):
    """A program asks for the value of a tensor that has none."""


_READING = ("_ReadsValueError", "GuardOnDataDependentSymNode", "DataDependentOutputException")
"""What tracing ends with where a program asks for a value."""


def _why(error: BaseException) -> str:
    """Return where, and by what words of torch, tracing ended: the innermost line that is neither torch's nor Pyro's."""
    ours = str(Path(__file__).parent)
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith((ours, "<")) and not any(f"/{name}/" in frame.filename for name in _LIBRARIES)
    ]
    words = " ".join(str(error).split()).rstrip(".")
    reason = f"for {type(error).__name__}: {words[:200]}" if words else f"for {type(error).__name__}"
    if type(error).__name__ in _READING:
        reason = "as it asks for the value of a tensor there; keep it a tensor, and choose between values by torch.where"
    if not frames:
        return reason
    last = frames[-1]
    line = (last.line or linecache.getline(last.filename, last.lineno or 0)).strip()
    return f"at {last.filename}:{last.lineno}, `{line}`, {reason}"

"""What a graph must not do, and what a phase must not do while it is recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor

from probgen.errors import StagingError
from probgen.execution.reach import Reach
from probgen.execution.rehearsal import Rehearsal

if TYPE_CHECKING:
    from torch.fx import GraphModule, Node

__all__ = ["refuse_captured", "refuse_changes"]


def refuse_changes(rehearsal: Rehearsal, now: Reach, name: str) -> None:
    """Raise `StagingError` if running the phase once more has changed anything but tensors in their places.

    A graph would not do it again: a counter would stand still, and a stand-in without values may have been left somewhere.
    """
    place = rehearsal.reach.difference(now)
    if place is None:
        place = next((group[0].path for tensor, group in now.places if isinstance(tensor, FakeTensor)), None)
    if place is not None:
        raise StagingError(
            f"staging: expected phase {name!r} to change tensors alone; got one that changes {place} whenever it runs. Keep "
            "what a step changes in buffers or in the estimator's state."
        )
    stream = rehearsal.drawn_from()
    if stream is not None:
        raise StagingError(
            f"staging: expected phase {name!r} to draw from torch's random streams; got one that draws from {stream}. "
            "Draw with torch."
        )


def refuse_captured(graph: GraphModule, inputs: Sequence[Tensor], name: str) -> None:
    """Raise `StagingError` if a graph reads an input behind its back, where no gradient follows, or writes to a constant."""
    known = {id(tensor) for tensor in inputs}
    constants: set[Node] = set()
    for node in graph.graph.nodes:
        if node.op == "get_attr":
            constants.add(node)
            if id(getattr(graph, str(node.target), None)) in known:
                raise StagingError(
                    f"staging: expected phase {name!r} to take parameters and buffers from the model that it is given; got "
                    "one that keeps them elsewhere, where no gradient follows them. Ask the model for them in `estimate`."
                )
        elif node.op == "call_function" and (returns := getattr(node.target, "_schema", None)) is not None:
            aliasing = any(value.alias_info for value in returns.returns)
            if not aliasing or not constants.intersection(node.all_input_nodes):
                continue
            constants.add(node)
            arguments = zip(returns.arguments, node.args, strict=False)
            if any(a.alias_info and a.alias_info.is_write and node_of in constants for a, node_of in arguments):
                raise StagingError(
                    f"staging: expected phase {name!r} to change no tensor but parameters, buffers and attributes; got one "
                    f"that writes to a tensor elsewhere, by {node.target}. Register it as a buffer."
                )

"""A phase that runs as a graph: recorded once for each layout of its inputs, checked against the program, then replayed."""

from __future__ import annotations

import dataclasses
import hashlib
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from probgen.batch import Batch
from probgen.errors import StagingError
from probgen.estimator import Phase, State
from probgen.execution.binding import bound
from probgen.execution.comparison import TOLERANCE, agree, agree_somewhere, outcome_of, rewritten_agrees
from probgen.execution.compiling import compiled
from probgen.execution.eager import EagerPhase
from probgen.execution.program import Program, Results
from probgen.execution.reach import Reach
from probgen.execution.refusals import refuse_captured, refuse_changes
from probgen.execution.rehearsal import Rehearsal
from probgen.execution.reuse import reuse_memory
from probgen.execution.rewrites import rewrite
from probgen.execution.simplify import simplify
from probgen.execution.tracing import copied, trace
from probgen.execution.watch import Watch, form_of

if TYPE_CHECKING:
    from torch.fx import GraphModule

__all__ = ["StagedPhase"]

_KEPT = 8
"""Graphs that are kept; the one that was not used for longest goes first."""
_RUNS_PER_RECORDING = 500
"""Runs that a phase must have made for each recording after the first few: about what earns back one."""

_Key = tuple[Any, ...]
_Runner = Callable[..., Sequence[Tensor]]


@dataclasses.dataclass(eq=False)
class _Recording:
    """A graph that is in use, and what tells that it must not be used any more."""

    program: Program
    run: _Runner
    watch: Watch


class StagedPhase:
    """A phase whose whole gradient is recorded as a graph of tensor operations, and replayed from then on.

    Tensors that stand in an attribute, an entry of a list or a dictionary, or a closure are inputs of the graph, and outputs
    where the phase puts others in their place; so are batch and state. Draws come from torch's global streams, or from
    generators that the phase holds. Python values are constants in the graph; where one changes, the graph is recorded
    again. Before a graph is used it is compared with the program itself.

    Args:
        phase: What is run.
        model: What the phase is given.
        estimator: Whose phase it is.
        parameters: What the gradient is taken by.
        autocast: Dtype of automatic mixed precision, or None.
        compiler: `"inductor"` to compile the graph; None to replay it as it is.
        rewrites: Whether to replace operations by faster ones, which round, and draw, differently.

    Raises:
        StagingError: when first run, if the phase cannot be recorded, the message names the line; at a later run, if it
            would have to be recorded again and again.
    """

    def __init__(
        self,
        phase: Phase,
        model: Any,
        estimator: Any,
        parameters: Sequence[nn.Parameter],
        *,
        autocast: torch.dtype | None = None,
        compiler: Literal["inductor"] | None = None,
        rewrites: bool = True,
    ) -> None:
        self._phase, self._model, self._estimator = phase, model, estimator
        self._parameters = parameters
        self._eager = EagerPhase(phase, model, parameters, autocast=autocast)
        self._autocast = autocast
        self._compiler = compiler
        self._rewrites = rewrites
        self._recordings: OrderedDict[_Key, _Recording] = OrderedDict()
        self._known: OrderedDict[str, None] = OrderedDict()
        self._current: tuple[_Key, _Recording] | None = None
        self._runs, self._count = 0, 0

    def __call__(self, batch: Batch, state: State) -> Results:
        """Run the phase and return its estimate and gradients; what it changes is changed."""
        layout = _layout_of(batch, state)
        recording = self._still_good(layout)
        if recording is None:
            recording = self._found(layout, batch, state)
            self._current = layout, recording
        inputs = recording.program.inputs(batch, state)
        if not recording.watch.fits(inputs):
            recording = self._found(layout, batch, state)
            self._current = layout, recording
            inputs = recording.program.inputs(batch, state)
        with torch.no_grad():
            results = recording.program.results(recording.run(*inputs))
        self._runs += 1
        return results

    def history(self) -> dict[str, Any]:
        """Return what decides whether the phase is recorded again, as JSON values."""
        return {"runs": self._runs, "recordings": self._count, "known": list(self._known)}

    def load_history(self, history: Mapping[str, Any]) -> None:
        """Go on counting where another process stopped."""
        self._runs, self._count = history["runs"], history["recordings"]
        self._known = OrderedDict.fromkeys(history["known"])

    def _still_good(self, layout: _Key) -> _Recording | None:
        """Return the graph of the last run, if nothing changed since but numbers."""
        if self._current is None or self._current[0] != layout or not self._current[1].watch.unchanged():
            return None
        return self._current[1]

    def _found(self, layout: _Key, batch: Batch, state: State) -> _Recording:
        """Return the graph for things as they are now, recorded if need be."""
        reach = Reach(self._roots())
        key = _key_of(reach, layout)
        recording = self._recordings.get(key)
        if recording is None:
            with _disable_current_modes():  # whoever watches operations is to see the replay's, not these
                recording, reach = self._recorded(batch, state)
            key = _key_of(reach, layout)
        else:
            recording.watch = Watch(reach)
        self._count_recording(_digest(reach, layout), reach)
        self._recordings[key] = recording
        self._recordings.move_to_end(key)
        while len(self._recordings) > _KEPT:
            self._recordings.popitem(last=False)
        return recording

    def _count_recording(self, digest: str, reach: Reach) -> None:
        """Note which graph is in use, and refuse to go on where there is a new one too often.

        Which ones were known is kept over a resume, so that a run that was killed gives up where the other one does.
        """
        if digest not in self._known:
            self._count += 1
        self._known[digest] = None
        self._known.move_to_end(digest)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)
        if self._count > _KEPT + self._runs // _RUNS_PER_RECORDING:
            before = None if self._current is None else self._current[1].watch.reach.difference(reach)
            what = f"a new {before}" if before else "another shape"
            raise StagingError(
                f"staging: expected attributes and shapes that stay as they are between steps; got {what}, for the "
                f"{self._count}th recording in {self._runs} runs. Keep what changes at every step in the estimator's state."
            )

    def _roots(self) -> dict[str, Any]:
        """Return where everything that the phase can reach begins, by names for messages."""
        run = self._phase.estimate if self._phase.estimate is not None else self._phase.update
        return {
            type(self._model).__name__: self._model,
            type(self._estimator).__name__: self._estimator,
            "learned": getattr(self._estimator, "learned", None),
            self._phase.name: run,
        }

    def _recorded(self, batch: Batch, state: State) -> tuple[_Recording, Reach]:
        rehearsal = Rehearsal(self._eager, batch, state, self._roots())
        try:
            return self._traced(rehearsal, batch, state), rehearsal.reach
        except BaseException:
            rehearsal.undo()
            raise

    def _traced(self, rehearsal: Rehearsal, batch: Batch, state: State) -> _Recording:
        name, reach = self._phase.name, rehearsal.reach
        program = Program(self._phase, self._model, reach.places, self._parameters, batch, state, autocast=self._autocast)
        inputs = program.inputs(batch, state)
        graph = trace(program, [tensor if tensor.is_leaf else tensor.detach() for tensor in inputs])
        refuse_changes(rehearsal, Reach(self._roots()), name)
        rehearsal.put_back()
        refuse_captured(graph, inputs, name)
        simplify(graph)
        expected, got = rehearsal.outcome(program, inputs), outcome_of(graph.forward, inputs, reach)
        on_processor = all(tensor.device.type == "cpu" for tensor in inputs)
        if not agree(expected, got, gradients=program.gradients, tolerance=0.0 if on_processor else 10 * TOLERANCE):
            raise StagingError(
                f"staging: expected phase {name!r} to be a function of tensors; got other results from its graph than from "
                "the program, as if something else than tensors and torch's random streams went into it."
            )
        run = self._made_fast(graph, inputs, reach, program.gradients)
        return _Recording(program, run, Watch(reach))

    def _made_fast(self, graph: GraphModule, inputs: Sequence[Tensor], reach: Reach, gradients: int) -> _Runner:
        """Return what runs a rewritten, and compiled, copy of a graph, after comparing it with the graph."""
        if self._rewrites:
            rewritten = copied(graph)
            changed = any(rewrite(rewritten, compiled=self._compiler is not None).values())
            if self._compiler is None:  # which would undo it
                changed |= reuse_memory(rewritten) > 0
            if changed:
                if not rewritten_agrees(graph, rewritten, inputs, reach, gradients=gradients):
                    raise StagingError(_differs(self._phase.name, "rewriting operations of its graph"))
                graph = rewritten
        if self._compiler is None:
            return bound(graph).forward
        run = compiled(graph, inputs)
        if not agree_somewhere(graph.forward, run, inputs, reach, gradients=gradients):
            raise StagingError(_differs(self._phase.name, "compiling its graph"))
        return run


def _differs(name: str, why: str) -> str:
    return (
        f"staging: expected phase {name!r} to give the same numbers after {why}, but for rounding; got others. Use another "
        "execution, and report this to whoever maintains the model."
    )


def _layout_of(batch: Batch, state: State) -> _Key:
    fields = (batch.x, batch.context, batch.mask, batch.index)
    return (
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        *(None if tensor is None else form_of(tensor) for tensor in fields),
        *((name, form_of(tensor)) for name, tensor in batch.named.items()),
        *((name, form_of(tensor)) for name, tensor in state.items()),
    )


def _key_of(reach: Reach, layout: _Key) -> _Key:
    return layout, tuple(form_of(tensor) for tensor, _ in reach.places), tuple(reach.tokens)


def _digest(reach: Reach, layout: _Key) -> str:
    """Return the key as a few letters that are the same in another process."""
    forms = [form_of(tensor) for tensor, _ in reach.places]
    found = [token[:2] for token in reach.tokens]
    return hashlib.blake2b(repr((layout, forms, found)).encode(), digest_size=8).hexdigest()

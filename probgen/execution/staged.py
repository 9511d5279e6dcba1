"""A phase that runs as a graph: recorded once for each layout of its inputs, checked against the program, then replayed."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes

from probgen.batch import Batch
from probgen.errors import StagingError
from probgen.estimator import Phase, State
from probgen.execution.program import Program, Results
from probgen.execution.rewrites import rewrite
from probgen.execution.tracing import trace
from probgen.streams import preserved_streams

if TYPE_CHECKING:
    from torch.fx import GraphModule

__all__ = ["StagedPhase"]

_MOST_CHANGES = 8
_TOLERANCE = 1e-4

_PLAIN = (bool, int, float, str)

_Layout = tuple[Any, ...]
_Runner = Callable[..., Sequence[Tensor]]


class StagedPhase:
    """A phase whose whole gradient is recorded as a graph of tensor operations, and replayed from then on.

    What a phase reads must be tensors: parameters, buffers, batch, state, and draws from torch's global streams. These stay
    inputs of the graph. Python values are constants in it; when an attribute of the estimator changes, the graph is recorded
    again. Before a graph is used it is compared once with the program itself, on copies.

    Args:
        phase: What is run.
        model: What the phase is given.
        estimator: Whose phase it is: its attributes are watched, and what it learns is among the inputs.
        parameters: What the gradient is taken by.
        autocast: Dtype of automatic mixed precision, or None.
        compiler: `"inductor"` to compile the graph; None to replay it as it is.
        rewrites: Whether to replace operations by faster ones, which round, and draw, differently.

    Raises:
        StagingError: when first run, if the phase cannot be recorded; the message names the line.
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
        self._autocast = autocast
        self._compiler = compiler
        self._rewrites = rewrites
        self._runs: dict[_Layout, tuple[Program, _Runner]] = {}
        self._watch: _Watch | None = None
        self._changes = 0

    def __call__(self, batch: Batch, state: State) -> Results:
        """Run the phase and return its estimate and gradients; buffers that it changes are changed."""
        if self._watch is None or not self._watch.unchanged:
            self._record_anew()
        layout = _layout_of(batch, state)
        if layout not in self._runs:
            self._runs[layout] = self._recorded(batch, state)
        program, run = self._runs[layout]
        with torch.no_grad():
            return program.results(run(*program.inputs(batch, state)))

    def _record_anew(self) -> None:
        if self._watch is not None and self._changes == _MOST_CHANGES:
            raise StagingError(
                f"staging: expected attributes that stay as they are between steps; got a new {self._watch.changed} for "
                f"the {_MOST_CHANGES}th time. Keep what changes at every step in the estimator's state."
            )
        self._changes += self._watch is not None
        self._runs.clear()
        self._watch = _Watch(self._model, self._estimator, getattr(self._estimator, "learned", None))

    def _recorded(self, batch: Batch, state: State) -> tuple[Program, _Runner]:
        learned = getattr(self._estimator, "learned", None)
        modules = (self._model, learned)
        program = Program(self._phase, self._model, modules, self._parameters, batch, state, autocast=self._autocast)
        inputs = program.inputs(batch, state)
        with _disable_current_modes():  # whoever watches operations is to see the replay's, not these
            graph = trace(program, inputs)
            _refuse_captured(graph, inputs, self._phase.name)
            _compare(program, graph, inputs, self._phase.name)
            if self._rewrites:
                rewrite(graph)
        return program, _compiled(graph) if self._compiler == "inductor" else graph.forward


class _Watch:
    """Notices new values of attributes: of an estimator, of objects that it holds, of a model and of each of its parts."""

    def __init__(self, *roots: Any) -> None:
        self._seen = [(owner, attributes, list(attributes.values())) for owner, attributes in _attributes(roots)]
        self._parts = [
            (attributes, names, operator.itemgetter(*names), operator.itemgetter(*names)(attributes))
            for attributes, names in _plain_attributes(roots)
        ]

    @property
    def unchanged(self) -> bool:
        """Whether every attribute has the value that it had."""
        try:
            same = all(get(attributes) == values for attributes, _, get, values in self._parts)
        except KeyError:  # one was deleted
            return False
        return same and all(
            len(attributes) == len(values) and all(map(operator.is_, attributes.values(), values))
            for _, attributes, values in self._seen
        )

    @property
    def changed(self) -> str:
        """The names of the attributes that changed, for a message."""
        held = (
            f"{owner}.{name}"
            for owner, attributes, values in self._seen
            for name, now, then in zip(attributes, attributes.values(), values, strict=False)
            if now is not then
        )
        parts = (
            name
            for attributes, names, _, values in self._parts
            for name, then in zip(names, values, strict=True)
            if attributes.get(name) != then
        )
        return ", ".join((*held, *parts))


def _attributes(roots: Sequence[Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the attributes of the roots and of the plain objects that they hold; of modules, the roots alone."""
    waiting, met = list(roots), set()
    while waiting:
        thing = waiting.pop()
        if id(thing) in met or not hasattr(thing, "__dict__") or isinstance(thing, type):
            continue
        met.add(id(thing))
        yield type(thing).__name__, vars(thing)
        for value in vars(thing).values():
            inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else [value]
            waiting += [part for part in inner if _is_plain_object(part)]


def _plain_attributes(roots: Sequence[Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield the attributes of every part of the modules among the roots, with the names of those that are plain values.

    There are many parts, so they are compared by one call each.
    """
    for root in roots:
        for part in root.modules() if isinstance(root, nn.Module) else ():
            # `training` comes twice, so that there are always two names and `itemgetter` returns a tuple
            names = [name for name, value in vars(part).items() if isinstance(value, _PLAIN)]
            yield vars(part), ["training", *names]


def _is_plain_object(value: Any) -> bool:
    return type(value).__module__.partition(".")[0] not in ("builtins", "torch") and not isinstance(
        value, nn.Module | Tensor
    )


def _layout_of(batch: Batch, state: State) -> _Layout:
    fields = (batch.x, batch.context, batch.mask, batch.index)
    return (
        *(None if tensor is None else _form(tensor) for tensor in fields),
        *((name, _form(tensor)) for name, tensor in batch.named.items()),
        *((name, _form(tensor)) for name, tensor in state.items()),
    )


def _form(tensor: Tensor) -> tuple[Any, ...]:
    return tensor.shape, tensor.dtype, tensor.device, tensor.stride()


def _refuse_captured(graph: GraphModule, inputs: Sequence[Tensor], name: str) -> None:
    """Raise `StagingError` if a graph reads one of its inputs behind their back, where no gradient would flow to it."""
    known = {id(tensor) for tensor in inputs}
    for node in graph.graph.nodes:
        if node.op == "get_attr" and id(getattr(graph, str(node.target), None)) in known:
            raise StagingError(
                f"staging: expected phase {name!r} to take parameters and buffers from the model that it is given; got one "
                "that keeps them elsewhere, where no gradient follows them. Ask the model for them in `estimate`."
            )


def _compare(program: Program, graph: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], name: str) -> None:
    """Run program and graph on copies, with the same draws.

    Raises:
        StagingError: their results differ.
    """
    answers = []
    for run in (program, graph):
        copies = [tensor.detach().clone().requires_grad_(tensor.requires_grad) for tensor in inputs]
        try:
            with preserved_streams(), torch.set_grad_enabled(run is program):
                answers.append([tensor.detach() for tensor in (*run(*copies), *copies)])
        except RuntimeError as error:  # tensors without values that tracing left in some cache
            raise StagingError(
                f"staging: expected phase {name!r} to run twice alike; got {type(error).__name__} after it was recorded."
            ) from error
    for expected, got in zip(*answers, strict=True):
        scale = expected.abs().max() if expected.numel() else 0
        if not torch.allclose(expected, got, rtol=_TOLERANCE, atol=_TOLERANCE * float(scale), equal_nan=True):
            raise StagingError(
                f"staging: expected phase {name!r} to be a function of tensors; got other results from its graph than from "
                "the program, as if something else than tensors and torch's random streams went into it."
            )


def _compiled(graph: Any) -> _Runner:
    """Compile a graph by inductor, with torch's own random numbers."""
    return torch.compile(graph, fullgraph=True, dynamic=False, options={"fallback_random": True})

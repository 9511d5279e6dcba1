"""A phase as a function of tensors: parameters, buffers, batch, state in; gradients, value, next state and buffers out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.errors import StagingError
from probgen.estimator import Estimate, Phase, State
from probgen.execution.reach import Place

__all__ = ["Program", "Results", "estimate_of", "tensors_of"]

_FIELDS = ("x", "context", "mask", "index")


def estimate_of(phase: Phase, model: Any, batch: Batch, state: State, *, autocast: torch.dtype | None = None) -> Estimate:
    """Run a phase as training does: with automatic mixed precision, and without gradients if it updates by itself."""
    gradients = contextlib.nullcontext() if phase.update is None else torch.no_grad()
    # Without a cache of cast weights, which tracing does not have: a weight's gradients would be added in another precision.
    casts = torch.autocast(batch.x.device.type, autocast, enabled=autocast is not None, cache_enabled=False)
    with casts, gradients:
        return phase(model, batch, state)


def tensors_of(batch: Batch, state: State) -> list[Tensor]:
    """Return the tensors of a batch, then those of a state."""
    fields = (getattr(batch, name) for name in _FIELDS)
    return [*(tensor for tensor in fields if tensor is not None), *batch.named.values(), *state.values()]


@dataclasses.dataclass(frozen=True, eq=False)
class Results:
    """What a program returned.

    Args:
        estimate: The phase's estimate; its surrogate carries no gradient any more.
        gradients: The surrogate's gradient by each parameter; None where it does not depend on it.
    """

    estimate: Estimate
    gradients: Sequence[Tensor | None]


class Program:
    """One phase on one layout of batch and state, as a function of a flat list of tensors.

    Args:
        phase: What is run.
        model: What the phase is given.
        places: Every tensor that the phase can reach, with the places that hold it: they are inputs, and outputs where the
            phase puts another tensor there.
        parameters: What the gradient is taken by; empty for a phase that updates by itself.
        batch: A batch of the layout.
        state: A state of the layout.
        autocast: Dtype of automatic mixed precision, or None.
    """

    def __init__(
        self,
        phase: Phase,
        model: Any,
        places: Sequence[tuple[Tensor, Sequence[Place]]],
        parameters: Sequence[nn.Parameter],
        batch: Batch,
        state: State,
        *,
        autocast: torch.dtype | None = None,
    ) -> None:
        self._phase, self._model, self._autocast = phase, model, autocast
        self._groups = [list(group) for _, group in places]
        self._firsts = [group[0] for group in self._groups]
        self._of_parameters = [isinstance(tensor, nn.Parameter) for tensor, _ in places]
        position = {id(tensor): number for number, (tensor, _) in enumerate(places)}
        missing = [number for number, parameter in enumerate(parameters) if id(parameter) not in position]
        if missing:
            raise StagingError(
                f"staging: expected phase {phase.name!r} to train parameters of the model or of what the estimator learns; "
                f"got {len(missing)} that are out of reach. Keep them in a module."
            )
        self._differentiated = [position[id(parameter)] for parameter in parameters]
        self._fields = [name for name in _FIELDS if getattr(batch, name) is not None]
        self._named = list(batch.named)
        self._state = list(state)
        self._shape_of_results: _Outputs | None = None

    def inputs(self, batch: Batch, state: State) -> list[Tensor]:
        """Return the tensors that the program reads: those in the places, the batch's, the state's."""
        return [*(place.holder[place.key] for place in self._firsts), *tensors_of(batch, state)]

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Run the phase on `inputs` and return all that came of it, flat; `results` puts it in order."""
        values, batch, state = self._taken_apart(inputs)
        with self._holding(values) as rebound:
            estimate = estimate_of(self._phase, self._model, batch, state, autocast=self._autocast)
            by = [values[number] for number in self._differentiated]
            gradients: Sequence[Tensor | None] = [None] * len(by)
            if by and estimate.surrogate.requires_grad:
                gradients = torch.autograd.grad(estimate.surrogate, by, allow_unused=True)
        self._shape_of_results = _Outputs(
            gradients=[gradient is not None for gradient in gradients],
            state=list(estimate.state),
            info=list(estimate.info),
            rebound=[place for place, _ in rebound],
        )
        return self.flat(Results(estimate, gradients), [tensor for _, tensor in rebound])

    @property
    def rebound(self) -> Sequence[Place]:
        """The places into which the phase puts other tensors."""
        return self._outputs.rebound

    @staticmethod
    def flat(results: Results, rebound: Sequence[Tensor]) -> list[Tensor]:
        """Return results, and what was put into places, in the order of a run of the program."""
        estimate = results.estimate
        return [
            *(gradient for gradient in results.gradients if gradient is not None),
            estimate.surrogate.detach(),
            estimate.value.detach(),
            *(tensor.detach() for tensor in estimate.state.values()),
            *(tensor.detach() for tensor in estimate.info.values()),
            *(tensor.detach() for tensor in rebound),
        ]

    def results(self, outputs: Sequence[Tensor]) -> Results:
        """Return what a run of the program put out, in order, and put tensors where the phase would put them."""
        layout = self._outputs
        rest = iter(outputs)
        gradients = [next(rest) if present else None for present in layout.gradients]
        surrogate, value = next(rest), next(rest)
        state = {name: next(rest) for name in layout.state}
        info = {name: next(rest) for name in layout.info}
        for place in layout.rebound:
            tensor = next(rest)
            place.put(tensor.detach() if tensor.requires_grad else tensor)
        return Results(Estimate(surrogate, value, state=state, info=info), gradients)

    @property
    def gradients(self) -> int:
        """How many of the outputs are gradients; they come first."""
        return sum(self._outputs.gradients)

    @property
    def _outputs(self) -> _Outputs:
        if self._shape_of_results is None:
            raise RuntimeError("Program.results: expected a program that has run; got one that has not.")
        return self._shape_of_results

    def _taken_apart(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], Batch, State]:
        rest = iter(inputs)
        values = [next(rest) for _ in self._groups]
        fields: dict[str, Any] = {name: next(rest) for name in self._fields}
        named = {name: next(rest) for name in self._named}
        return values, Batch(**fields, named=named), {name: next(rest) for name in self._state}

    @contextlib.contextmanager
    def _holding(self, values: Sequence[Tensor]) -> Iterator[list[tuple[Place, Tensor]]]:
        """Let the places hold `values`; list those where the block put something else, and put the old contents back."""
        rebound: list[tuple[Place, Tensor]] = []
        before = [(place, place.content) for group in self._groups for place in group]
        for group, value, of_parameter in zip(self._groups, values, self._of_parameters, strict=True):
            if of_parameter:
                value._is_param = True  # what torch itself marks parameters of other tensor classes by
            for place in group:
                place.put(value)
        try:
            yield rebound
            for group, value, of_parameter in zip(self._groups, values, self._of_parameters, strict=True):
                rebound += [
                    (place, self._new_content(place, fixed=of_parameter)) for place in group if place.content is not value
                ]
        finally:
            for place, tensor in before:
                place.put(tensor)

    def _new_content(self, place: Place, *, fixed: bool) -> Tensor:
        if fixed or not isinstance(place.content, Tensor):
            raise StagingError(
                f"staging: expected phase {self._phase.name!r} to leave parameters where they are, and tensors where there "
                f"are tensors; got one that puts a {type(place.content).__name__} into {place.path}. Change it in place."
            )
        return place.content


@dataclasses.dataclass(frozen=True)
class _Outputs:
    """Which outputs a program has, in order."""

    gradients: Sequence[bool]
    state: Sequence[str]
    info: Sequence[str]
    rebound: Sequence[Place]

"""A phase as a function of tensors: parameters, buffers, batch, state in; gradients, value, next state and buffers out."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.estimator import Estimate, Phase, State

__all__ = ["Program", "Results", "estimate_of"]

_FIELDS = ("x", "context", "mask", "index")


@dataclasses.dataclass(frozen=True, eq=False)
class _Slot:
    """A place in a module that holds a tensor.

    Args:
        holder: The module's own dictionary of parameters or of buffers.
        name: The key in it.
    """

    holder: dict[str, Any]
    name: str

    @property
    def tensor(self) -> Tensor:
        """What the place holds now."""
        return self.holder[self.name]


def _tensors_of(modules: Sequence[Any]) -> list[tuple[Tensor, list[_Slot]]]:
    """Return every parameter and buffer of the modules once, each with all the places that hold it."""
    found: dict[int, tuple[Tensor, list[_Slot]]] = {}
    for module in modules:
        if not isinstance(module, nn.Module):
            continue
        for part in module.modules():
            for holder in (part._parameters, part._buffers):  # the dictionaries themselves: nothing public swaps ties
                for name, tensor in holder.items():
                    if tensor is not None:
                        found.setdefault(id(tensor), (tensor, []))[1].append(_Slot(holder, name))
    return list(found.values())


def estimate_of(phase: Phase, model: Any, batch: Batch, state: State, *, autocast: torch.dtype | None = None) -> Estimate:
    """Run a phase as training does: with automatic mixed precision, and without gradients if it updates by itself."""
    gradients = contextlib.nullcontext() if phase.update is None else torch.no_grad()
    with torch.autocast(batch.x.device.type, autocast, enabled=autocast is not None), gradients:
        return phase(model, batch, state)


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
        modules: Where parameters and buffers are looked for: the model, and what the estimator learns.
        parameters: What the gradient is taken by; empty for a phase that updates by itself.
        batch: A batch of the layout.
        state: A state of the layout.
        autocast: Dtype of automatic mixed precision, or None.
    """

    def __init__(
        self,
        phase: Phase,
        model: Any,
        modules: Sequence[Any],
        parameters: Sequence[nn.Parameter],
        batch: Batch,
        state: State,
        *,
        autocast: torch.dtype | None = None,
    ) -> None:
        self._phase, self._model, self._autocast = phase, model, autocast
        self._held = _tensors_of(modules)
        position = {id(tensor): number for number, (tensor, _) in enumerate(self._held)}
        self._differentiated = [position[id(parameter)] for parameter in parameters]
        self._fields = [name for name in _FIELDS if getattr(batch, name) is not None]
        self._named = list(batch.named)
        self._state = list(state)
        self._shape_of_results: _Layout | None = None

    def inputs(self, batch: Batch, state: State) -> list[Tensor]:
        """Return the tensors that the program reads, in its order."""
        return [
            *(slots[0].tensor for _, slots in self._held),
            *(getattr(batch, name) for name in self._fields),
            *(batch.named[name] for name in self._named),
            *(state[name] for name in self._state),
        ]

    def __call__(self, *inputs: Tensor) -> list[Tensor]:
        """Run the phase on `inputs` and return all that came of it, flat; `results` puts it in order."""
        values, batch, state = self._taken_apart(inputs)
        with self._holding(values) as rebound:
            estimate = estimate_of(self._phase, self._model, batch, state, autocast=self._autocast)
            by = [values[number] for number in self._differentiated]
            gradients: Sequence[Tensor | None] = [None] * len(by)
            if by and estimate.surrogate.requires_grad:
                gradients = torch.autograd.grad(estimate.surrogate, by, allow_unused=True)
        self._shape_of_results = _Layout(
            gradients=[gradient is not None for gradient in gradients],
            state=list(estimate.state),
            info=list(estimate.info),
            rebound=[number for number, _ in rebound],
        )
        return [
            *(gradient for gradient in gradients if gradient is not None),
            estimate.surrogate.detach(),
            estimate.value.detach(),
            *(tensor.detach() for tensor in estimate.state.values()),
            *(tensor.detach() for tensor in estimate.info.values()),
            *(tensor.detach() for _, tensor in rebound),
        ]

    def results(self, outputs: Sequence[Tensor]) -> Results:
        """Return what a run of the program put out, in order, and give modules the buffers that it replaced."""
        layout = self._shape_of_results
        if layout is None:
            raise RuntimeError("Program.results: expected a program that has run; got one that has not.")
        rest = iter(outputs)
        gradients = [next(rest) if present else None for present in layout.gradients]
        surrogate, value = next(rest), next(rest)
        state = {name: next(rest) for name in layout.state}
        info = {name: next(rest) for name in layout.info}
        for number in layout.rebound:
            self._held[number][1][0].tensor.copy_(next(rest))
        return Results(Estimate(surrogate, value, state=state, info=info), gradients)

    def _taken_apart(self, inputs: Sequence[Tensor]) -> tuple[list[Tensor], Batch, State]:
        rest = iter(inputs)
        values = [next(rest) for _ in self._held]
        fields: dict[str, Any] = {name: next(rest) for name in self._fields}
        named = {name: next(rest) for name in self._named}
        return values, Batch(**fields, named=named), {name: next(rest) for name in self._state}

    @contextlib.contextmanager
    def _holding(self, values: Sequence[Tensor]) -> Iterator[list[tuple[int, Tensor]]]:
        """Let the modules hold `values`; list those that the block replaced, and put the old ones back."""
        rebound: list[tuple[int, Tensor]] = []
        before = [slots[0].tensor for _, slots in self._held]
        for (tensor, slots), value in zip(self._held, values, strict=True):
            if isinstance(tensor, nn.Parameter):
                value._is_param = True  # what torch itself marks parameters of other tensor classes by
            for slot in slots:
                slot.holder[slot.name] = value
        try:
            yield rebound
            for number, ((_, slots), value) in enumerate(zip(self._held, values, strict=True)):
                if slots[0].tensor is not value:
                    rebound.append((number, slots[0].tensor))
        finally:
            for tensor, (_, slots) in zip(before, self._held, strict=True):
                for slot in slots:
                    slot.holder[slot.name] = tensor


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Which outputs a program has, in order."""

    gradients: Sequence[bool]
    state: Sequence[str]
    info: Sequence[str]
    rebound: Sequence[int]

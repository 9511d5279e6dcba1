"""Events and contexts to try a model with, and copies of the model to try them on."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions import constraints, transform_to
from torch.distributions.constraints import Constraint

from probgen.capabilities import Enumerable, capabilities
from probgen.errors import SupportError
from probgen.sampler import Sampler
from probgen.shapes import device_of
from probgen.supports import inside, levels
from probgen.testing.checks.holdings import held_tensors
from probgen.testing.trial import NotApplicable, Trial

__all__ = [
    "MOST_EVENTS",
    "contexts_of",
    "double",
    "dtype_of",
    "entry_of",
    "entrywise",
    "listed_events",
    "parameters_of",
    "possible",
    "some_contexts",
    "some_events",
    "still",
    "stream",
]

M = TypeVar("M")

MOST_EVENTS = 4096
"""How many events a finite model may have for all of them to be looked at."""

_SMALL_COUNT = 6


def still(model: M) -> M:
    """Return a copy of `model` in evaluation mode, so that the subject stays as it was."""
    other = copy.deepcopy(model)
    return other.eval() if isinstance(other, nn.Module) else other


def double(model: M) -> M:
    """Return a copy of `model` in evaluation mode that computes in float64, as far as it is a module."""
    other = still(model)
    return other.double() if isinstance(other, nn.Module) else other


def dtype_of(model: Any) -> torch.dtype:
    """Return the floating-point type that `model` computes in: that of its first tensor, torch's default without one."""
    types = (tensor.dtype for _, tensor in held_tensors(model))
    return next((dtype for dtype in types if dtype.is_floating_point), torch.get_default_dtype())


def parameters_of(model: Any) -> dict[str, nn.Parameter]:
    """Return what `model` learns, by name."""
    named = model.named_parameters() if isinstance(model, nn.Module) else ()
    return {name: parameter for name, parameter in named if parameter.requires_grad}


def stream(trial: Trial, *parts: object) -> torch.Generator:
    """Return a stream of the trial's, the same each time for the same `parts`."""
    return torch.Generator().manual_seed(trial.seed(*parts))


def entry_of(support: Constraint) -> Constraint:
    """Return the constraint on an entry of an event: what `constraints.independent` wraps."""
    while isinstance(support, type(constraints.independent(constraints.real, 1))):
        support = support.base_constraint
    return support


def entrywise(model: Any) -> bool:
    """Whether an event is possible as soon as each of its entries is; not so on a simplex."""
    return entry_of(model.support).event_dim == 0


def listed_events(model: Any) -> Tensor | None:
    """Return every event of a model that has at most 4096 of them, `(S, *event_shape)`; None for any other."""
    if Enumerable in capabilities(model):
        return model.enumerate_support()
    try:
        choices = levels(model.support)
    except SupportError:
        return None
    entries = math.prod(model.event_shape)
    if entries * math.log(choices) > math.log(MOST_EVENTS) + 1e-9:
        return None
    values = torch.arange(choices, dtype=dtype_of(model), device=device_of(model))
    return torch.cartesian_prod(*[values] * entries).reshape(choices**entries, *model.event_shape)


def some_events(model: Any, n: int, generator: torch.Generator) -> Tensor:
    """Return `n` events anywhere in the support, `(n, *event_shape)`.

    Raises:
        NotApplicable: nobody says how to make one.
    """
    listed = listed_events(model)
    if listed is not None:
        return listed[torch.randint(len(listed), (n,), generator=generator).to(listed.device)]
    entry, shape = entry_of(model.support), (n, *model.event_shape)
    if isinstance(entry, type(constraints.nonnegative_integer)):
        least = int(entry.lower_bound)
        events = torch.randint(least, least + _SMALL_COUNT, shape, generator=generator)
    elif isinstance(entry, type(constraints.boolean)):
        events = torch.randint(2, shape, generator=generator)
    elif isinstance(entry, constraints.integer_interval):
        events = torch.randint(int(entry.lower_bound), int(entry.upper_bound) + 1, shape, generator=generator)
    elif not entry.is_discrete:
        events = _continuous(entry, torch.randn(shape, generator=generator, dtype=torch.float64))
    elif Sampler in capabilities(model):
        return model.sample((n,), some_contexts(model, 1, generator, squeeze=True), generator=generator)
    else:
        raise NotApplicable(f"no events are known on {model.support}")
    return events.to(device_of(model), dtype_of(model))


def _continuous(entry: Constraint, normals: Tensor) -> Tensor:
    try:
        return transform_to(entry)(normals)
    except NotImplementedError as error:
        raise NotApplicable(f"no events are known on {entry}") from error


def some_contexts(model: Any, n: int, generator: torch.Generator, *, squeeze: bool = False) -> Tensor | None:
    """Return `n` contexts, `(n, *context_shape)`, or one without a batch dimension; None for an unconditional model."""
    if model.context_shape is None:
        return None
    shape = (n, *model.context_shape)
    contexts = torch.randn(shape, generator=generator, dtype=torch.float64).to(device_of(model), dtype_of(model))
    return contexts[0] if squeeze else contexts


def contexts_of(model: Any, n: int, trial: Trial) -> Iterator[tuple[str, Tensor | None]]:
    """Yield `n` single contexts, each with words for a claim; just `None`, once, for an unconditional model."""
    contexts = some_contexts(model, n, stream(trial, "contexts"))
    if contexts is None:
        yield "", None
        return
    for index, context in enumerate(contexts):
        yield f" at context {index}", context


def possible(model: Any, events: Tensor) -> Tensor:
    """Return which events are finite and lie in the support, `(n,)` of bool."""
    finite = events.isfinite().reshape(len(events), -1).all(1)
    return finite & inside(model.support, events, len(model.event_shape))

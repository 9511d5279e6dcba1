"""The least that a registered model can be tried on: its examples, small shapes, and a few events to train on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen.data import Source
from probgen.data.kinds import Kind
from probgen.errors import ProbgenError, SupportError
from probgen.plugin import ModelSpec, Registered, validate
from probgen.plugin.binding import Binding, make
from probgen.plugin.specs import SUPPORT_NAMES
from probgen.shapes import Model
from probgen.streams import seeded_streams
from probgen.supports import categorical, levels, named_support, support_name

__all__ = ["built", "examples_of", "supports_of", "tiny_source"]

_SHAPES = ((2,), (1, 4, 4), (1, 8, 8))
"""Shapes of events of which nearly every model takes one: a point, and small pictures."""

_LEVELS = 3
_EVENTS = 8
_SEED = 0


def examples_of(registered: Registered[ModelSpec]) -> Mapping[str, Any]:
    """Return the instances that a model is registered with, by name; none where they cannot be had."""
    try:
        function = registered.load("examples")
        with seeded_streams(_SEED, "examples"):  # so that a failure can be seen again
            examples = {} if function is None else function()
    except Exception:  # noqa: BLE001  # a plugin may raise anything; the check of examples meets it again and reports it
        return {}
    return examples if isinstance(examples, Mapping) else {}


def supports_of(spec: ModelSpec) -> Iterator[Constraint]:
    """Yield the supports that a model says it accepts: all that have a name where it names none."""
    for name in spec.supports or SUPPORT_NAMES:
        yield categorical(_LEVELS) if name == "categorical" else named_support(name)


def built(
    registered: Registered[ModelSpec], support: Constraint, *, shapes: tuple[torch.Size, ...] = (), **options: Any
) -> tuple[Model, torch.Size]:
    """Return the model, built for the first small shape that it accepts, and that shape.

    Args:
        registered: What is built.
        support: The values that an event's entries may take.
        shapes: Shapes to try after the usual ones.
        options: Its options, as `probgen.build` takes them.

    Raises:
        ProbgenError: it accepts none of the shapes; the error is that of the last.
    """
    values = validate(options, registered.spec.options, owner=registered.spec.name)
    *first, last = [*map(torch.Size, _SHAPES), *shapes]
    for shape in first:
        try:
            return make(registered, Binding(shape, None, support), values), shape
        except ProbgenError:  # a model of pictures refuses points, and the other way round
            continue
    return make(registered, Binding(last, None, support), values), last


def tiny_source(model: Model, seed: int) -> Source | None:
    """Return a few random events, with labels where the model takes them; None where no data set can be like that."""
    context = model.context_shape
    if not model.event_shape or (context is not None and len(context) != 1):
        return None
    try:
        values, kind = _values(model.support, (_EVENTS, *model.event_shape), seed)
    except SupportError:
        return None
    labels = {} if context is None else {"train": torch.arange(_EVENTS) % context[0]}
    return Source(
        name="a few random events",
        splits={"train": values},
        kind=kind,
        levels=levels(model.support) if kind == "levels" else None,
        labels=labels,
        num_labels=None if context is None else context[0],
    )


def _values(support: Constraint, shape: tuple[int, ...], seed: int) -> tuple[Tensor, Kind]:
    generator = torch.Generator().manual_seed(seed)
    name = support_name(support)
    if name == "real":
        return torch.randn(shape, generator=generator), "real"
    if name in ("positive", "unit-interval"):
        return 0.1 + 0.8 * torch.rand(shape, generator=generator), "real"
    if name == "count":
        return torch.randint(4, shape, generator=generator), "count"
    values = torch.randint(levels(support), shape, generator=generator)
    return values, "binary" if name == "binary" else "levels"

"""Binding: a registered model and the shapes that it gets, and what is written down about the two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch.distributions import Distribution, Independent
from torch.distributions.constraints import Constraint

from probgen.errors import ShapeError, SupportError
from probgen.plugin.manager import registry
from probgen.plugin.options import Slot, plain
from probgen.plugin.provenance import Provenance
from probgen.plugin.records import Registered
from probgen.plugin.specs import ModelSpec
from probgen.shapes import Model
from probgen.supports import levels, support_name

__all__ = ["Binding", "check_fits", "filling", "make"]


@dataclasses.dataclass(frozen=True)
class Binding:
    """What a model is bound to: the shapes and the support of its events, and the view of the data that gave them."""

    event_shape: torch.Size
    context_shape: torch.Size | None
    support: Constraint
    view: str | None = None


def make(registered: Registered[ModelSpec], binding: Binding, options: Mapping[str, Any]) -> Model:
    """Build the registered model on its binding, with options that are complete and checked, and note its provenance.

    Raises:
        SupportError: the model does not accept the binding's support.
        PluginLoadError: its target cannot be imported, or is no model.
    """
    spec = registered.spec
    name, _ = _support_key(binding.support)
    if spec.supports and name not in spec.supports:
        accepted = ", ".join(spec.supports)
        raise SupportError(
            f"{spec.name}: expected a support among {accepted}; got {name}. Choose a view of the data that has one of these."
        )
    model = registered.load_class(Model).build(binding.event_shape, binding.context_shape, binding.support, **options)
    model.provenance = _provenance(registered, binding, options)
    return model


def filling(distribution: Distribution, event_shape: torch.Size) -> Distribution:
    """Return the distribution over the whole event of a slot: its batch, or independent draws, fill the leading axes.

    Raises:
        ShapeError: its batch does not expand to the leading axes.
    """
    lead = event_shape[: len(event_shape) - len(distribution.event_shape)]
    if lead + distribution.event_shape != event_shape:
        return distribution  # its event is not the slot's last axes; the check that follows says so
    try:
        filled = distribution if distribution.batch_shape == lead else distribution.expand(lead)
    except RuntimeError as error:
        raise ShapeError(
            f"resolve: expected a distribution that fills events of shape {tuple(event_shape)}; got batch shape "
            f"{tuple(distribution.batch_shape)} with events {tuple(distribution.event_shape)}. Change its parameters' shape."
        ) from error
    return Independent(filled, len(lead)) if lead else filled


def check_fits(model: Model, slot: Binding) -> None:
    """Check that a finished model has the shapes and the support of the slot that it is put into.

    Raises:
        ShapeError: its event or its context has another shape.
        SupportError: its support is another.
    """
    kind = type(model).__name__
    for what, expected, actual in (
        ("event_shape", slot.event_shape, model.event_shape),
        ("context_shape", slot.context_shape, model.context_shape),
    ):
        if expected != actual:
            raise ShapeError(
                f"resolve: expected a model with {what} {_shown(expected)} in this slot; got {kind} with {_shown(actual)}. "
                "Give the model by its registered name, and the slot supplies its shapes."
            )
    if _support_key(slot.support) != _support_key(model.support):
        raise SupportError(
            f"resolve: expected a model with support {slot.support} in this slot; got {kind} with {model.support}. "
            "Choose a model over the slot's values."
        )


def _provenance(registered: Registered[ModelSpec], binding: Binding, options: Mapping[str, Any]) -> Provenance | None:
    try:
        written = plain(options, live=_as_slot)
    except TypeError:  # an object without a written form: the model cannot be built again by name
        return None
    name, count = _support_key(binding.support)
    return Provenance(
        name=registered.spec.name,
        options=written,
        event_shape=list(binding.event_shape),
        context_shape=None if binding.context_shape is None else list(binding.context_shape),
        support=name,
        levels=count,
        view=binding.view,
        distribution=registered.distribution,
        version=registered.version,
        parts=_origins(registered.spec, written),
    )


def _as_slot(part: Any) -> Slot:
    """Return the slot that stands for a model which was itself built by name."""
    if isinstance(part, Model) and part.provenance is not None:
        return Slot(part.provenance.name, part.provenance.options)
    raise TypeError(f"a {type(part).__name__} has no written form")


def _origins(spec: ModelSpec, written: Mapping[str, Any]) -> dict[str, str]:
    """Return which distribution registered each model in the slots, and in their slots."""
    origins: dict[str, str] = {}
    for option in spec.options:
        part = written.get(option.name)
        if option.type == "model" and part is not None:
            registered = registry().model(part["name"])
            origins |= {registered.spec.name: registered.origin, **_origins(registered.spec, part)}
    return origins


def _support_key(support: Constraint) -> tuple[str, int | None]:
    name = support_name(support)
    return name, levels(support) if name == "categorical" else None


def _shown(shape: torch.Size | None) -> str:
    return "None" if shape is None else str(tuple(shape))

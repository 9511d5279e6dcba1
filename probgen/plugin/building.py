"""Building models and estimators by name, and filling the slots of models with other models."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.distributions import Distribution
from torch.distributions.constraints import Constraint

from probgen.errors import CapabilityError, ConfigurationError, ShapeError, UnknownNameError
from probgen.estimator import Estimator
from probgen.plugin.binding import Binding, check_fits, filling, make
from probgen.plugin.manager import registry
from probgen.plugin.options import Slot, as_slot, validate
from probgen.plugin.provenance import Provenance
from probgen.plugin.specs import ModelSpec
from probgen.shapes import Model
from probgen.supports import named_support

__all__ = ["build", "build_estimator", "rebuild", "resolve"]


def build(
    name: str,
    data: Any = None,
    *,
    view: str | None = None,
    context: str | None = None,
    event_shape: Sequence[int] | None = None,
    context_shape: Sequence[int] | None = None,
    support: Constraint | str | None = None,
    **options: Any,
) -> Model:
    """Build the model called `name`, bound to a data source or to explicit shapes.

    Args:
        name: A registered name; `probgen list models` shows them.
        data: Whatever `probgen.as_source` takes; its view supplies the three shapes. Leave it out to give them yourself.
        view: Name of the view of the data; None to take the one that the model prefers.
        context: What of the data the model is conditioned on (`"label"`); None for nothing.
        event_shape: Shape of one event, instead of data.
        context_shape: Shape of one context, instead of data; None for a model that is not conditional.
        support: The values of an event's entries, instead of data: a constraint, or its short name (`"binary"`).
        options: The model's options (`probgen info NAME` lists them), as Python objects or as text. A slot takes a
            registered name, a mapping of `name` and options, a model, or a distribution of torch or Pyro.

    Returns:
        The model. Its `provenance` says how to build it again; None when an option holds an object that cannot be written
        down, such as a distribution.

    Raises:
        UnknownNameError: no plugin registers the name.
        ConfigurationError: an option is unknown or invalid, or neither or both of data and shapes are given.
        ShapeError: a shape is no sequence of whole numbers.
        SupportError: the model does not accept the support.
        PluginLoadError: the model's module cannot be imported.
    """
    registered = registry().model(name)
    values = validate(options, registered.spec.options, owner=name)
    shapes = {"event_shape": event_shape, "context_shape": context_shape, "support": support}
    given = [key for key, value in {"data": data, **shapes, "view": view, "context": context}.items() if value is not None]
    if data is not None and not {*shapes} & {*given}:
        return make(registered, _bind_to_data(registered.spec, data, view, context), values)
    if event_shape is None or support is None or {"data", "view", "context"} & {*given}:
        raise ConfigurationError(
            "build: expected either data, perhaps with view and context, or event_shape and support, perhaps with "
            f"context_shape; got {', '.join(given) or 'none of them'}. Give one of the two."
        )
    constraint = named_support(support) if isinstance(support, str) else support
    return make(registered, Binding(_shape(event_shape, "event_shape"), _size(context_shape), constraint), values)


def rebuild(provenance: Provenance) -> Model:
    """Build a model again, with fresh parameters, as its provenance says.

    Raises:
        UnknownNameError: the model, or one in its slots, is not registered; the message names what to install.
        ConfigurationError: the installed version has other options than the one that built it.
    """
    for name, origin in {provenance.name: provenance.origin, **provenance.parts}.items():
        if name not in registry().models:
            failed = "; ".join(map(str, registry().problems)) or "none"
            raise UnknownNameError(
                f"rebuild: expected {name!r} of {origin} to be registered; got no plugin that has it (failed to load: "
                f"{failed}). Install it: pip install {origin.replace(' ', '==')}."
            )
    registered = registry().model(provenance.name)
    binding = Binding(
        event_shape=torch.Size(provenance.event_shape),
        context_shape=_size(provenance.context_shape),
        support=named_support(provenance.support, levels=provenance.levels),
        view=provenance.view,
    )
    return make(registered, binding, validate(provenance.options, registered.spec.options, owner=provenance.name))


def resolve(
    part: Any, *, event_shape: Sequence[int], context_shape: Sequence[int] | None = None, support: Constraint
) -> Model:
    """Return the model for a slot of another model, which knows the shapes that it must have.

    Args:
        part: A `Slot`, a registered name, a mapping of `name` and options, a model, or a distribution of torch or Pyro.
            A distribution over a smaller event stands for independent draws of it that fill the slot.
        event_shape: Shape of one event in the slot.
        context_shape: Shape of one context in the slot; None where it is not conditional.
        support: The values that an entry may take in the slot.

    Raises:
        CapabilityError: `part` is none of these.
        ShapeError: a model or a distribution does not have the slot's shapes.
        SupportError: its support is another.

    Example:
        >>> from torch.distributions import Normal, constraints
        >>> resolve(Normal(0.0, 1.0), event_shape=(3,), support=constraints.real).event_shape
        torch.Size([3])
    """
    binding = Binding(_shape(event_shape, "event_shape"), _size(context_shape), support)
    part = as_slot(part, owner="resolve", path="part")
    if isinstance(part, Slot):
        return make(registry().model(part.name), binding, part.options)
    if isinstance(part, Distribution):
        from probgen.adapters import as_model  # it imports Pyro, which a model without such a part does not need

        part = as_model(filling(part, binding.event_shape))
    if not isinstance(part, Model):
        raise CapabilityError(
            f"resolve: expected a registered name, a model or a distribution; got {type(part).__name__}. "
            "Name a model, or wrap the object in a Model."
        )
    check_fits(part, binding)
    return part


def build_estimator(name: str, **options: Any) -> Estimator:
    """Build the estimator called `name` with the given options, Python objects or text.

    Raises:
        UnknownNameError: no plugin registers the name.
        ConfigurationError: an option is unknown or invalid.
        PluginLoadError: the estimator's module cannot be imported, or what it names is no estimator.
    """
    registered = registry().estimator(name)
    values = validate(options, registered.spec.options, owner=name)
    return registered.load_class(Estimator).build(**values)


def _bind_to_data(spec: ModelSpec, data: Any, view: str | None, context: str | None) -> Binding:
    """Take the view that was asked for, else the first that the model prefers and the data offer, else the data's choice."""
    from probgen.data import as_source  # only here: shapes suffice to build a model, and reading data imports much

    source = as_source(data)
    if view is None:
        view = next((name for name in spec.views if name in source.view_names()), None)
    seen = source.view(view, accepts=spec.supports or None, context=context)
    return Binding(seen.event_shape, seen.context_shape, seen.support, seen.name)


def _size(shape: Sequence[int] | None) -> torch.Size | None:
    return None if shape is None else _shape(shape, "context_shape")


def _shape(shape: Any, name: str) -> torch.Size:
    """Return a shape as torch has it.

    Raises:
        ShapeError: it is no sequence of whole numbers.
    """
    try:
        return torch.Size(shape)
    except TypeError as error:
        one = f"({shape},) for {shape} entries" if isinstance(shape, int) else "(2,) for two entries"
        raise ShapeError(f"build: expected {name} as a sequence of whole numbers; got {shape!r}. Write {one}.") from error

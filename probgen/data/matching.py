"""The view of data that a given model was made for."""

from __future__ import annotations

from collections.abc import Sequence

from torch.distributions.constraints import Constraint

from probgen.data.source import Source
from probgen.data.view import View
from probgen.errors import DataError, SupportError
from probgen.shapes import Model
from probgen.supports import support_name

__all__ = ["matching_view"]


def matching_view(source: Source, model: object, name: str | None = None, *, context: str | None = None) -> View:
    """Return the view of `source` on which `model` is trained and judged.

    A model that `probgen.build` bound to data keeps the view that it was bound to. One made by hand sees real-valued data in
    their own units, so that what it learns is about the numbers that were handed over; other supports have one usual view.

    Args:
        source: The data.
        model: A `Model`, or any other module, which takes the data as they are.
        name: The view by name; None to choose as above.
        context: What of the data is the context; None for the labels where the model is conditional, else for none.

    Raises:
        SupportError: the data do not offer such a view, or the model does not accept it.
        DataError: events or contexts have other shapes than the model's.
    """
    if not isinstance(model, Model):
        return source.view(name, context=context)
    support = _name_of(model.support)
    if name is None and model.provenance is not None:
        name = model.provenance.view
    elif name is None and support == "real":
        name = "raw"
    if context is None and model.context_shape is not None:
        context = "label"
    view = source.view(name, accepts=None if support is None else (support,), context=context)
    for what, its, ours in (
        ("events", view.event_shape, model.event_shape),
        ("contexts", view.context_shape, model.context_shape),
    ):
        if _size(its) != _size(ours):
            raise DataError(
                f"View: expected {what} of shape {_words(ours)}, as {type(model).__name__} was made for; got {_words(its)} "
                f"in view {view.name!r} of {source.name}. Build the model for these data."
            )
    return view


def _name_of(support: Constraint) -> str | None:
    """Return the short name of a support; None for one that has none, for which the data are taken as they are."""
    try:
        return support_name(support)
    except SupportError:
        return None


def _size(shape: Sequence[int] | None) -> tuple[int, ...] | None:
    return None if shape is None else tuple(shape)


def _words(shape: Sequence[int] | None) -> str:
    return "none" if shape is None else str(tuple(shape))

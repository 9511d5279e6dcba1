"""Which views a source offers, and which one a model gets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch.distributions import constraints

from probgen.data.lenses import Affine, Identity, Lens, Logit, Renewed, Threshold
from probgen.data.source import Source
from probgen.data.view import View
from probgen.errors import DataError, SupportError, UnknownNameError, suggest
from probgen.supports import SUPPORT_NAMES, categorical

__all__ = ["VIEW_SUPPORTS", "choose_view", "offered_views"]

VIEW_SUPPORTS = {
    "binary": "binary",
    "binary-renewed": "binary",
    "categorical": "categorical",
    "count": "count",
    "logit": "real",
    "positive": "positive",
    "raw": "real",
    "real": "real",
    "unit-interval": "unit-interval",
}
"""Every view by name, with the name of its support. The view named like a support is the usual one for it."""

_OFFERED = {
    "binary": ("binary", "categorical", "unit-interval", "real", "logit", "raw"),
    "levels": ("categorical", "binary", "binary-renewed", "unit-interval", "real", "logit", "count", "positive", "raw"),
    "count": ("count", "real", "positive", "raw"),
    "real": ("real", "raw"),
}
_OFFERED_IN_UNIT_INTERVAL = ("unit-interval", "logit")
_OFFERED_TO_GREY_PICTURES = ("binary", "binary-renewed")


def offered_views(source: Source) -> tuple[str, ...]:
    """Return the names of the views that `source` offers, the data as they are first.

    Real-valued data offer `unit-interval` and `logit` only where they lie in [0, 1] already: a range learned from the
    training data would put some held-out examples outside the support, at a density of zero.
    """
    views = _OFFERED[source.kind]
    if source.kind == "real":
        low = min(float(values.min()) for values in source.splits.values())
        high = max(float(values.max()) for values in source.splits.values())
        if low >= 0 and high <= 1:
            views += _OFFERED_IN_UNIT_INTERVAL + (_OFFERED_TO_GREY_PICTURES if source.is_image else ())
        if low > 0:
            views += ("positive",)
    return views


def choose_view(source: Source, name: str | None, *, accepts: Sequence[str] | None, context: str | None) -> View:
    """Return the view called `name`, or the best one for a model; see `Source.view`."""
    offered = offered_views(source)
    _check_names(source, name, accepts, offered)
    accepted = [view for view in offered if not accepts or VIEW_SUPPORTS[view] in accepts]
    if name is None:
        name = _choice(source, offered, accepts)
    remedy = f"Choose the view {accepted[0]!r}." if accepted else _cure(offered)
    if name not in offered:
        raise SupportError(
            f"Source.view: expected a view that {source.name}, of kind {source.kind}, offers ({', '.join(offered)}); got "
            f"{name!r}. {remedy}"
        )
    if name not in accepted:
        raise SupportError(
            f"Source.view: expected a view whose support the model accepts ({', '.join(accepts or ())}); got {name!r} of "
            f"{source.name}, whose support is {VIEW_SUPPORTS[name]}. {remedy}"
        )
    _check_context(source, context)
    return View(source, name, _lens(source, name), context=context)


def _choice(source: Source, offered: Sequence[str], accepts: Sequence[str] | None) -> str:
    """Return the view for the first support that the model accepts and the data offer."""
    if not accepts:
        return offered[0]
    for support in accepts:  # the usual view of a support has its name
        if support in offered and not (support == "binary" and source.kind == "levels" and not source.is_image):
            return support  # a table of small whole numbers is not cut in two unless somebody asks for it
    raise SupportError(
        f"Source.view: expected data that offer a support the model accepts ({', '.join(accepts)}); got {source.name}, of "
        f"kind {source.kind}, which offers the views {', '.join(offered)}. {_cure(offered)}"
    )


def _check_names(source: Source, name: str | None, accepts: Sequence[str] | None, offered: Sequence[str]) -> None:
    if name is not None and name not in VIEW_SUPPORTS:
        hint = suggest(name, offered)
        raise UnknownNameError(
            f"Source.view: expected one of the views that {source.name} offers ({', '.join(offered)}); got {name!r}. "
            + ("Choose one of these." if hint.startswith("Available") else hint)
        )
    for support in accepts or ():
        if support not in SUPPORT_NAMES:
            raise SupportError(
                f"Source.view: expected accepts to name supports; got {support!r}. {suggest(support, SUPPORT_NAMES)}"
            )


def _check_context(source: Source, context: str | None) -> None:
    if context is None:
        return
    if context != "label":
        raise UnknownNameError(f"Source.view: expected the context 'label' or none; got {context!r}. Choose one of the two.")
    if not source.labels:
        raise DataError(
            f"Source.view: expected labels in {source.name} to condition on; got data without any. Say which column of a "
            "table has them (label=…), or leave the context out."
        )


def _cure(offered: Sequence[str]) -> str:
    supports = list(dict.fromkeys(VIEW_SUPPORTS[view] for view in offered))
    return f"Choose a model that accepts {' or '.join(supports)}, or transform the data and declare their kind (kind=…)."


def _lens(source: Source, name: str) -> Lens:
    """Return the lens of a view that `source` offers."""
    levels = 2 if source.kind == "binary" else source.levels
    full = 1.0 if levels is None else levels - 1.0
    zero, one = torch.tensor(0.0), torch.tensor(1.0)
    match name:
        case "binary":
            return (
                Identity(constraints.boolean)
                if source.kind == "binary"
                else Threshold(0.5 if levels is None else (levels - 1) // 2)
            )
        case "binary-renewed":
            return Renewed(full)
        case "categorical":
            return Identity(categorical(levels or 2), integer=True)
        case "count":
            return Identity(constraints.nonnegative_integer)
        case "logit":
            return Logit(levels)
        case "unit-interval":
            scale = torch.tensor(float(levels or 1))
            return _affine(source, constraints.unit_interval, zero, scale, "scaled to [0, 1]" if levels else "as they are")
        case "positive":
            return _affine(source, constraints.positive, zero, one, "in their own units")
        case "raw":
            return _affine(source, constraints.real, zero, one, "in their own units")
        case _:
            mean, deviation = _training_moments(source)
            return _affine(source, constraints.real, mean, deviation, "standardised by the training data")


def _affine(
    source: Source, support: constraints.Constraint, shift: torch.Tensor, scale: torch.Tensor, summary: str
) -> Affine:
    levels = {"binary": 2.0, "count": math.inf, "real": None}.get(source.kind, source.levels)
    largest = max(float(values.max()) for values in source.splits.values()) if levels == math.inf else (levels or 1.0) - 1
    return Affine(
        support,
        shift,
        scale,
        entries=math.prod(source.event_shape),
        levels=levels,
        largest=largest,
        summary=summary,
    )


def _training_moments(source: Source) -> tuple[torch.Tensor, torch.Tensor]:
    """Return mean and standard deviation of each entry over the training data: of dequantised values where discrete."""
    train = source.splits["train"]
    blocks = train.split(10_000)  # a float64 copy of all pictures would be eight times their size
    mean = torch.stack([rows.double().sum(0) for rows in blocks]).sum(0) / len(train)
    variance = torch.stack([(rows.double() - mean).square().sum(0) for rows in blocks]).sum(0) / len(train)
    if source.kind != "real":
        return mean + 0.5, (variance + 1 / 12).sqrt()  # noise uniform on (0, 1) has mean 1/2 and variance 1/12
    deviation = variance.sqrt()
    constant = deviation <= 1e-12 * mean.abs()
    return mean, torch.where(constant, torch.ones_like(deviation), deviation)

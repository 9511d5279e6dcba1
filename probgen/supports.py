"""Supports by name: which values an event may take.

A support is a `torch.distributions.constraints.Constraint`. Data views offer one, models accept some, and plugins list what
they accept by the short names below, so that a listing needs no torch objects:

| name | constraint | entries |
|---|---|---|
| `binary` | `boolean` | 0 or 1 |
| `categorical` | `integer_interval(0, levels - 1)` | 0, 1, …, levels - 1 |
| `count` | `nonnegative_integer` | 0, 1, 2, … |
| `unit-interval` | `unit_interval` | [0, 1] |
| `positive` | `positive` | (0, ∞) |
| `real` | `real` | (-∞, ∞) |
"""

from __future__ import annotations

from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen.errors import SupportError, suggest

__all__ = ["SUPPORT_NAMES", "categorical", "inside", "levels", "named_support", "support_name"]

_FIXED: dict[str, Constraint] = {
    "binary": constraints.boolean,
    "count": constraints.nonnegative_integer,
    "unit-interval": constraints.unit_interval,
    "positive": constraints.positive,
    "real": constraints.real,
}

SUPPORT_NAMES = (*_FIXED, "categorical")


def categorical(levels: int) -> Constraint:
    """Return the support of entries in {0, …, levels - 1}.

    Raises:
        SupportError: `levels` is below 2.

    Example:
        >>> support_name(categorical(17)), levels(categorical(17))
        ('categorical', 17)
    """
    if levels < 2:
        raise SupportError(f"categorical: expected at least 2 levels; got {levels}. A constant needs no model.")
    return constraints.integer_interval(0, levels - 1)


def support_name(support: Constraint) -> str:
    """Return the short name of `support`, looking through `constraints.independent`.

    Raises:
        SupportError: the constraint has no short name (a simplex, say).
    """
    support = _entrywise(support)
    for name, constraint in _FIXED.items():
        if _alike(support, constraint):
            return name
    if isinstance(support, constraints.integer_interval) and support.lower_bound == 0:
        return "categorical"
    if isinstance(support, constraints.interval) and (support.lower_bound, support.upper_bound) == (0.0, 1.0):
        return "unit-interval"
    if isinstance(support, constraints.greater_than) and support.lower_bound == 0:
        return "positive"
    raise SupportError(f"support_name: expected one of {', '.join(SUPPORT_NAMES)}; got {support}. Transform the data.")


def named_support(name: str, *, levels: int | None = None) -> Constraint:
    """Return the constraint called `name`; `categorical` needs its number of `levels`.

    Raises:
        SupportError: no support has this name, or `levels` is missing.
    """
    if name == "categorical":
        if levels is None:
            raise SupportError("named_support: expected levels for 'categorical'; got None. Give the number of levels.")
        return categorical(levels)
    if name not in _FIXED:
        raise SupportError(f"named_support: expected a support's name; got {name!r}. {suggest(name, SUPPORT_NAMES)}")
    return _FIXED[name]


def levels(support: Constraint) -> int:
    """Return how many values an entry of a finite support takes: 2 for `binary`, the levels of `categorical`.

    Raises:
        SupportError: the support is not finite.
    """
    entry = _entrywise(support)
    if _alike(entry, constraints.boolean):
        return 2
    if isinstance(entry, constraints.integer_interval) and entry.lower_bound == 0:
        return int(entry.upper_bound) + 1
    raise SupportError(f"levels: expected a binary or categorical support; got {support}. It has no finite levels.")


def inside(support: Constraint, x: Tensor, event_dims: int) -> Tensor:
    """Return, for each event of `x`, whether all its entries lie in `support`: `(..., *event) -> (...)` of bool.

    Example:
        >>> import torch
        >>> inside(constraints.boolean, torch.tensor([[0.0, 1.0], [0.5, 1.0]]), 1).tolist()
        [True, False]
    """
    ok = support.check(x)
    extra = ok.ndim - (x.ndim - event_dims)
    return ok.flatten(-extra).all(-1) if extra > 0 else ok


def _alike(one: Constraint, other: Constraint) -> bool:
    """Return whether two constraints are the same, or copies of each other: a copy of a model has a copy of its support."""
    return one is other or (type(one) is type(other) and repr(one) == repr(other))


def _entrywise(support: Constraint) -> Constraint:
    while isinstance(support, type(constraints.independent(constraints.real, 1))):
        support = support.base_constraint
    return support

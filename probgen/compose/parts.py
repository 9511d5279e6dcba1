"""What composites ask of their parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen.capabilities import capabilities
from probgen.errors import ConfigurationError, ShapeError
from probgen.shapes import Model

__all__ = ["alike", "chosen_rows", "initialized", "held_by_all", "joined", "same_support"]


def held_by_all(offered: Sequence[type], parts: Sequence[Model]) -> frozenset[type]:
    """Return those of the capabilities that every part has."""
    return frozenset(offered).intersection(*(capabilities(part) for part in parts))


def alike(parts: Sequence[Model], owner: str) -> Model:
    """Return the first part, to which the shapes and the support of all others are equal.

    Raises:
        ConfigurationError: there is no part.
        ShapeError: a part differs.
    """
    if not parts:
        raise ConfigurationError(f"{owner}: expected at least one model; got none. Name the parts.")
    first = parts[0]
    for part in parts[1:]:
        if part.event_shape != first.event_shape or part.context_shape != first.context_shape:
            raise ShapeError(
                f"{owner}: expected models of one event and context shape; got {tuple(first.event_shape)} given "
                f"{_shown(first.context_shape)} and {tuple(part.event_shape)} given {_shown(part.context_shape)}."
            )
        if not same_support(part.support, first.support):
            raise ShapeError(
                f"{owner}: expected models of one support; got {first.support} and {part.support}. Transform one of them."
            )
    return first


def same_support(one: Constraint, other: Constraint) -> bool:
    """Whether two constraints are the same, those with bounds by their bounds."""
    return one is other or (type(one) is type(other) and str(one) == str(other))


def joined(a: Tensor, a_dims: int, b: Tensor, b_dims: int) -> Tensor:
    """Return flattened events side by side, `(*batch, *a_event), (*batch, *b_event) -> (*batch, A + B)`; `b` may repeat."""
    flat_a, flat_b = (x.reshape((*x.shape[: x.ndim - dims], -1)) for x, dims in ((a, a_dims), (b, b_dims)))
    return torch.cat([flat_a, flat_b.to(flat_a.dtype).expand(*flat_a.shape[:-1], -1)], -1)


def chosen_rows(choice: Tensor, count: int) -> list[Tensor]:
    """Return, for each of `count` parts, the rows that chose it, `(N,) -> [(n_1,), …]`."""
    return [torch.nonzero(choice == part)[:, 0] for part in range(count)]


def initialized(parts: Sequence[Model], batch: Any) -> None:
    """Let every part prepare itself for the same events and contexts."""
    for part in parts:
        part.initialize(batch)


def _shown(shape: torch.Size | None) -> str:
    return "no context" if shape is None else f"{tuple(shape)}"

"""A row of the table: contestants that do the same piece of work, and what they have to reach."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

__all__ = ["Contestant", "Goal", "Row", "Unavailable", "elsewhere"]


class Unavailable(Exception):
    """A contestant cannot take part here; the message says why."""


def _nothing() -> None:
    return None


@dataclasses.dataclass(frozen=True, eq=False)
class Contestant:
    """Something that does a row's piece of work again and again.

    Args:
        step: Does it once: a training step, or a draw.
        weights: Returns the arrays that training has to change; None where nothing is trained.
        loss: Returns the loss of the last step, which training has to bring down; None where there is no such number.
        finish: Waits for what steps have left running.
        clocked: Whether `step` returns its own time in seconds, because it does more than what is measured.
        spins: Whether threads of its own go on looking for work after a step, on processors that others need.
    """

    step: Callable[[], Any]
    weights: Callable[[], Sequence[Any]] | None = None
    loss: Callable[[], float] | None = None
    finish: Callable[[], None] = _nothing
    clocked: bool = False
    spins: bool = False


@dataclasses.dataclass(frozen=True)
class Goal:
    """What a contestant's time should be as a multiple of the base's (or in seconds above it): aimed at, and required."""

    target: float
    gate: float


@dataclasses.dataclass(frozen=True, eq=False)
class Row:
    """Contestants to be timed side by side.

    Args:
        name: Short, for `--only`.
        title: The piece of work, with its sizes.
        makers: Make the contestants, by name. One may raise `Unavailable`, or not find its package: it is left out then, and
            the table says so.
        base: Name of the contestant that the others are compared with.
        goals: By contestant.
        agree: Stops with an error unless contestants give the same results; called with those that take part.
        learning_steps: Steps in which the loss has to fall.
        compare: Whether times are divided by the base's, or the base's subtracted.
        trains: Whether it is training, which can be done in half precision; the rest is not.
    """

    name: str
    title: str
    makers: Mapping[str, Callable[[], Contestant]]
    base: str = "torch"
    goals: Mapping[str, Goal] = dataclasses.field(default_factory=dict)
    agree: Callable[[Mapping[str, Contestant]], None] | None = None
    learning_steps: int = 16
    compare: Literal["ratio", "difference"] = "ratio"
    trains: bool = True


def elsewhere(row: Row, single: Row | None = None) -> Row:
    """Return a row for a setting that goals were not made for, without them.

    Args:
        row: The row in that setting.
        single: The same row in single precision, if that is another one. Its base takes part too: the table then says what
            half precision gains.
    """
    makers = dict(row.makers)
    if single is not None:
        makers[f"{single.base} float32"] = single.makers[single.base]
    return dataclasses.replace(row, makers=makers, goals={})

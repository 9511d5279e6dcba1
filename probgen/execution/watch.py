"""Noticing, at every step and at little cost, that a graph no longer says what the program would do."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any

from torch import Tensor

from probgen.execution.reach import Container, Reach, Slots

__all__ = ["Watch", "form_of"]

_settings_of = operator.attrgetter("requires_grad", "dtype")
_applied: Any = operator.call
_version_of = operator.attrgetter("_version")


class Watch:
    """Compares what is within reach with what it was.

    Everything is compared by identity, in a few passes that run in C; where one fails, somebody takes a closer look.

    Args:
        reach: What is watched, as it is now.
    """

    def __init__(self, reach: Reach) -> None:
        self.reach = reach
        kept = [container for container in reach.containers if len(container.contents)]
        without = [container.holder for container in reach.containers if not len(container.contents)]
        self._empty = [holder for holder in without if not isinstance(holder, Slots)]
        self._holders = [container.holder for container in kept]
        self._sizes = [len(holder) for holder in self._holders]
        parts = [part for container in kept if (part := _part(container)) is not None]
        self._getters, self._owners = [getter for getter, _ in parts], [owner for _, owner in parts]
        self._values = list(self._contents())
        self._versions = list(map(_version_of, reach.constants))
        self._tensors = [tensor for tensor, _ in reach.places]
        self._settings = list(map(_settings_of, self._tensors))
        self._forms = list(map(form_of, self._tensors))
        self._ties = [(place, number) for number, (_, group) in enumerate(reach.places) for place in group[1:]]

    def _contents(self) -> chain[Any]:
        return chain.from_iterable(map(_applied, self._getters, self._owners))

    def unchanged(self) -> bool:
        """Return whether every watched value is the very one that it was."""
        try:
            return (
                not any(self._empty)
                and list(map(len, self._holders)) == self._sizes
                and all(map(operator.is_, self._contents(), self._values))
                and list(map(_version_of, self.reach.constants)) == self._versions
            )
        except (AttributeError, LookupError, ValueError):  # one was deleted, or a cell emptied
            return False

    def fits(self, tensors: Sequence[Tensor]) -> bool:
        """Return whether tensors, those that stand in the places now at their front, are of the forms that they had."""
        if list(map(_settings_of, tensors[: len(self._settings)])) != self._settings:
            return False
        if any(place.content is not tensors[number] for place, number in self._ties):
            return False
        if all(map(operator.is_, self._tensors, tensors)):
            return True
        now = list(tensors[: len(self._tensors)])
        same = len(set(map(id, now))) == len(now) and list(map(form_of, now)) == self._forms
        if same:
            self._tensors = now
        return same


def form_of(tensor: Tensor) -> tuple[Any, ...]:
    """Return what of a tensor a graph depends on."""
    return tensor.shape, tensor.dtype, tensor.device, tensor.stride(), tensor.requires_grad


def _part(container: Container) -> tuple[Callable[[Any], Any], Any] | None:
    """Return a function that lists a container's watched contents, and what to call it with; None if there are none."""
    holder, watched = container.holder, container.watched
    if watched is None:
        return tuple, holder
    if not watched:
        return None
    names = watched if len(watched) > 1 else watched * 2  # a getter of a single name returns no tuple
    if isinstance(holder, Slots):
        return operator.attrgetter(*names), holder.owner
    return operator.itemgetter(*names), holder

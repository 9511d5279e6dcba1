"""Where the examples and the particles are in what a program drew, and how terms become `(K, N)`."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable

from torch import Tensor

from probgen.errors import ConfigurationError, ShapeError
from probgen.pyro_bridge.recording import PARTICLES, Record, Statement

__all__ = ["Axes", "batch_axis", "find_batch_plate", "guide_axis", "is_subsampled"]


@dataclasses.dataclass(frozen=True)
class Axes:
    """Which axes of a site's score are particles and examples.

    Args:
        shape: The site's batch shape, to which every term is broadcast first.
        batch: Dimension of the examples, counted from the right; None for a site that they share.
        particle: Dimension of the particle plate, likewise; None without one.
        folded: Number of particles that were folded into the batch; 1 for none.
    """

    shape: tuple[int, ...]
    batch: int | None
    particle: int | None
    folded: int = 1

    def reduce(self, term: Tensor) -> Tensor:
        """Sum a term of the site over all axes but those of particles and examples: `(K, N)`, or `(K,)` when shared."""
        if term.shape != self.shape:
            term = term.expand(self.shape)
        others = [axis for axis in range(-len(self.shape), 0) if axis not in (self.batch, self.particle)]
        if others:
            term = term.sum(others)
        if self.particle is None:
            return term.unsqueeze(0) if self.folded == 1 else term.unflatten(0, (self.folded, -1))
        if self.batch is not None and self.batch < self.particle:
            return term.transpose(0, 1)
        return term

    def arrange(self, value: Tensor, event_dim: int) -> Tensor:
        """Move particles and examples to the front of a value: `(K, N, …)`, or `(K, …)` when shared."""
        full = (*self.shape, *value.shape[value.ndim - event_dim :])
        if value.shape != full:
            value = value.expand(full)
        front = [axis - event_dim for axis in (self.particle, self.batch) if axis is not None]
        if front != list(range(-value.ndim, -value.ndim + len(front))):
            value = value.movedim(front, tuple(range(len(front))))
        if self.particle is None:
            return value.unsqueeze(0) if self.folded == 1 else value.unflatten(0, (self.folded, -1))
        return value


def find_batch_plate(records: Iterable[Record], size: int, declared: str | None, where: str) -> str | None:
    """Return the name of the plate over the batch; None for a program without plates around its observations.

    It is the plate of `size` examples that all observed sites are in (a subsampled plate counts with either of its sizes).

    Raises:
        ConfigurationError: several plates would do, or no observed site is in the plate that was `declared`.
    """
    observed = [record for record in records if record.observed and not record.auxiliary]
    if declared is not None:
        if not any(declared in record.plates for record in observed):
            raise ConfigurationError(
                f"{where}: expected an observed site in batch_plate {declared!r}; got none. Name a plate that the model has."
            )
        return declared
    common: dict[str, None] | None = None
    for record in observed:
        fitting = {
            frame.name: None
            for frame in record.frames
            if frame.dim is not None and frame.name != PARTICLES and size in (frame.size, frame.full_size)
        }
        common = fitting if common is None else {name: None for name in common if name in fitting}
    names = list(common or ())
    if len(names) > 1:
        raise ConfigurationError(
            f"{where}: expected one plate of the batch's size {size}; got {', '.join(map(repr, names))}. "
            f"Say which is the batch with batch_plate={names[0]!r}."
        )
    return names[0] if names else None


def batch_axis(record: Statement, plate: str | None, size: int, *, declared: bool, where: str) -> int | None:
    """Return the dimension of a site's examples, counted from the right of its batch shape; None when they share it.

    Args:
        record: The site.
        plate: Name of the batch's plate, or None in a program without it.
        size: Number of examples.
        declared: Whether the plate was named by the author rather than found by its size.
        where: Whom a message speaks of.

    Raises:
        ConfigurationError: it cannot be told from sizes whether, or where, the site has an axis of examples.
    """
    if plate is not None and (axis := record.axis_of(plate)) is not None:
        return axis
    in_plates = {frame.dim for frame in record.frames}
    fitting = [axis for axis in range(-len(record.shape), 0) if axis not in in_plates and record.shape[axis] == size]
    if not fitting or declared:
        return None
    # With a single example every axis of size 1 sums to the same.
    if (plate is not None or len(fitting) > 1) and size > 1:
        raise ConfigurationError(
            f"{where}: expected the examples at {record.name!r} in a plate; got batch shape {tuple(record.shape)}, where "
            f"{size} may be the batch's size by chance. Put what belongs to an example into "
            "`with pyro.plate('data', len(x))`, make the other axes part of the event with `.to_event(…)`, and name the "
            "plate with batch_plate='data'."
        )
    return fitting[0]


def guide_axis(guide: Record, model: Record, axis: int | None, where: str) -> int | None:
    """Return the dimension of the examples in the guide's score, given that in the model's.

    Both programs draw one value, so the axis stands at the same place of it, even where only one of them declares a plate
    or where they differ in what they call an event. An axis inside the guide's event couples the examples: None.

    Raises:
        ShapeError: the two statements differ in the shape of their value.
    """
    if guide.full_shape != model.full_shape:
        raise ShapeError(
            f"{where}: expected one shape of {model.name!r} in both programs; got {tuple(model.full_shape)} in the model "
            f"(plates {_listed(model.plates)}) and {tuple(guide.full_shape)} in the guide (plates {_listed(guide.plates)}). "
            "Draw it inside the same plates."
        )
    if axis is None:
        return None
    shifted = axis - model.event_dim + guide.event_dim
    return shifted if shifted < 0 and -shifted <= len(guide.shape) else None


def is_subsampled(records: Iterable[Record], plate: str | None) -> bool:
    """Whether the plate of the batch takes only some of its rows."""
    return any(
        frame.name == plate and frame.full_size is not None and frame.full_size != frame.size
        for record in records
        for frame in record.frames
    )


def _listed(names: Collection[str]) -> str:
    return ", ".join(map(repr, names)) or "none"

"""A `Frame`: what stays of a view without its data, enough to bring a model's draws back to the data's own units."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Self

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen.data.kinds import Kind
from probgen.data.lenses import Lens, lens_from_json
from probgen.errors import DataError, ShapeError
from probgen.shapes import batch_shape_of

__all__ = ["Frame"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Frame:
    """How data are seen, without the data. `View.frame` makes it; a run folder keeps it as JSON.

    Args:
        source: The name of the data.
        view: The view's name.
        kind: What the values of the data are; see `probgen.data.kinds`.
        event_shape: Shape of an event.
        levels: How many values an entry takes, where there are finitely many.
        header: A heading for each entry.
        is_image: Whether events are pictures.
        label_names: What the classes are called; empty when they have no names.
        num_labels: Number of classes that a model is conditioned on; None where it is not conditional.
        display_range: The values that pictures show as black and as white; None where events are no pictures.
        lens: What turns values into events of the view, and back.

    Example:
        >>> from probgen.data import as_source
        >>> view = as_source("moons").view("real")
        >>> again = Frame.from_json(view.frame.to_json())
        >>> events = view.split("train").batch(torch.arange(3)).x
        >>> torch.equal(again.to_units(events), view.to_units(events))
        True
    """

    source: str
    view: str
    kind: Kind
    event_shape: torch.Size
    levels: int | None
    header: tuple[str, ...]
    is_image: bool
    label_names: tuple[str, ...]
    num_labels: int | None
    display_range: tuple[float, float] | None
    lens: Lens

    @property
    def support(self) -> Constraint:
        """The values that an entry of the view may take."""
        return self.lens.support

    def to_units(self, x: Tensor) -> Tensor:
        """Return events of the view in the data's own units and on their lattice; see `View.to_units`."""
        batch_shape_of(x, self.event_shape, "View.to_units", "x")
        return self.lens.to_units(x)

    def display(self, x: Tensor) -> Tensor:
        """Return events of the view as pictures with intensities in [0, 1]; see `View.display`.

        Raises:
            ShapeError: events are no pictures.
        """
        if self.display_range is None:
            raise ShapeError(
                f"View.display: expected pictures (channels, height, width); got events of shape {tuple(self.event_shape)} "
                f"in {self.source}. Plot them as points or curves instead."
            )
        if self.support is constraints.boolean:
            return x.to(torch.get_default_dtype()).clamp(0, 1)
        values, (low, high) = self.to_units(x), self.display_range
        return ((values - low) / max(high - low, torch.finfo(values.dtype).tiny)).clamp(0, 1)

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON types."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields |= {name: list(fields[name]) for name in ("event_shape", "header", "label_names")}
        return {**fields, "display_range": self.display_range and list(self.display_range), "lens": self.lens.to_json()}

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Self:
        """Return the frame that `to_json` wrote.

        Raises:
            DataError: it was written by another version, or altered.
        """
        try:
            shown = fields["display_range"]
            changed = {
                "event_shape": torch.Size(fields["event_shape"]),
                "header": tuple(fields["header"]),
                "label_names": tuple(fields["label_names"]),
                "display_range": None if shown is None else (float(shown[0]), float(shown[1])),
                "lens": lens_from_json(fields["lens"]),
            }
            return cls(**{**fields, **changed})
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise DataError(
                f"Frame.from_json: expected what Frame.to_json writes; got {type(error).__name__}: {error}. The file was "
                "written by another version, or altered."
            ) from error

"""How a model was built, as plain data: what a run folder keeps so that the model can be built again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from probgen.errors import CheckpointError

__all__ = ["Provenance"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Provenance:
    """How `probgen.build` made a model. Every field is of JSON types, so equal provenances have equal JSON.

    Args:
        name: The registered name.
        options: All its options; a slot is `{"name": …, **options}` of the model in it.
        event_shape: Shape of one event.
        context_shape: Shape of one context, or None.
        support: The support's short name.
        levels: The number of levels where the support is `categorical`, else None.
        view: Name of the view of the data that the model was bound to; None where it was bound to explicit shapes.
        distribution: The distribution that registered the model.
        version: Its version.
        parts: The same for the models in its slots, as text by name: `{"flows/maf": "probgen-flows 0.1"}`.

    Example:
        >>> provenance = Provenance(name="flows/maf", event_shape=[2], support="real")
        >>> Provenance.from_json(provenance.to_json()) == provenance
        True
    """

    name: str
    event_shape: list[int]
    support: str
    context_shape: list[int] | None = None
    levels: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    view: str | None = None
    distribution: str = ""
    version: str = ""
    parts: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def origin(self) -> str:
        """The distribution and its version: `probgen-flows 0.1`."""
        return f"{self.distribution} {self.version}".strip()

    def to_json(self) -> dict[str, Any]:
        """Return a dict of JSON types."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, fields: Mapping[str, Any]) -> Provenance:
        """Return the provenance that `to_json` wrote.

        Raises:
            CheckpointError: a field is missing, unknown or of another type.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        needed = {"name", "event_shape", "support"}
        if not isinstance(fields, Mapping) or not needed <= set(fields) <= known:
            found = ", ".join(map(str, fields)) if isinstance(fields, Mapping) else type(fields).__name__
            raise CheckpointError(
                f"Provenance.from_json: expected {', '.join(sorted(needed))} and fields among {', '.join(sorted(known))}; "
                f"got {found}. The file was written by another version, or altered."
            )
        return cls(**fields)

"""A `Source`: raw data with named splits, and everything that is known about it."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen.data.kinds import KINDS, Kind, native_support
from probgen.errors import DataError, ShapeError, suggest

if TYPE_CHECKING:
    from probgen.data.view import View

__all__ = ["SPLIT_NAMES", "Source"]

SPLIT_NAMES = ("train", "valid", "test")


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Source:
    """Raw data as they are kept: splits, kind of values, labels and names. Immutable; models see a `view` of it.

    `as_source` makes one from a name, a path, a tensor, an array or a data set; build one yourself for data that none of
    these describes. Values are checked once, here.

    Args:
        name: What runs and reports call the data.
        splits: Raw values by split, each `(N, *event_shape)`: `train`, and `valid` and `test` where there are such.
        kind: `binary`, `levels`, `count` or `real` (see `probgen.data.kinds`).
        levels: Number of values that an entry takes, for kind `levels`: 256 for 8-bit pictures.
        labels: Class of each example by split, `(N,)` of whole numbers; empty when there are none.
        num_labels: Number of classes; None takes one more than the largest label.
        label_names: What the classes are called; empty when they have no names.
        columns: A name for each entry of an event, in row-major order; empty when they have none.
        units: The unit of each entry, likewise.
        is_image: Whether events are pictures `(C, H, W)` with one or three channels.
        description: One sentence about the data.
        reference: Where they come from.
        kind_reason: How the kind was decided, where it was recognised.
        rows: Where each example stood in what was read, `(N,)` by split, for data that came in one piece; else empty.

    Raises:
        DataError: a split is empty or has another event shape, a value is NaN, infinite or not of its kind, labels are
            missing for an example or out of range, or there are not as many column names as entries.

    Example:
        >>> source = Source(name="coins", splits={"train": torch.tensor([[0, 1], [1, 1]])}, kind="binary")
        >>> source.event_shape, source.view().name
        (torch.Size([2]), 'binary')
    """

    name: str
    splits: Mapping[str, Tensor]
    kind: Kind
    levels: int | None = None
    labels: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)
    num_labels: int | None = None
    label_names: Sequence[str] = ()
    columns: Sequence[str] = ()
    units: Sequence[str] = ()
    is_image: bool = False
    description: str = ""
    reference: str = ""
    kind_reason: str = ""
    rows: Mapping[str, Tensor] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        self._freeze(splits=MappingProxyType({name: self.splits[name] for name in self._ordered(self.splits, "splits")}))
        self._freeze(columns=tuple(self.columns), units=tuple(self.units), label_names=tuple(self.label_names))
        self._check_declaration()
        for split, values in self.splits.items():
            self._check_values(split, values)
        self._freeze(
            labels=MappingProxyType({name: self.labels[name].long() for name in self._ordered(self.labels, "labels")})
        )
        if self.labels:
            if self.num_labels is None:
                self._freeze(num_labels=max(int(labels.max()) for labels in self.labels.values()) + 1)
            self._check_labels()

    @property
    def event_shape(self) -> torch.Size:
        """Shape of one event."""
        return self.splits["train"].shape[1:]

    @functools.cached_property
    def fingerprint(self) -> str:
        """A hash of every value and label with its split: two sources that share it hold the same data."""
        digest = hashlib.blake2b(digest_size=16)
        for part in (self.splits, self.labels):
            for name, values in part.items():
                digest.update(f"{name} {values.dtype} {tuple(values.shape)};".encode())
                digest.update(values.contiguous().numpy().tobytes())
        return digest.hexdigest()

    @property
    def support(self) -> Constraint:
        """The values that an entry may take, as they are kept."""
        return native_support(self.kind, self.levels)

    @property
    def unit(self) -> str:
        """In what the values are given: `pixel levels 0 to 255`, say."""
        if self.kind == "levels" and self.levels is not None:
            return f"{'pixel ' if self.is_image else ''}levels 0 to {self.levels - 1}"
        return {"binary": "bits", "count": "counts"}.get(self.kind, "the data's own units")

    @property
    def header(self) -> tuple[str, ...]:
        """A heading for each entry of an event: `name [unit]`, `name`, or `x0`, `x1`, … where entries have no names."""
        names = self.columns or tuple(f"x{entry}" for entry in range(math.prod(self.event_shape)))
        units = self.units or ("",) * len(names)
        return tuple(f"{name} [{unit}]" if unit else name for name, unit in zip(names, units, strict=True))

    def view(
        self,
        name: str | None = None,
        *,
        accepts: Sequence[str] | None = None,
        context: str | None = None,
    ) -> View:
        """Return the data as a model sees them.

        Args:
            name: One of `view_names()`; None to choose by `accepts`, or the data as they are when that is None too.
            accepts: The supports that a model takes, by name (see `probgen.supports`), the one it prefers first; None or
                empty for any.
            context: `"label"` to give each example its label, one-hot, as context; None for none.

        Raises:
            UnknownNameError: no view has this name.
            SupportError: these data do not offer the view, or the model does not accept it.
            DataError: `context` asks for labels and there are none.
        """
        from probgen.data.choosing import choose_view

        return choose_view(self, name, accepts=accepts, context=context)

    def view_names(self) -> tuple[str, ...]:
        """Return the names of the views that these data offer."""
        from probgen.data.choosing import offered_views

        return offered_views(self)

    def describe(self) -> str:
        """Return one line about the data: name, sizes, event shape and kind.

        Example:
            >>> Source(name="coins", splits={"train": torch.tensor([[0, 1], [1, 1]])}, kind="binary").describe()
            'coins: 2 train; events (2,) of bits'
        """
        sizes = " / ".join(f"{len(values)} {split}" for split, values in self.splits.items())
        labels = f", {self.num_labels} labels" if self.labels else ""
        reason = f" ({self.kind_reason})" if self.kind_reason else ""
        return f"{self.name}: {sizes}; events {tuple(self.event_shape)} of {self.unit}{labels}{reason}"

    # ---------------------------------------------------------------------------------------------------------- checks

    def _freeze(self, **values: object) -> None:
        for field, value in values.items():
            object.__setattr__(self, field, value)

    def _ordered(self, named: Mapping[str, Tensor], what: str) -> list[str]:
        for name in named:
            if name not in SPLIT_NAMES:
                raise DataError(
                    f"Source: expected {what} named {', '.join(SPLIT_NAMES)}; got {name!r}. "
                    f"{suggest(str(name), SPLIT_NAMES)}"
                )
        return [name for name in SPLIT_NAMES if name in named]

    def _check_declaration(self) -> None:
        if self.kind not in KINDS or (self.kind == "levels") != (self.levels is not None):
            raise DataError(
                f"Source: expected kind as one of {', '.join(KINDS)}, and levels for kind 'levels' alone; got kind "
                f"{self.kind!r} with levels {self.levels}. Say what {self.name} holds."
            )
        if self.levels is not None and self.levels < 2:
            raise DataError(
                f"Source: expected at least 2 levels; got {self.levels} in {self.name}. Every value is the same: "
                "there is nothing to model."
            )
        if "train" not in self.splits:
            raise DataError(
                f"Source: expected a split named train; got {list(self.splits) or 'none'}. Name the training data."
            )

    def _check_values(self, split: str, values: Tensor) -> None:
        where = f"split {split} of {self.name}"
        if values.ndim < 2 or values.numel() == 0:
            raise DataError(
                f"Source: expected at least one example with at least one entry in {where}; got shape "
                f"{tuple(values.shape)}. Examples lie along the first axis."
            )
        if values.shape[1:] != self.event_shape:
            raise ShapeError(
                f"Source: expected events of shape {tuple(self.event_shape)} in {where}, as in train; got "
                f"{tuple(values.shape[1:])}. All splits hold the same kind of event."
            )
        if self.is_image and (len(self.event_shape) != 3 or self.event_shape[0] not in (1, 3)):
            raise ShapeError(
                f"Source: expected pictures as (channels, height, width) with 1 or 3 channels in {where}; got "
                f"{tuple(self.event_shape)}. Permute the axes, or set is_image=False."
            )
        if values.is_floating_point() and not bool(values.isfinite().all()):
            raise self._bad_value(split, values, ~values.isfinite(), "finite numbers", "Remove or fill in such rows")
        if not bool((inside := self.support.check(values)).all()):
            raise self._bad_value(
                split, values, ~inside, f"values of kind {self.kind} ({self.unit})", "Declare another kind"
            )
        entries = math.prod(self.event_shape)
        for what, names in (("columns", self.columns), ("units", self.units)):
            if names and len(names) != entries:
                raise DataError(
                    f"Source: expected {entries} {what} for {self.name}, one for each entry; got {len(names)}. "
                    "Name every entry, or none."
                )

    def _bad_value(self, split: str, values: Tensor, bad: Tensor, expected: str, remedy: str) -> DataError:
        """Return the error that names the first bad entry by row and column."""
        position = bad.flatten(1).nonzero()[0].tolist()
        value = values.flatten(1)[position[0], position[1]].item()
        column = repr(self.columns[position[1]]) if self.columns else f"{position[1]}"
        rows = int(bad.flatten(1).any(1).sum())
        return DataError(
            f"Source: expected {expected} in {self.name}; got {value} in row {position[0]}, column {column} of split "
            f"{split} ({rows} of {len(values)} rows hold such). {remedy}."
        )

    def _check_labels(self) -> None:
        if self.label_names and len(self.label_names) != self.num_labels:
            raise DataError(
                f"Source: expected {self.num_labels} label_names for {self.name}, one for each class; got "
                f"{len(self.label_names)}. Name every class, or none."
            )
        for split, values in self.splits.items():
            labels = self.labels.get(split)
            if labels is None or labels.shape != values.shape[:1]:
                got = "none" if labels is None else f"shape {tuple(labels.shape)}"
                raise DataError(
                    f"Source: expected a label for each of the {len(values)} examples in split {split} of {self.name}; "
                    f"got {got}. Label every example, or none."
                )
            outside = (labels < 0) | (labels >= (self.num_labels or 0))
            if bool(outside.any()):
                row = int(outside.nonzero()[0])
                raise DataError(
                    f"Source: expected labels from 0 to {(self.num_labels or 0) - 1} in split {split} of {self.name}; got "
                    f"{int(labels[row])} in row {row}. Number the classes from 0, or raise num_labels."
                )

"""A `View`: the data as a model sees them, and the way back to the data's own units."""

from __future__ import annotations

import functools
from typing import final

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen.data.alike import alike
from probgen.data.frame import Frame
from probgen.data.lenses import Lens
from probgen.data.source import Source
from probgen.data.split import Split
from probgen.errors import DataError, suggest
from probgen.shapes import batch_shape_of
from probgen.supports import support_name

__all__ = ["View"]


@final
class View:
    r"""A source seen in one way: binarised, as levels, standardised, and so on. Made by `Source.view`.

    Attributes:
        name: The view's name: `"binary"`, `"real"`, …
        source: The data.
        event_shape: Shape of an event, that of the source.
        context_shape: Shape of what each example is conditioned on; None without context.
        support: The values that an entry may take, a constraint.
        random: Whether training batches are renewed in each epoch.
        dequantised: Whether uniform noise was added to discrete values; likelihoods are then lower bounds for these.
        lossless: Whether `to_units` brings the source's values back. A binarised view of grey levels is not: its likelihoods
            are of the bits.
        rescales: Whether a log-density of the view differs from one in the data's own units (see `log_abs_det`).
        levels: How many values an entry takes on the lattice of `to_units`, where there are finitely many; bits per
            dimension mean something then. None otherwise.
        unit: What the values of `to_units` are, a phrase.
        is_image: Whether events are pictures.

    Example:
        >>> from probgen.data import as_source
        >>> view = as_source("moons").view("real")
        >>> batch = view.split("train").batch(torch.arange(3))
        >>> batch.x.shape, view.log_abs_det(batch.x).shape
        (torch.Size([3, 2]), torch.Size([3]))
    """

    def __init__(self, source: Source, name: str, lens: Lens, *, context: str | None = None) -> None:
        self.source = source
        self.name = name
        self.event_shape = source.event_shape
        self.context_shape = None if context is None else torch.Size([source.num_labels or 0])
        self.support: Constraint = lens.support
        self.random = lens.random
        self.dequantised = lens.dequantised
        self.lossless = lens.lossless
        self.rescales = lens.rescales
        self.is_image = source.is_image
        self.unit = source.unit if lens.lossless else "bits"
        self.levels = 2 if not lens.lossless or source.kind == "binary" else source.levels
        self._lens = lens
        self._splits: dict[str, Split] = {}  # each prepared once: that copies the values of some views

    @property
    def columns(self) -> tuple[str, ...]:
        """A name for each entry of an event; see `Source.columns`. `x0`, `x1`, … where entries have none."""
        return tuple(self.source.columns) or tuple(f"x{entry}" for entry in range(self.event_shape.numel()))

    @property
    def header(self) -> tuple[str, ...]:
        """A heading for each entry of an event; see `Source.header`."""
        return self.source.header

    @property
    def split_names(self) -> tuple[str, ...]:
        """The splits that there are, among `train`, `valid` and `test`."""
        return tuple(self.source.splits)

    def of(self, source: Source) -> View:
        """Return other data seen in this very way: with the scales that were taken from these, not with scales of their own.

        Raises:
            ShapeError: the events have another shape.
            DataError: a value or a label is of another kind than those of these data, or labels are missing.
        """
        other = alike(source, self.source)
        if self.context_shape is not None and not other.labels:
            raise DataError(
                f"View.of: expected labels in {other.name}, as in {self.source.name}; got data without labels. "
                "Name the label column (label=…)."
            )
        return View(other, self.name, self._lens, context=None if self.context_shape is None else "label")

    def split(self, name: str) -> Split:
        """Return the examples of one split: `train`, `valid` or `test`.

        Noise of a training split is renewed with the epoch; the other splits stay as they are in epoch 0, so that a score on
        them always means the same.

        Raises:
            DataError: the data have no such split.
        """
        if name not in self.source.splits:
            raise DataError(
                f"View.split: expected a split of {self.source.name} ({', '.join(self.split_names)}); got {name!r}. "
                f"{suggest(name, self.split_names)}"
            )
        if name not in self._splits:
            labels = self.source.labels[name] if self.context_shape is not None else None
            values = self.source.splits[name]
            self._splits[name] = Split(name, values, self._lens, labels=labels, num_labels=self.source.num_labels)
        return self._splits[name]

    def to_units(self, x: Tensor) -> Tensor:
        """Return events of the view in the data's own units and on their lattice, as floating point.

        It undoes the view where that is `lossless`: levels are whole numbers again, standardised columns are in their own
        units. Events that lie outside the lattice (a model's samples may) go to the nearest value.

        Shapes:
            `(..., *event_shape) -> (..., *event_shape)`.
        """
        return self.frame.to_units(x)

    def log_abs_det(self, x: Tensor) -> Tensor:
        r"""Return $\log|\det \partial v / \partial x|$ at events $v$ of the view, one number per event.

        Add it to a log-density of the view to have one in the data's own units. It is zero where values are not rescaled.

        Shapes:
            `(..., *event_shape) -> (...)`.
        """
        batch_shape_of(x, self.event_shape, "View.log_abs_det", "x")
        return self._lens.log_abs_det(x, len(self.event_shape))

    def display(self, x: Tensor) -> Tensor:
        """Return events of the view, or a model's expectation of them, as pictures with intensities in [0, 1].

        Binary views show probabilities as grey. Real-valued pictures span the range of the training data.

        Raises:
            ShapeError: events are no pictures.
        """
        return self.frame.display(x)

    @functools.cached_property
    def frame(self) -> Frame:
        """What stays of the view without the data: how a model's draws are brought back to the data's own units."""
        return Frame(
            source=self.source.name,
            view=self.name,
            kind=self.source.kind,
            event_shape=self.event_shape,
            levels=self.levels,
            header=self.header,
            is_image=self.is_image,
            label_names=tuple(self.source.label_names),
            num_labels=None if self.context_shape is None else self.source.num_labels,
            display_range=self._display_range() if self.is_image else None,
            lens=self._lens,
        )

    def describe(self) -> str:
        """Return one line that says which view of which data a run takes.

        Example:
            >>> from probgen.data import as_source
            >>> as_source("bars-and-stripes").view("binary").describe()
            "view 'binary' of bars-and-stripes: 30 train / 30 valid / 30 test events (1, 4, 4), as they are; support binary"
        """
        sizes = " / ".join(f"{len(values)} {name}" for name, values in self.source.splits.items())
        context = "" if self.context_shape is None else f"; context {tuple(self.context_shape)}, one-hot labels"
        return (
            f"view {self.name!r} of {self.source.name}: {sizes} events {tuple(self.event_shape)}, {self._lens.summary}; "
            f"support {support_name(self.support)}{context}"
        )

    def __repr__(self) -> str:
        return f"View({self.describe()})"

    def _display_range(self) -> tuple[float, float]:
        if self.levels is not None:
            return 0.0, self.levels - 1.0
        train = self.source.splits["train"]
        low, high = float(train.min()), float(train.max())
        return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)

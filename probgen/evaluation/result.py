"""What an evaluation returns: its metrics, and what they were computed on."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from probgen.errors import DataError, UnknownNameError, suggest
from probgen.evaluation.metric import Metric
from probgen.files import read_json, write_json

__all__ = ["Evaluation"]


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """The metrics of one model on one split of one view of some data.

    Args:
        metrics: The numbers, in the order in which they were computed.
        model: The model's registered name, or its class.
        data: The source's name.
        view: The view's name.
        split: Which split was held out: `"test"`.
        seed: Where all randomness came from; the same seed gives the same numbers.
        seconds: How long it took.
        notes: What was not measured, and why.

    Example:
        >>> result = Evaluation((Metric("elbo", -2.0, "lower bound", "nats", 0.1, 50),), "m", "d", "real", "test", 0, 1.0)
        >>> result["elbo"].value
        -2.0
        >>> print(result.table())
        name   value        unit  kind         n
        elbo  -2.00 ± 0.10  nats  lower bound  50
    """

    metrics: tuple[Metric, ...]
    model: str
    data: str
    view: str
    split: str
    seed: int
    seconds: float
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Metric:
        """Return the metric called `name`.

        Raises:
            UnknownNameError: there is none; the message lists or suggests names.
        """
        for metric in self.metrics:
            if metric.name == name:
                return metric
        raise UnknownNameError(f"Evaluation: expected a metric's name; got {name!r}. {suggest(name, self.names)}")

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __iter__(self) -> Iterator[Metric]:
        return iter(self.metrics)

    def __len__(self) -> int:
        return len(self.metrics)

    def __str__(self) -> str:
        return self.table()

    @property
    def names(self) -> tuple[str, ...]:
        """The metrics' names, in order."""
        return tuple(metric.name for metric in self.metrics)

    def table(self) -> str:
        """Return the metrics as lines of aligned text, then what has to be said about them."""
        rows = [("name", " value", "unit", "kind", "n"), *map(_cells, self.metrics)]
        said = [f"{metric.name}: {metric.note}." for metric in self.metrics if metric.note]
        notes = [*said, *(f"{note}." for note in self.notes)]
        return "\n".join([*_aligned(rows), *(["", *notes] if notes else [])])

    def to_json(self) -> dict[str, Any]:
        """Return the evaluation as JSON values; `metrics` is a list of objects with the fields of `Metric`."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {**fields, "metrics": [metric.to_json() for metric in self.metrics], "notes": list(self.notes)}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Evaluation:
        """Return the evaluation that `to_json` wrote."""
        metrics = tuple(map(Metric.from_json, fields["metrics"]))
        return cls(**{**fields, "metrics": metrics, "notes": tuple(fields["notes"])})

    def save(self, path: str | PathLike[str]) -> None:
        """Write the evaluation as JSON, atomically: after a crash the file is the old one or the new one, never a half.

        Raises:
            OSError: the folder does not exist or cannot be written, or the disk is full.
        """
        write_json(Path(path), self.to_json())

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Evaluation:
        """Return the evaluation that `save` wrote.

        Raises:
            DataError: the file holds something else.
        """
        try:
            return cls.from_json(read_json(Path(path)))
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(
                f"Evaluation.load: expected the JSON of an evaluation in {path}; got {error}. Evaluate the model again."
            ) from error


def _cells(metric: Metric) -> tuple[str, ...]:
    return metric.name, _number(metric), metric.unit, metric.kind, str(metric.n)


def _number(metric: Metric) -> str:
    """Return the value with its error, both to the error's second digit."""
    if not metric.stderr:
        return f"{metric.value: .4g}"
    decimals = max(0, 1 - _exponent(metric.stderr))
    return f"{metric.value: .{decimals}f} ± {metric.stderr:.{decimals}f}"


def _exponent(number: float) -> int:
    return int(f"{number:e}".rpartition("e")[2])


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]

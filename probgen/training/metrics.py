"""The metrics of a run: tidy rows, kept in memory and appended to a CSV file."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
from collections.abc import Iterable
from pathlib import Path

from probgen.errors import RunError
from probgen.files import write_atomically

__all__ = ["MetricRow", "MetricsLog", "read_metrics"]


@dataclasses.dataclass(frozen=True)
class MetricRow:
    """One number at one point of training.

    Args:
        stage: Name of the recipe's stage.
        step: How many steps of the stage were done.
        epoch: How many passes through the training data that is, with fractions.
        split: `train` or `valid`.
        phase: Name of the estimator's phase, or `step` for what belongs to the step as a whole.
        name: What was measured: `value`, `loss`, `gradient_norm`, `learning_rate`, `examples_per_second`, …
        value: The number; a mean over the steps since the row before, for `value` and `loss`.
    """

    stage: str
    step: int
    epoch: float
    split: str
    phase: str
    name: str
    value: float


_COLUMNS = [field.name for field in dataclasses.fields(MetricRow)]


class MetricsLog:
    """Every row of a run, and the CSV file that holds them; without a path, memory only.

    A row is on disk as soon as `append` returns. On resume, `rewind` drops the rows that lie after the checkpoint.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.rows: list[MetricRow] = []

    def append(self, rows: Iterable[MetricRow]) -> None:
        """Add rows, in memory and to the file."""
        new = list(rows)
        self.rows += new
        if self.path is None or not new:
            return
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        if not self.path.exists():
            writer.writerow(_COLUMNS)
        writer.writerows(dataclasses.astuple(row) for row in new)
        try:
            with self.path.open("a", encoding="utf-8", newline="") as file:
                file.write(text.getvalue())
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise RunError(
                f"fit: expected to write {self.path}; got {error.strerror or error}. Make room or set permissions, then "
                "resume: checkpoints are untouched."
            ) from error

    def rewind(self, stages: list[str], stage: int, step: int) -> None:
        """Keep the rows up to `step` of the stage number `stage`; a line cut short by a crash goes as well."""
        if self.path is None or not self.path.exists():
            return
        order = {name: number for number, name in enumerate(stages)}
        read = _read(self.path)
        self.rows = [row for row in read if (order.get(row.stage, len(stages)), row.step) <= (stage, step)]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(_COLUMNS)
        writer.writerows(dataclasses.astuple(row) for row in self.rows)
        write_atomically(self.path, text.getvalue())


def _read(path: Path) -> list[MetricRow]:
    rows = []
    complete = path.read_text(encoding="utf-8").rpartition("\n")[0]
    for cells in csv.DictReader(io.StringIO(complete)):
        rows.append(
            MetricRow(
                stage=cells["stage"],
                step=int(cells["step"]),
                epoch=float(cells["epoch"]),
                split=cells["split"],
                phase=cells["phase"],
                name=cells["name"],
                value=float(cells["value"]),
            )
        )
    return rows


def read_metrics(path: Path) -> list[MetricRow]:
    """Return the rows of a run's `metrics.csv`; none when the file is not there."""
    return _read(path) if path.exists() else []

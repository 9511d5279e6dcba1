"""A finished run, opened: its model, and the view of the data that it was trained on."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from probgen.cli.config import RunConfig
from probgen.cli.running import FRAME, source_of, view_of
from probgen.cli.settings import reading_options
from probgen.data import Frame, View, as_source
from probgen.errors import DataError
from probgen.files import read_json
from probgen.plugin import parse_assignments, registry
from probgen.training import load

__all__ = ["OpenedRun", "open_frame", "open_run"]


@dataclasses.dataclass(frozen=True, eq=False)
class OpenedRun:
    """A finished run.

    Args:
        config: What the run was told.
        model: Its model, in evaluation mode.
        view: The data as it saw them.
    """

    config: RunConfig
    model: Any
    view: View

    def view_of(self, data: str | None, options: Sequence[str] = ()) -> View:
        """Return `data` as the model sees data: through the run's view, with the scales of its training data.

        Args:
            data: A name or a path; None for the run's own data.
            options: How to read them, as `key=value`. Files are read like the run's own where nothing is said.

        Raises:
            DataError: the data cannot be read, or are not of the run's kind and shape.
        """
        if data is None:
            return self.view
        known = registry().datasets
        alike = data == self.config.data or not {data, self.config.data} & known.keys()
        if options or not alike:
            return self.view.of(as_source(data, **reading_options(data, parse_assignments(options))))
        return self.view.of(as_source(data, **self.config.data_options))


def open_run(folder: Path) -> OpenedRun:
    """Open the finished run in `folder`.

    Raises:
        CheckpointError: there is no run, or it is not finished.
        DataError: its data are not where they were, or not what they were.
    """
    config = RunConfig.read(folder)
    model = load(folder)
    return OpenedRun(config, model, view_of(source_of(config, folder), model, config))


def open_frame(folder: Path) -> tuple[Any, Frame]:
    """Return the model of the finished run in `folder`, and how it saw its data, which need not be there any more.

    Raises:
        CheckpointError: there is no run, or it is not finished.
        DataError: the note of how it saw its data was altered; or there is none, as in older runs, and the data are gone.
    """
    RunConfig.read(folder)
    path = folder / FRAME
    if not path.exists():
        opened = open_run(folder)
        return opened.model, opened.view.frame
    model = load(folder)
    try:
        return model, Frame.from_json(read_json(path))
    except ValueError as error:  # JSON that is none; DataError is one
        raise DataError(
            f"probgen: expected how the run saw its data in {path}; got {error}. Restore it from a copy."
        ) from error

"""The progress bar of a run; silent when nobody watches."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Self

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

__all__ = ["ProgressBar"]


class ProgressBar:
    """Shows the stage, the step, loss, value and speed on a terminal.

    Args:
        enabled: Whether to show anything; None to show it where standard error is a terminal.
    """

    def __init__(self, *, enabled: bool | None = None) -> None:
        shown = sys.stderr.isatty() if enabled is None else enabled
        self._progress = None
        if shown:
            from rich.console import Console

            self._progress = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=24),
                MofNCompleteColumn(),
                TextColumn("{task.fields[numbers]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
                transient=True,
            )
        self._task: TaskID | None = None

    def __enter__(self) -> Self:
        if self._progress is not None:
            self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._progress is not None:
            self._progress.stop()

    def begin(self, stage: str, *, done: int, total: int) -> None:
        """Start the bar of a stage."""
        if self._progress is None:
            return
        if self._task is not None:
            self._progress.remove_task(self._task)
        self._task = self._progress.add_task(stage, total=total, completed=done, numbers="")

    def say(self, line: str) -> None:
        """Print a line above the bar."""
        if self._progress is not None:
            self._progress.console.print(line, style="dim", markup=False, highlight=False)

    def show(self, *, done: int, numbers: dict[str, float]) -> None:
        """Move the bar, and show `numbers` beside it."""
        if self._progress is not None and self._task is not None:
            text = "  ".join(f"{name} {value:,.4g}" for name, value in numbers.items())
            self._progress.update(self._task, completed=done, numbers=text)

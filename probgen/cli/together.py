"""Training several described runs, each in a process of its own, a few at a time."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from probgen.cli import console
from probgen.cli.config import usable_cores
from probgen.errors import InterruptedRunError
from probgen.report.numbers import duration
from probgen.training.signals import StopRequest, caught_signals

__all__ = ["PlannedRun", "train_together"]

_PAUSE = 0.1
"""Seconds between looks at the processes."""


@dataclasses.dataclass(frozen=True)
class PlannedRun:
    """A described run and where it goes.

    Args:
        description: The TOML file.
        folder: The run folder.
        begun: Whether the run is in its folder already, and is gone on with.
    """

    description: Path
    folder: Path
    begun: bool = False

    @property
    def log(self) -> Path:
        """Where what the run says is kept while it trains, and after it failed."""
        return self.folder.with_name(f"{self.folder.name}.log")


@dataclasses.dataclass(frozen=True, eq=False)
class _Training:
    """A run under way."""

    plan: PlannedRun
    process: subprocess.Popen[bytes]
    started: float


def train_together(plans: Sequence[PlannedRun], *, jobs: int) -> list[PlannedRun]:
    """Train every run and return those that finished, in the order given; one that fails is reported and stops no other.

    Each is `probgen train` in a process of its own, so that nothing of one can spoil another. The cores are shared out
    between those that train at a time; a description that says how many threads it takes is heeded.

    Args:
        plans: The runs.
        jobs: How many train at a time.

    Raises:
        InterruptedRunError: a signal asked to stop. The processes were asked too, and what they began can be resumed.
    """
    waiting, finished = list(reversed(plans)), []
    running: list[_Training] = []
    with caught_signals(enabled=True) as request, _stopped_in_the_end(running):
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(_start(waiting.pop(), threads=max(1, usable_cores() // jobs)))
            for training in [each for each in running if each.process.poll() is not None]:
                running.remove(training)
                if _succeeded(training):
                    finished.append(training.plan)
            _heed(request, running)
            time.sleep(_PAUSE)
    return [plan for plan in plans if plan in finished]


def _start(plan: PlannedRun, *, threads: int) -> _Training:
    console.note(f"{'going on with' if plan.begun else 'training'} {plan.folder.name}")
    new = ["--config", str(plan.description), "--run-dir", str(plan.folder)]
    words = ["train", *(["--resume", str(plan.folder)] if plan.begun else new)]
    with plan.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "probgen", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={"OMP_NUM_THREADS": str(threads), **os.environ},
            start_new_session=True,  # so that Ctrl-C comes to this process alone, which passes it on once
        )
    return _Training(plan, process, time.monotonic())


def _succeeded(training: _Training) -> bool:
    """Say how a run ended. What it said itself is kept where it failed."""
    plan, code = training.plan, training.process.returncode
    if code == 0:
        plan.log.unlink()
        console.note(f"finished {plan.folder.name} after {duration(time.monotonic() - training.started)}")
        return True
    said = plan.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    console.complain(f"{plan.folder.name} ended with exit code {code} ({plan.log}): {said[-1] if said else 'no message'}")
    return False


@contextmanager
def _stopped_in_the_end(running: list[_Training]) -> Iterator[None]:
    """Ask the processes that still run when the block ends to stop, and wait until each has saved its run."""
    try:
        yield
    finally:
        for training in running:
            training.process.terminate()
        for training in running:
            training.process.wait()
            training.plan.log.unlink()


def _heed(request: StopRequest, running: Sequence[_Training]) -> None:
    if request.signal_number:
        begun = " and ".join(str(each.plan.folder) for each in running) or "nothing"
        raise InterruptedRunError(
            f"gallery: stopped by signal {request.signal_number}; what was under way is saved: {begun}.",
            signal_number=request.signal_number,
        )

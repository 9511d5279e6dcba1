"""The training loop: stages in order, with metrics, validation, checkpoints and polite stops."""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from probgen.data import View
from probgen.errors import CheckpointError, InterruptedRunError, NonFiniteError
from probgen.estimator import Estimator
from probgen.streams import preserved_streams
from probgen.training.checkpoint import Checkpoint, read_latest, write_checkpoint
from probgen.training.metrics import MetricRow, MetricsLog
from probgen.training.progress import ProgressBar
from probgen.training.recipe import Stage
from probgen.training.selection import Selection
from probgen.training.settings import Settings
from probgen.training.signals import StopRequest
from probgen.training.stage_run import StageRun, by_owner, load_weights
from probgen.training.world import World

__all__ = ["Loop", "TrainingEvent"]


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingEvent:
    """What a callback is told.

    Args:
        kind: `log`, `validation`, `checkpoint` or `stage-end`.
        stage: Name of the stage.
        step: Steps of the stage that are done.
        total_steps: Steps that the stage has.
        metrics: Rows that were just measured.
        model: The model, to look at and not to change.
    """

    kind: str
    stage: str
    step: int
    total_steps: int
    metrics: Sequence[MetricRow]
    model: Any


class Loop:
    """Takes a model through stages. `fit` makes one and calls `run`.

    Args:
        model: What is trained, on its device.
        stages: What to do, with the run's overrides applied.
        views: The view of the data for each stage.
        settings: The run's settings.
        device: Where to compute.
        world: The processes that train together.
        folder: The run folder, or None to keep everything in memory.
        stop: Whether a signal asked to stop.
        bar: The progress bar.
        callbacks: Called at each event; their use of randomness does not reach the run.
    """

    def __init__(
        self,
        model: Any,
        stages: Sequence[Stage],
        views: Sequence[View],
        settings: Settings,
        *,
        device: torch.device,
        world: World,
        folder: Path | None,
        stop: StopRequest,
        bar: ProgressBar,
        callbacks: Sequence[Callable[[TrainingEvent], None]],
    ) -> None:
        self.model = model
        self._stages = stages
        self._views = views
        self._settings = settings
        self._device = device
        self._world = world
        self._folder = folder
        self._stop = stop
        self._bar = bar
        self._callbacks = callbacks
        self._resumed: Checkpoint | None = None
        self._spent = 0.0
        self._begun = time.perf_counter()
        self._last_log = (0, self._begun)
        self.metrics = MetricsLog(folder / "metrics.csv" if folder is not None and world.leads else None)
        self.steps: dict[str, int] = {}
        self._finished: list[StageRun] = []
        self._saved = (-1, -1)

    @property
    def seconds(self) -> float:
        """How long training has taken, earlier processes of the run counted in."""
        return self._spent + time.perf_counter() - self._begun

    def resume(self, folder: Path) -> bool:
        """Find the newest checkpoint to continue from; return whether there is one.

        Raises:
            CheckpointError: it is damaged, or was made with other settings.
        """
        checkpoint = read_latest(folder / "checkpoints")
        names = [stage.name for stage in self._stages]
        if checkpoint is None:
            self.metrics.rewind(names, 0, -1)
            return False
        mine, its = self._fingerprint(), checkpoint.values.get("fingerprint", {})
        for name, value in mine.items():
            if its.get(name) != value:
                raise CheckpointError(
                    f"fit: expected a checkpoint made with {name} {value!r}; got one made with {its.get(name)!r}. "
                    "Resume with the same options, or start a new run."
                )
        self.metrics.rewind(names, checkpoint.stage, checkpoint.step)
        self._spent = checkpoint.values["seconds"]
        self._resumed = checkpoint
        return True

    def run(self) -> None:
        """Run every stage from where the run stands to its end."""
        for number, (stage, view) in enumerate(zip(self._stages, self._views, strict=True)):
            position = (self._resumed.stage, self._resumed.step) if self._resumed is not None else (0, 0)
            if position == (number, 0):
                self._load_model()
            run = StageRun(self.model, stage, view, self._settings, device=self._device, world=self._world)
            if self._resumed is not None and number < position[0]:
                run.restore_learned(self._resumed.tensors)
                self._finished.append(run)
                continue  # made for what its initialisation adds to the model, and for what its estimator has learned
            selection = Selection(run, self._settings.patience) if self._settings.patience is not None else None
            start = 0
            if self._resumed is not None and position[0] == number and position[1] > 0:
                start = position[1]
                run.restore(self._resumed.tensors)
                run.restore_execution(self._resumed.values.get("execution", {}))
                if selection is not None:
                    selection.restore(self._resumed.tensors, self._resumed.values.get("selection", {}))
            self._run_stage(number, run, selection, start)
        if self._resumed is not None and self._resumed.stage == len(self._stages):
            self._load_model()
        if isinstance(self.model, nn.Module):
            self.model.eval()

    # ------------------------------------------------------------------------------------------------------ one stage

    def _run_stage(self, number: int, run: StageRun, selection: Selection | None, start: int) -> None:
        validate_every, log_every, checkpoint_every = self._intervals(run)
        self._bar.begin(run.stage.name, done=start, total=run.total_steps)
        self._last_log = (start, time.perf_counter())
        run.set_training(training=True)
        done, ended = start, selection is not None and selection.exhausted
        while done < run.total_steps and not ended:
            with _validation(enabled=done == start):
                self._step(run, done)
            if done == start:
                self._bar.say(run.execution_in_words())
            done += 1
            last = done == run.total_steps
            if done == 1 or done % log_every == 0 or done % checkpoint_every == 0 or last:  # 1: where training began
                self._log(run, done)
            if run.has_validation and (done % validate_every == 0 or last):
                ended = bool(self._world.agree(self._validate(run, selection, done), self._device))
            if done % checkpoint_every == 0 and not last:
                self._save(number, run, selection, done)
            if not last and not ended:
                self._stop_if_asked(number, run, selection, done)
        self._end_stage(number, run, selection, done)

    def _end_stage(self, number: int, run: StageRun, selection: Selection | None, done: int) -> None:
        raw = run.raw_tensors()
        if run.average is not None:
            run.average.apply()
        if selection is not None:
            selection.apply()
        run.set_training(training=False)
        self.steps[run.stage.name] = done
        self._finished.append(run)
        self._save(number + 1, None, None, 0, extra=raw)
        self._tell("stage-end", run, done, [])
        self.stop_if_asked(f"after stage {run.stage.name!r}")

    def _step(self, run: StageRun, done: int) -> None:
        try:
            run.step(done)
        except NonFiniteError as error:
            raise self._located(error, run) from error

    def _intervals(self, run: StageRun) -> tuple[int, int, int]:
        """Return how many steps lie between validations, rows of metrics, and checkpoints."""
        epoch = max(1, round(run.batches_per_epoch / run.draws_per_step))
        spread = max(1, run.total_steps // 40)
        validate = self._settings.validate_every or max(epoch, spread)
        log = self._settings.log_every or max(1, min(100, run.total_steps // 100))
        return validate, log, self._settings.checkpoint_every or max(epoch, spread)

    def _log(self, run: StageRun, done: int) -> None:
        self._require_finite(run)
        now = time.perf_counter()
        before, then = self._last_log
        speed = (done - before) * run.examples_per_step / max(now - then, 1e-9)
        self._last_log = (done, now)
        rows = [
            self._row(run, done, "train", phase_run.phase.name, name, value)
            for phase_run in run.phase_runs
            for name, value in phase_run.read_metrics().items()
        ]
        rows.append(self._row(run, done, "train", "step", "examples_per_second", speed))
        self.metrics.append(rows)
        first = {row.name: row.value for row in rows if row.phase == run.phase_runs[0].phase.name}
        shown = {name: first[name] for name in ("loss", "value") if name in first} | {"examples/s": speed}
        self._bar.show(done=done, numbers=shown)
        self._tell("log", run, done, rows)

    def _validate(self, run: StageRun, selection: Selection | None, done: int) -> bool:
        self._require_finite(run)
        validation = run.validate()
        rows = [self._row(run, done, "valid", *key, value) for key, value in validation.items()]
        self.metrics.append(rows)
        self._tell("validation", run, done, rows)
        return selection is not None and selection.consider(validation, done)

    def _row(self, run: StageRun, done: int, split: str, phase: str, name: str, value: float) -> MetricRow:
        return MetricRow(run.stage.name, done, round(run.epochs_after(done), 6), split, phase, name, value)

    def _tell(self, kind: str, run: StageRun, done: int, rows: Sequence[MetricRow]) -> None:
        if self._callbacks:
            event = TrainingEvent(kind, run.stage.name, done, run.total_steps, rows, self.model)
            with preserved_streams():
                for callback in self._callbacks:
                    callback(event)

    # ---------------------------------------------------------------------------------------------- stopping, saving

    def _require_finite(self, run: StageRun) -> None:
        try:
            run.require_finite()
        except NonFiniteError as error:
            raise self._located(error, run) from error

    def _located(self, error: NonFiniteError, run: StageRun) -> NonFiniteError:
        """Add the stage, and the checkpoint that is still good, to a message."""
        kept = None if self._folder is None else self._folder / "checkpoints"
        latest = None if kept is None else max((path.name for path in kept.glob("stage-*")), default=None)
        good = f"the last good checkpoint is {kept}/{latest}" if latest else "there is no checkpoint yet"
        return NonFiniteError(f"{error} Stage {run.stage.name!r}; {good}. Lower the learning rate, or clip the gradient.")

    def _stop_if_asked(self, number: int, run: StageRun, selection: Selection | None, done: int) -> None:
        """Save the stage under way and raise, if a signal came to any of the processes."""
        self._stop.signal_number = self._world.agree(self._stop.signal_number, self._device)
        if not self._stop.signal_number:
            return
        if self._last_log[0] != done:
            self._log(run, done)
        self._save(number, run, selection, done)
        self.stop_if_asked(f"after step {done} of {run.total_steps} of stage {run.stage.name!r}")

    def stop_if_asked(self, where: str) -> None:
        """Raise `InterruptedRunError` if a signal came; everything must be saved by then."""
        if self._stop.signal_number:
            raise InterruptedRunError(
                f"fit: stopped by signal {self._stop.signal_number} {where}; everything is saved. Resume to go on.",
                signal_number=self._stop.signal_number,
            )

    def _save(
        self,
        stage: int,
        run: StageRun | None,
        selection: Selection | None,
        step: int,
        extra: Mapping[str, Tensor] = MappingProxyType({}),
    ) -> None:
        """Write a checkpoint of a stage under way, or, without a run, of the model at a stage's beginning."""
        if self._folder is None or not self._world.leads or self._saved == (stage, step):
            return
        self._saved = (stage, step)
        values: dict[str, Any] = {"fingerprint": self._fingerprint(), "seconds": self.seconds}
        if run is None:
            state = self.model.state_dict() if isinstance(self.model, nn.Module) else {}
            tensors = {f"model.{name}": tensor for name, tensor in state.items()}
        else:
            self._require_finite(run)
            tensors = run.tensors()
            values["execution"] = run.execution_history()
        for finished in self._finished:
            tensors |= finished.learned_tensors()
        tensors |= extra
        if selection is not None:
            tensors |= selection.tensors()
            values["selection"] = selection.values()
        write_checkpoint(self._folder / "checkpoints", Checkpoint(stage, step, tensors, values))
        if run is not None:
            self._tell("checkpoint", run, step, [])

    def _load_model(self) -> None:
        if self._resumed is None or not isinstance(self.model, nn.Module):
            return
        load_weights(self.model, by_owner(self._resumed.tensors).get("model", {}))

    def _fingerprint(self) -> Mapping[str, Any]:
        """Return what must be the same for a run to go on exactly."""
        return {
            "model": type(self.model).__name__,
            "stages": [stage.name for stage in self._stages],
            "estimators": [type(stage.estimator).__name__ for stage in self._stages],
            "steps": [stage.steps for stage in self._stages],
            "epochs": [None if stage.steps else stage.epochs for stage in self._stages],
            "batch sizes": [stage.batch_size for stage in self._stages],
            "estimator options": [_plain_options(stage.estimator) for stage in self._stages],
            "trained parameters": [list(stage.train) for stage in self._stages],
            "optimisers": [str(dict(stage.optimizers)) for stage in self._stages],
            "views": [view.name for view in self._views],
            "training examples": [len(view.split("train")) for view in self._views],
            "data": [_first_examples(view) for view in self._views],
            "processes": self._world.size,
            "seed": self._settings.seed,
            "ema": self._settings.ema,
            "patience": self._settings.patience,
            "validate every": self._settings.validate_every,
            "precision": self._settings.precision,
            "execution": self._settings.execution,
        }


def _plain_options(estimator: Estimator) -> dict[str, Any]:
    """Return an estimator's options that are plain values."""
    return {name: value for name, value in vars(estimator).items() if isinstance(value, bool | int | float | str)}


def _first_examples(view: View) -> str:
    """Return a checksum of the first training examples, to tell other data of the same size."""
    split = view.split("train")
    x = split.batch(torch.arange(min(16, len(split)))).x
    return hashlib.blake2b(x.contiguous().numpy().tobytes(), digest_size=8).hexdigest()


@contextmanager
def _validation(*, enabled: bool) -> Iterator[None]:
    """Let distributions check their arguments in the first step of a stage only: they would do it in every one."""
    before = Distribution._validate_args
    if not enabled:
        Distribution.set_default_validate_args(value=False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(value=before)

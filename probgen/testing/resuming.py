"""Does a run that was killed and resumed end as the run that nobody stopped?"""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise, zip_longest
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from probgen.data import Source, as_source
from probgen.errors import ConfigurationError
from probgen.plugin import build, build_estimator
from probgen.streams import seeded_streams
from probgen.testing.report import NonConformance
from probgen.training import TrainingEvent, fit, read_metrics
from probgen.training.checkpoint import read_latest

__all__ = ["assert_resumes"]

_TRAINING = MappingProxyType(
    {
        "steps": 12,
        "batch_size": 32,
        "ema": 0.9,
        "schedule": "cosine",
        "checkpoint_every": 4,
        "validate_every": 5,
        "device": "cpu",
    }
)
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # on Windows, SIGTERM from `os.kill` is as unannounced
_PRELOADED = ["probgen.testing.resuming", "probgen.pyro_bridge.programs", "sklearn.datasets", "torch._dynamo"]
"""What takes seconds to import and any run may need; torch's optimisers ask for the last."""


def assert_resumes(
    name: str,
    data: str | Path,
    *,
    options: Mapping[str, Any] = _NOTHING,
    data_options: Mapping[str, Any] = _NOTHING,
    view: str | None = None,
    context: str | None = None,
    estimator: str | None = None,
    estimator_options: Mapping[str, Any] = _NOTHING,
    kills: Sequence[int] = (7,),
    **training: Any,
) -> None:
    r"""Assert that a model's run, killed after given steps and resumed each time, ends as the run that nobody stopped.

    Let $\theta_t$ be all that a run holds after step $t$ of $T$: weights, their average, what the estimator has learned. Let
    $\theta_t'$ be the same of a run that is killed after steps $k_1 \le k_2 \le \dots$ and goes on from its newest
    checkpoint each time. Then, bit for bit,

    $$\theta_T' = \theta_T, \qquad \ell_t' = \ell_t \quad (t = 1, \dots, T)$$

    where $\ell_t$ are the metrics of step $t$, its loss and gradient norm among them. It fails where a step changes
    something that no checkpoint holds: an attribute of the model, a moving average that is no buffer, chains that the
    estimator keeps to itself.

    Each kill is SIGKILL, in a process of its own that trains up to that step. The last part of the run goes on in the
    calling process, where the whole run is made as well.

    Args:
        name: A registered model.
        data: The name of a data set, or a path.
        options: Options of the model. Keep it small: the run is made twice.
        data_options: Options of the data.
        view: The view of the data by name; None for the model's choice.
        context: What to condition on (`"label"`).
        estimator: A registered estimator instead of the recipe's.
        estimator_options: Its options.
        kills: The steps after which the run is killed, in ascending order, counted over all stages. Where a checkpoint is
            due at that step, the kill comes first.
        training: Settings for `probgen.fit`. Unless they say otherwise: 12 steps of 32 examples on the processor, with an
            average of the weights, a schedule, a checkpoint every 4 steps and a validation every 5. Every step is logged.

    Raises:
        NonConformance: the two runs end differently, or a part of the run died of something else than the kill.
        ConfigurationError: the kills are not in ascending order, or not before the end of the run.
        ProbgenError: the run itself cannot be made; see `probgen.build` and `probgen.fit`.

    Example:
        In a test of a plugin:

        ```python
        from probgen.testing import assert_resumes

        def test_killed_and_resumed():
            assert_resumes("acme/rocket", "moons", data_options={"n": 200}, options={"hidden": (8,)}, kills=[3, 7])
        ```
    """
    _check(kills)
    chosen = None if estimator is None else (estimator, dict(estimator_options))
    usual = {name: value for name, value in _TRAINING.items() if name != "steps" or "epochs" not in training}
    settings = {**usual, **training, "log_every": 1}
    run = _Run(name, str(data), dict(data_options), dict(options), view, context, chosen, settings)
    with TemporaryDirectory() as folder:
        whole, killed = Path(folder, "whole"), Path(folder, "killed")
        run.train(whole)
        for step in kills:
            _train_until(step, run, killed)
        run.train(killed)
        _compare(killed, whole, f"{name}, killed after step {', '.join(map(str, kills))} and resumed,")


@dataclasses.dataclass(frozen=True)
class _Run:
    """All that describes a run, as plain values that another process can be given."""

    name: str
    data: str
    data_options: Mapping[str, Any]
    options: Mapping[str, Any]
    view: str | None
    context: str | None
    estimator: tuple[str, Mapping[str, Any]] | None
    training: Mapping[str, Any]

    def train(self, folder: Path, callbacks: Sequence[Callable[[TrainingEvent], None]] = ()) -> None:
        """Train to the end in `folder`, from its newest checkpoint if there is one."""
        source: Source = as_source(self.data, **self.data_options)
        with seeded_streams(self.training.get("seed", 0), "initialise"):
            model = build(self.name, source, view=self.view, context=self.context, **self.options)
        estimator = None if self.estimator is None else build_estimator(self.estimator[0], **self.estimator[1])
        fit(
            model,
            source,
            estimator,
            view=self.view,
            context=self.context,
            run_dir=folder,
            resume=True,
            progress=False,
            callbacks=callbacks,
            **self.training,
        )


def _check(kills: Sequence[int]) -> None:
    ascending = all(earlier <= later for earlier, later in pairwise(kills))
    if not kills or kills[0] < 1 or not ascending:
        raise ConfigurationError(
            f"assert_resumes: expected steps to kill after, from 1 on and in ascending order; got {tuple(kills)}. Sort them."
        )


def _train_until(step: int, run: _Run, folder: Path) -> None:
    """Train in another process that is killed once `step` steps of the run are done."""
    # A server that has imported torch forks in a moment; where nothing forks, each process imports it anew.
    context = multiprocessing.get_context("spawn") if os.name == "nt" else multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(_PRELOADED)
    _complaints(folder).touch()
    process = context.Process(target=_train_and_die, args=(run, folder, step, Path.cwd(), torch.get_num_threads()))
    process.start()
    process.join()
    code = process.exitcode
    process.close()
    if code == 0:
        raise ConfigurationError(
            f"assert_resumes: expected kills before the end of the run; got {step}, which the run ended without reaching. "
            "Kill earlier, or train longer."
        )
    if code is None or abs(code) != _KILL:
        said = _complaints(folder).read_text(encoding="utf-8").strip().rpartition("\n")[2] or "and no message"
        raise NonConformance(
            f"assert_resumes: expected the process that trains {run.name} to be killed after step {step}; got exit code "
            f"{code} before that ({said}). The same run succeeds in the calling process: look for what differs."
        )


def _train_and_die(run: _Run, folder: Path, step: int, place: Path, threads: int) -> None:
    os.chdir(place)
    sys.stderr = _complaints(folder).open("w", encoding="utf-8")  # else it would be the server's, which nobody reads
    torch.set_num_threads(threads)

    def die(event: TrainingEvent) -> None:
        if event.kind == "log" and _steps_done(folder) == step:
            os.kill(os.getpid(), _KILL)

    run.train(folder, callbacks=[die])


def _complaints(folder: Path) -> Path:
    """Return the file for what a process that trains in `folder` has to say when it fails."""
    return folder.with_name("complaints.txt")


def _steps_done(folder: Path) -> int:
    """Return how many steps the run in `folder` has logged, over all stages."""
    return len({(row.stage, row.step) for row in read_metrics(folder / "metrics.csv")})


def _compare(killed: Path, whole: Path, who: str) -> None:
    """Raise where the two finished runs differ."""
    mine, its = _tensors(killed), _tensors(whole)
    other = sorted(name for name in mine.keys() | its.keys() if not _same(mine.get(name), its.get(name)))
    step = _first_difference(killed, whole)
    if not other and step is None:
        return
    found = [f"other values of {', '.join(other[:3])}{' and others' * (len(other) > 3)}"] if other else []
    found += [f"other metrics from step {step} on"] if step is not None else []
    raise NonConformance(
        f"assert_resumes: expected {who} to end as the run that nobody stopped; got {', and '.join(found)}. "
        "Keep what a step changes in parameters, in buffers, or in the estimator's state."
    )


def _tensors(folder: Path) -> Mapping[str, Tensor]:
    checkpoint = read_latest(folder / "checkpoints")
    return {} if checkpoint is None else checkpoint.tensors


def _same(one: Tensor | None, other: Tensor | None) -> bool:
    if one is None or other is None or (one.shape, one.dtype) != (other.shape, other.dtype):
        return False
    return torch.equal(one.flatten().view(torch.uint8), other.flatten().view(torch.uint8))  # bits: NaN is itself


def _first_difference(killed: Path, whole: Path) -> int | None:
    """Return the first step whose metrics differ, but for how fast it was; None where all are the same."""
    both = [read_metrics(folder / "metrics.csv") for folder in (killed, whole)]
    mine, its = ([row for row in rows if row.name != "examples_per_second"] for rows in both)
    for row, twin in zip_longest(mine, its):
        if repr(row) != repr(twin):  # by their text, which tells 0 from -0 and takes one NaN for another
            return (row or twin).step
    return None

"""`fit`: one trainer for every model and every estimator."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Never

import torch
from torch import nn

from probgen.data import as_source, matching_view
from probgen.errors import ConfigurationError
from probgen.estimator import Estimator
from probgen.execution import Execution
from probgen.streams import preserved_streams
from probgen.training.loop import Loop, TrainingEvent
from probgen.training.metrics import MetricRow
from probgen.training.planning import planned_recipe
from probgen.training.progress import ProgressBar
from probgen.training.recipe import Recipe
from probgen.training.saving import save
from probgen.training.settings import Settings, refuse_unknown
from probgen.training.signals import caught_signals
from probgen.training.world import joined

__all__ = ["FitResult", "fit"]


@dataclasses.dataclass(frozen=True, eq=False)
class FitResult:
    """A finished run.

    Args:
        model: The trained model, in evaluation mode; with its averaged weights where `ema` was on.
        history: Every row of metrics.
        steps: Steps taken, by stage; a stage that an earlier process finished is left out.
        seconds: How long training took.
        run_dir: The run folder, or None.
    """

    model: Any = dataclasses.field(repr=False)
    history: Sequence[MetricRow] = dataclasses.field(repr=False)
    steps: Mapping[str, int]
    seconds: float
    run_dir: Path | None


def fit(
    model: Any,
    data: Any,
    estimator: Estimator | Mapping[str, Estimator] | None = None,
    *,
    recipe: Recipe | None = None,
    view: str | None = None,
    context: str | None = None,
    steps: int | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    schedule: Literal["constant", "cosine", "linear", "steps"] | None = None,
    clip_norm: float | None = None,
    ema: float | None = None,
    patience: int | None = None,
    validate_every: int | None = None,
    checkpoint_every: int | None = None,
    log_every: int | None = None,
    seed: int = 0,
    device: str = "auto",
    precision: Literal["float32", "bfloat16"] = "float32",
    execution: Execution = "auto",
    run_dir: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    callbacks: Sequence[Callable[[TrainingEvent], None]] = (),
    **unknown: Never,
) -> FitResult:
    r"""Train `model` on `data`.

    Runs the stages of a recipe; each step runs every phase of the stage's estimator once, in order. Randomness is a function
    of `seed` and the step alone, so a run that was killed and resumed with the same number of threads ends with the same
    weights, bit for bit.

    Args:
        model: What to train, in place. Usually a `Model`; any module that the estimator takes.
        data: A source or its name, a path, a tensor, an array or a torch `Dataset`.
        estimator: What estimates the gradient; None for the recipe's. With several stages, estimators by stage name.
        recipe: How to train; None for the one that the model's plugin registers. A model without one is trained in one stage
            by `estimator`, or by the registered one whose value is, or bounds, its log-likelihood.
        view: The view of the data by name; None for the stage's, or the one that the model was built for. A model made by
            hand sees real-valued data in their own units.
        context: What to condition on (`"label"`), for a conditional model.
        steps: Steps in each stage, instead of the recipe's budget. A step runs every phase with its repeats.
        epochs: Passes through the training data in each stage, instead of the recipe's budget.
        batch_size: Examples in a batch, over all processes.
        learning_rate: The optimisers' step size.
        schedule: The learning rate over a stage: `constant`, `cosine`, `linear`, or IWAE's staircase `steps`.
        clip_norm: Largest norm of a phase's gradient.
        ema: Decay of an exponential moving average of the weights, which then validates and is the result.
        patience: Stop a stage after so many validations without improvement, and keep its best weights.
        validate_every: Steps between validations; by default an epoch, or a fortieth of the stage if that is longer.
        checkpoint_every: Steps between checkpoints; by default likewise.
        log_every: Steps between rows of metrics.
        seed: Seed of every stream: data order, renewed views, training noise.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        precision: `bfloat16` for automatic mixed precision; weights stay float32.
        execution: `eager` runs the estimator's Python at every step; `graph` records it once as a graph of tensor operations
            and replays that; `inductor` compiles the graph; `auto` takes `graph` where that is possible and the run is long
            enough for it, 1000 steps, else `eager`.
        run_dir: Folder for metrics, checkpoints and the final weights; None to keep everything in memory. SIGINT and SIGTERM
            then save before they stop the run.
        resume: Whether to go on from the newest checkpoint in `run_dir`, or from the start where there is none yet.
        progress: Whether to show a progress bar; None to show it on a terminal.
        callbacks: Functions of a `TrainingEvent`, called when metrics are logged, validated, or saved.
        unknown: Nothing: other keywords are refused, with the one that was meant.

    Raises:
        CapabilityError: the estimator does not fit the model.
        ConfigurationError: a setting is out of range, or `run_dir` already holds a run.
        DataError: the data do not fit the model.
        StagingError: `execution` is `graph` or `inductor`, and a phase cannot be recorded.
        NonFiniteError: the loss or gradient became infinite or NaN.
        InterruptedRunError: a signal stopped the run, after it had saved itself.
        CheckpointError: the checkpoint to resume from is damaged or belongs to another run.

    Example:
        >>> from probgen import Density, MaximumLikelihood
        >>> class Gaussian(nn.Module, Density):
        ...     def __init__(self):
        ...         super().__init__()
        ...         self.event_shape, self.context_shape = torch.Size([2]), None
        ...         self.support = torch.distributions.constraints.real
        ...         self.mean = nn.Parameter(torch.zeros(2))
        ...     def _log_prob(self, x, context):
        ...         return torch.distributions.Normal(self.mean, 1.0).log_prob(x).sum(-1)
        >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0)) + 3
        >>> result = fit(Gaussian(), x, MaximumLikelihood(), steps=500, learning_rate=0.02)
        >>> result.model.mean.detach().round().tolist(), result.steps
        ([3.0, 3.0], {'main': 500})
    """
    refuse_unknown(unknown, fit)
    settings = Settings(
        steps=steps,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        schedule=schedule,
        clip_norm=clip_norm,
        ema=ema,
        patience=patience,
        validate_every=validate_every,
        checkpoint_every=checkpoint_every,
        log_every=log_every,
        seed=seed,
        device=device,
        precision=precision,
        execution=execution,
    )
    folder = None if run_dir is None else Path(run_dir)
    place = _device(settings.device)
    stages = planned_recipe(model, estimator, recipe=recipe, settings=settings).stages
    source = as_source(data)
    views = [matching_view(source, model, view or stage.view, context=context) for stage in stages]
    if isinstance(model, nn.Module):
        model.to(place)
    with contextlib.ExitStack() as stack:
        world = stack.enter_context(joined(place))
        stack.enter_context(preserved_streams())
        stop = stack.enter_context(caught_signals(enabled=folder is not None))
        bar = stack.enter_context(ProgressBar(enabled=progress if world.leads else False))
        if folder is not None and world.leads:
            _prepare_folder(folder, model, resume=resume)
        loop = Loop(
            model,
            stages,
            views,
            settings,
            device=place,
            world=world,
            folder=folder,
            stop=stop,
            bar=bar,
            callbacks=callbacks if world.leads else (),
        )
        if resume and folder is not None:
            loop.resume(folder)
        loop.run()
        if folder is not None and world.leads:
            save(model, folder)
        world.wait()
        loop.stop_if_asked("after the last step")
    return FitResult(model, loop.metrics.rows, loop.steps, loop.seconds, folder)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    if name == "cuda" and "LOCAL_RANK" in os.environ:  # one GPU for each process that torchrun started
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigurationError(
            f"fit: expected a device that this machine has; got {name!r}, which it has not. Use auto or cpu."
        ) from error
    return device


def _prepare_folder(folder: Path, model: Any, *, resume: bool) -> None:
    if not isinstance(model, nn.Module):
        raise ConfigurationError(
            f"fit: expected a torch module for a run folder; got {type(model).__name__}, which has no weights to save. "
            "Leave out run_dir."
        )
    taken = [name for name in ("checkpoints", "metrics.csv", "model.safetensors") if (folder / name).exists()]
    if taken and not resume:
        raise ConfigurationError(
            f"fit: expected a run folder without a run in it; got {folder}, which holds {taken[0]}. "
            "Choose another folder, or resume."
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"fit: expected a run folder that can be written; got {folder} ({error.strerror}). Choose another."
        ) from error

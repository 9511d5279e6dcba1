"""`probgen train`: from a name and data to a trained model, honest figures and a report."""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from probgen.cli import console
from probgen.cli.config import RunConfig
from probgen.cli.describing import configuration
from probgen.cli.folders import default_folder, taken
from probgen.cli.targets import takes_files
from probgen.errors import CheckpointError, ConfigurationError, InterruptedRunError, RunError
from probgen.files import only_one, sweep
from probgen.plugin.options import parse_assignments

__all__ = ["train"]

_BUDGET, _CARRYING_OUT = "Training", "Carrying it out"


def train(
    call: typer.Context,
    model: Annotated[str | None, typer.Argument(help="A model's name; `probgen list models` shows them.")] = None,
    *,
    data: Annotated[str | None, typer.Option(metavar="SRC", help="A data set's name, or a file or folder.")] = None,
    data_option: Annotated[
        list[str] | None, typer.Option("-d", "--data-option", metavar="KEY=VALUE", help="How to read the data.")
    ] = None,
    view: Annotated[
        str | None, typer.Option(metavar="NAME", help="How to see the data; the model's choice if left out.")
    ] = None,
    context: Annotated[str | None, typer.Option(metavar="NAME", help="What to condition on: label.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("-o", "--option", metavar="KEY=VALUE", help="An option of the model; dotted inside a slot."),
    ] = None,
    estimator: Annotated[
        str | None, typer.Option(metavar="[STAGE=]NAME", help="Instead of the recipe's estimator (of that stage).")
    ] = None,
    estimator_option: Annotated[
        list[str] | None, typer.Option("-e", "--estimator-option", metavar="KEY=VALUE", help="An option of the estimator.")
    ] = None,
    steps: Annotated[int | None, typer.Option(help="Steps in each stage.", rich_help_panel=_BUDGET)] = None,
    epochs: Annotated[float | None, typer.Option(help="Passes through the data instead.", rich_help_panel=_BUDGET)] = None,
    batch_size: Annotated[int | None, typer.Option(help="Examples in a batch.", rich_help_panel=_BUDGET)] = None,
    lr: Annotated[float | None, typer.Option("--lr", help="Learning rate.", rich_help_panel=_BUDGET)] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine, linear or steps.", rich_help_panel=_BUDGET)] = None,
    clip_norm: Annotated[float | None, typer.Option(help="Largest gradient norm.", rich_help_panel=_BUDGET)] = None,
    ema: Annotated[float | None, typer.Option(help="Decay of averaged weights.", rich_help_panel=_BUDGET)] = None,
    patience: Annotated[
        int | None, typer.Option(help="Stop after so many validations without gain.", rich_help_panel=_BUDGET)
    ] = None,
    validate_every: Annotated[int | None, typer.Option(help="Steps between validations.", rich_help_panel=_BUDGET)] = None,
    checkpoint_every: Annotated[
        int | None, typer.Option(help="Steps between checkpoints.", rich_help_panel=_CARRYING_OUT)
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random.", rich_help_panel=_CARRYING_OUT)] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or mps.", rich_help_panel=_CARRYING_OUT)] = None,
    precision: Annotated[str | None, typer.Option(help="float32 or bfloat16.", rich_help_panel=_CARRYING_OUT)] = None,
    execution: Annotated[
        str | None, typer.Option(help="auto, eager, graph or inductor.", rich_help_panel=_CARRYING_OUT)
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Processor threads.", rich_help_panel=_CARRYING_OUT)] = None,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="The run folder, new or empty.", rich_help_panel=_CARRYING_OUT)
    ] = None,
    config: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="A described run.", rich_help_panel=_CARRYING_OUT)
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Go on with a stopped run.", rich_help_panel=_CARRYING_OUT)
    ] = None,
) -> None:
    """Train MODEL on data, judge it on held-out data, and leave a run folder with pictures and a report.

    Without options the model's own recipe is followed. The command line wins over a described run.
    """
    if resume is not None:
        _refuse_beside_resume(call)
        _go_on(resume)
        return
    training = {
        "steps": steps,
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": lr,
        "schedule": schedule,
        "clip_norm": clip_norm,
        "ema": ema,
        "patience": patience,
        "validate_every": validate_every,
        "checkpoint_every": checkpoint_every,
        "seed": seed,
        "device": device,
        "precision": precision,
        "execution": execution,
        "threads": threads,
    }
    stage, _, name = (estimator or "").rpartition("=")
    asked = {
        "model": {"name": model, **parse_assignments(option or ())},
        "data": {"source": data, "view": view, "context": context, **parse_assignments(data_option or ())},
        "estimator": {"name": name or None, "stage": stage or None, **parse_assignments(estimator_option or ())},
        "training": training,
    }
    _start(configuration(asked, config, command=shlex.join(call.obj["typed"])), run_dir)


def _refuse_beside_resume(call: typer.Context) -> None:
    beside = [name for name, value in call.params.items() if name != "resume" and value not in (None, [], ())]
    if beside:
        flag = "MODEL" if beside[0] == "model" else "--" + beside[0].replace("_", "-")
        raise ConfigurationError(
            f"train: expected --resume alone, because a run goes on as it was begun; got {flag} as well. "
            "Leave it out, or start a new run."
        )


def _start(config: RunConfig, run_dir: Path | None) -> None:
    """Begin a run in a new folder; of several processes, the first alone makes it."""
    leads = console.leads()
    folder = run_dir if run_dir is not None else default_folder(config.model, config.data)
    with taken(folder) if leads else nullcontext():
        if leads:
            config.write(folder)
        _carry_out(config, folder, resume=False)


def _go_on(folder: Path) -> None:
    """Continue the run in `folder`, or make what a finished one is missing."""
    if not folder.is_dir():
        raise CheckpointError(
            f"train: expected the folder of a run to resume; got {folder}, which does not exist: nothing to resume. "
            f"Start the run with --run-dir {folder}."
        )
    config = RunConfig.read(folder)
    if console.leads() and not takes_files(folder):
        raise CheckpointError(f"train: expected a run folder that can be written; got {folder}. Set its permissions.")
    _carry_out(config, folder, resume=True)


def _carry_out(config: RunConfig, folder: Path, *, resume: bool) -> None:
    with only_one(folder) if console.leads() else nullcontext(enter_result=True) as free:
        if not free:
            raise RunError(
                f"train: expected a run that nothing else works on; got {folder}, where another process trains. Wait for it."
            )
        if console.leads():
            sweep(folder)
        _carry_out_alone(config, folder, resume=resume)


def _carry_out_alone(config: RunConfig, folder: Path, *, resume: bool) -> None:
    from probgen.cli.running import carry_out

    try:
        carry_out(config, folder, resume=resume)
    except InterruptedRunError as error:
        message = f"{str(error).removesuffix('.')}: probgen train --resume {shlex.quote(str(folder))}"
        raise InterruptedRunError(message, signal_number=error.signal_number) from error
    except OSError as error:
        raise RunError(
            f"train: expected to write the run folder {folder}; got {error.strerror or error}"
            f"{f' at {error.filename}' if error.filename else ''}. Make room or set permissions, then resume."
        ) from error

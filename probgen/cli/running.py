"""Carrying a run out: data, model, training, judgement, report. The first part of a command that needs torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import torch
from torch import nn

from probgen.claims import Biased, Heuristic
from probgen.cli import console
from probgen.cli.config import RunConfig
from probgen.cli.divergence import divergence
from probgen.cli.stages import registered_as, stage_records, stage_words
from probgen.data import Source, View, as_source, matching_view
from probgen.errors import CheckpointError, ConfigurationError, DataError
from probgen.estimator import Estimator, Objective
from probgen.evaluation import Evaluation, evaluate
from probgen.execution import keep_freed_memory
from probgen.files import read_json, write_json
from probgen.plugin import build, build_estimator, registry
from probgen.report import PAGE, RunFacts, draw_pictures, headline, write_page
from probgen.report.numbers import duration, measured
from probgen.streams import seeded_streams
from probgen.training import MetricRow, Recipe, Settings, fit, load, planned_recipe, read_metrics
from probgen.training.checkpoint import read_latest

__all__ = ["DATA", "EVALUATION", "FRAME", "carry_out", "seconds_of", "source_of", "view_of"]

EVALUATION = "evaluation.json"
DATA = "data.json"
FRAME = "view.json"


def carry_out(config: RunConfig, folder: Path, *, resume: bool) -> None:
    """Train as `config` says, then make whatever of the run folder is missing.

    Of several processes that train together, the first alone writes and prints.

    Args:
        config: What to do.
        folder: The run folder, which holds `config`.
        resume: Whether to go on from what is in the folder.

    Raises:
        ProbgenError: something of the configuration does not fit, or the run failed; see `probgen.fit`.
    """
    leads = console.leads()
    torch.set_num_threads(config.training["threads"])
    keep_freed_memory()  # the process is the command's own
    source = source_of(config, folder)
    if leads and not (folder / DATA).exists():
        write_json(folder / DATA, {"name": source.name, "fingerprint": source.fingerprint})
    finished = resume and (folder / "model.safetensors").exists()
    model = load(folder) if finished else _built(config, source)
    view, plan = view_of(source, model, config), _plan(model, config)
    if leads:
        config = _noted(config, plan, view, folder)
        if not (folder / FRAME).exists():
            write_json(folder / FRAME, view.frame.to_json())
    if finished:
        seconds = seconds_of(folder)
    else:
        if leads:
            console.note(view.describe())
        seconds = _fit(model, view, config, plan, folder, resume=resume)
    if leads:
        _finish(folder, config, plan, model, view, seconds)


def source_of(config: RunConfig, folder: Path) -> Source:
    """Return the data of the run in `folder`.

    Raises:
        DataError: they cannot be read, or are not those that the run began with: scales and scores would silently change.
    """
    source = as_source(config.data, **config.data_options)
    path = folder / DATA
    if path.exists() and read_json(path)["fingerprint"] != source.fingerprint:
        raise DataError(
            f"probgen: expected {config.data} as it was when the run in {folder} began; got other values or splits. "
            "Put the old data back, or train anew."
        )
    return source


def view_of(source: Source, model: Any, config: RunConfig) -> View:
    """Return the view of `source` that the model of a run was built for."""
    return matching_view(source, model, context=config.context)


def _built(config: RunConfig, source: Source) -> Any:
    with seeded_streams(config.training["seed"], "initialise"):
        return build(config.model, source, view=config.view, context=config.context, **config.model_options)


def _fit(model: Any, view: View, config: RunConfig, plan: Recipe, folder: Path, *, resume: bool) -> float:
    result = fit(
        model,
        view.source,
        recipe=plan,
        view=view.name,
        context=config.context,
        run_dir=folder,
        resume=resume,
        **_settings(config),
    )
    return result.seconds


def _plan(model: Any, config: RunConfig) -> Recipe:
    """Return the recipe of the run, with its estimators and settings."""
    return planned_recipe(
        model, _chosen_estimator(model, config), recipe=_recipe(model, config), settings=Settings(**_settings(config))
    )


def _settings(config: RunConfig) -> dict[str, Any]:
    return {name: value for name, value in config.training.items() if name != "threads"}


def _noted(config: RunConfig, plan: Recipe, view: View, folder: Path) -> RunConfig:
    """Return the configuration with what each stage really uses, and write it where the folder's lacks that."""
    named = {} if config.estimator is None else {config.estimator: config.estimator_options}
    noted = dataclasses.replace(config, stages=stage_records(plan, named, examples=len(view.split("train"))))
    if config.stages != noted.stages:
        noted.write(folder)
    return noted


def _chosen_estimator(model: Any, config: RunConfig) -> Estimator | Mapping[str, Estimator] | None:
    """Return the estimator that the run names, or the recipe's with the run's options; None for the recipe's own."""
    if config.estimator is not None:
        estimator = build_estimator(config.estimator, **config.estimator_options)
    elif config.estimator_options:
        estimator = _with_options(_recipe_estimator(model, config), config)
    else:
        return None
    return estimator if config.stage is None else {config.stage: estimator}


def _recipe_estimator(model: Any, config: RunConfig) -> Estimator:
    recipe = _recipe(model, config)
    stages = () if recipe is None else recipe.stages
    meant = [each for each in stages if config.stage in (None, each.name)]
    if len(meant) != 1:
        named = ", ".join(each.name for each in stages) or "none"
        raise ConfigurationError(
            f"train: expected one stage whose estimator -e is about; got stages {named}. Name it: --estimator [STAGE=]NAME."
        )
    return meant[0].estimator


def _recipe(model: Any, config: RunConfig) -> Recipe | None:
    make = registry().model(config.model).load("recipe")
    return None if make is None else make(model)


def _with_options(estimator: Estimator, config: RunConfig) -> Estimator:
    """Return the registered estimator of this class with the options of the run over those that it has."""
    registered = registered_as(estimator)
    if registered is None:
        raise ConfigurationError(
            f"train: expected a recipe with a registered estimator for -e; got {type(estimator).__name__}. "
            "Name one with --estimator."
        )
    has = {each.name: vars(estimator)[each.name] for each in registered.spec.options if each.name in vars(estimator)}
    return build_estimator(registered.spec.name, **{**has, **config.estimator_options})


# ------------------------------------------------------------------------------------------------------- what is left over


def _finish(folder: Path, config: RunConfig, plan: Recipe, model: Any, view: View, seconds: float | None) -> None:
    """Judge the model, draw the pictures and write the page, each where the folder lacks it; then say what came out."""
    path = folder / EVALUATION
    if path.exists():
        evaluation = Evaluation.load(path)
    else:
        console.note("judging the model on held-out data")
        evaluation = evaluate(model, view)
        evaluation.save(path)
    rows = read_metrics(folder / "metrics.csv")
    kept_best = config.training["patience"] is not None
    warnings = [] if kept_best else divergence(rows, plan, entries=view.event_shape.numel())
    for warning in warnings:
        console.note(f"warning: {warning}")
    draw_pictures(folder, model, view, rows, _values(plan, view, rows), seed=config.training["seed"])
    if not (folder / PAGE).exists():
        write_page(folder, _facts(config, model, view, _objectives(plan, view), warnings, seconds), evaluation)
    console.write(f"{config.model} on {view.source.name}, trained in {duration(seconds)}; on the {evaluation.split} split:")
    console.show_table(
        ["figure", "value", "unit", "kind", "n"],
        [[each.name, measured(each.value, each.stderr), each.unit, each.kind, f"{each.n}"] for each in headline(evaluation)],
    )
    console.write(f"all figures and pictures: {folder / PAGE}")


def _facts(
    config: RunConfig,
    model: Any,
    view: View,
    objectives: Mapping[str, str],
    warnings: Sequence[str],
    seconds: float | None,
) -> RunFacts:
    return RunFacts(
        model=config.model,
        summary=registry().model(config.model).spec.summary,
        data=view.source.name,
        view=view.describe(),
        parameters=sum(each.numel() for each in model.parameters()) if isinstance(model, nn.Module) else 0,
        seconds=seconds,
        objectives=objectives,
        used=stage_words(config.stages),
        warnings=warnings,
        context=config.context,
        options=config.model_options,
        training=config.training,
        versions=config.versions,
        command=config.command,
        created=config.created,
    )


def _objectives(plan: Recipe, view: View) -> dict[str, str]:
    """Return what each stage trains for, with its unit, by the stage's name."""
    objectives = {stage.name: stage.estimator.objective for stage in plan.stages}
    return {name: _with_unit(each.name, each, view) for name, each in objectives.items()}


def _values(plan: Recipe, view: View, rows: Sequence[MetricRow]) -> dict[tuple[str, str], str]:
    """Return what each phase that was measured estimates, with its unit, by the names of stage and phase."""
    phases = dict.fromkeys((row.stage, row.phase) for row in rows if row.name == "value")
    return {
        (stage.name, phase): _with_unit(_quantity(stage.estimator, phase), stage.estimator.objective, view)
        for stage in plan.stages
        for of, phase in phases
        if of == stage.name
    }


def _quantity(estimator: Estimator, phase: str) -> str:
    """Return the name of what a phase's value is said to be; that of the objective where nothing is said."""
    said = (claims for pattern, claims in estimator.claims.values.items() if fnmatchcase(phase, pattern))
    for claim in next(said, ()):
        if not isinstance(claim, Heuristic):
            return claim.target if isinstance(claim, Biased) else claim.of
    return estimator.objective.name


def _with_unit(quantity: str, objective: Objective, view: View) -> str:
    """Return a quantity with the objective's unit.

    Nats of densities of a view that rescales the data are not those of the figures, which are in the data's own units; those
    of a game do not hang on units.
    """
    ours = {"nats": f"nats of view {view.name!r}"} if view.rescales and objective.direction is not None else {}
    return f"{quantity} [{ours.get(objective.unit, objective.unit)}]"


def seconds_of(folder: Path) -> float | None:
    """Return how long a finished run trained, as its last checkpoint says; None where that is gone or damaged."""
    try:
        checkpoint = read_latest(folder / "checkpoints")
    except CheckpointError:  # the weights are whole, and the time is no reason to refuse the report
        return None
    return None if checkpoint is None else checkpoint.values.get("seconds")

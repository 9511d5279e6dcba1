"""Carrying a run out: data, model, training, judgement, report. The first part of a command that needs torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from probgen.cli import console
from probgen.cli.config import RunConfig
from probgen.data import Source, View, as_source, matching_view
from probgen.errors import CheckpointError, ConfigurationError, DataError
from probgen.estimator import Estimator
from probgen.evaluation import Evaluation, evaluate
from probgen.files import read_json, write_json
from probgen.plugin import build, build_estimator, default_estimator, registry
from probgen.report import PAGE, RunFacts, draw_pictures, headline, write_page
from probgen.report.numbers import duration, measured
from probgen.streams import seeded_streams
from probgen.training import Recipe, fit, load, read_metrics
from probgen.training.checkpoint import read_latest

__all__ = ["carry_out", "seconds_of", "source_of", "view_of"]

EVALUATION = "evaluation.json"
DATA = "data.json"


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
    source = source_of(config, folder)
    if leads and not (folder / DATA).exists():
        write_json(folder / DATA, {"name": source.name, "fingerprint": source.fingerprint})
    if resume and (folder / "model.safetensors").exists():
        model = load(folder)
        view, seconds = view_of(source, model, config), seconds_of(folder)
    else:
        with seeded_streams(config.training["seed"], "initialise"):
            model = build(config.model, source, view=config.view, context=config.context, **config.model_options)
        view = view_of(source, model, config)
        if leads:
            console.note(view.describe())
        seconds = _fit(model, view, config, folder, resume=resume)
    if leads:
        _finish(folder, config, model, view, seconds)


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


def _fit(model: Any, view: View, config: RunConfig, folder: Path, *, resume: bool) -> float:
    settings = {name: value for name, value in config.training.items() if name != "threads"}
    result = fit(
        model,
        view.source,
        _chosen_estimator(model, config),
        view=view.name,
        context=config.context,
        run_dir=folder,
        resume=resume,
        **settings,
    )
    return result.seconds


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
    kind = type(estimator)
    for name, registered in registry().estimators.items():
        if registered.spec.target == f"{kind.__module__}:{kind.__qualname__}":
            has = {each.name: vars(estimator)[each.name] for each in registered.spec.options if each.name in vars(estimator)}
            return build_estimator(name, **{**has, **config.estimator_options})
    raise ConfigurationError(
        f"train: expected a recipe with a registered estimator for -e; got {kind.__name__}. Name one with --estimator."
    )


# ------------------------------------------------------------------------------------------------------- what is left over


def _finish(folder: Path, config: RunConfig, model: Any, view: View, seconds: float | None) -> None:
    """Judge the model, draw the pictures and write the page, each where the folder lacks it; then say what came out."""
    path = folder / EVALUATION
    if path.exists():
        evaluation = Evaluation.load(path)
    else:
        console.note("judging the model on held-out data")
        evaluation = evaluate(model, view)
        evaluation.save(path)
    objectives = _objectives(model, config)
    draw_pictures(folder, model, view, read_metrics(folder / "metrics.csv"), objectives, seed=config.training["seed"])
    if not (folder / PAGE).exists():
        write_page(folder, _facts(config, model, view, objectives, seconds), evaluation)
    console.write(f"{config.model} on {view.source.name}, trained in {duration(seconds)}; on the {evaluation.split} split:")
    console.show_table(
        ["figure", "value", "unit", "kind", "n"],
        [[each.name, measured(each.value, each.stderr), each.unit, each.kind, f"{each.n}"] for each in headline(evaluation)],
    )
    console.write(f"all figures and pictures: {folder / PAGE}")


def _facts(config: RunConfig, model: Any, view: View, objectives: Mapping[str, str], seconds: float | None) -> RunFacts:
    return RunFacts(
        model=config.model,
        summary=registry().model(config.model).spec.summary,
        data=view.source.name,
        view=view.describe(),
        parameters=sum(each.numel() for each in model.parameters()) if isinstance(model, nn.Module) else 0,
        seconds=seconds,
        objectives=objectives,
        options=config.model_options,
        training=config.training,
        versions=config.versions,
        command=config.command,
        created=config.created,
    )


def _objectives(model: Any, config: RunConfig) -> dict[str, str]:
    """Return what each stage estimates, with its unit, by the stage's name."""
    chosen = _chosen_estimator(model, config)
    recipe = _recipe(model, config)
    if recipe is None:
        chosen = default_estimator(model) if chosen is None else chosen
        estimators = {"main": chosen} if isinstance(chosen, Estimator) else {}
    else:
        estimators = {**{stage.name: stage.estimator for stage in recipe.stages}, **_by_stage(chosen, recipe)}
    return {name: f"{each.objective.name} [{each.objective.unit}]" for name, each in estimators.items()}


def _by_stage(chosen: Estimator | Mapping[str, Estimator] | None, recipe: Recipe) -> Mapping[str, Estimator]:
    return {recipe.stages[0].name: chosen} if isinstance(chosen, Estimator) else chosen or {}


def seconds_of(folder: Path) -> float | None:
    """Return how long a finished run trained, as its last checkpoint says; None where that is gone or damaged."""
    try:
        checkpoint = read_latest(folder / "checkpoints")
    except CheckpointError:  # the weights are whole, and the time is no reason to refuse the report
        return None
    return None if checkpoint is None else checkpoint.values.get("seconds")

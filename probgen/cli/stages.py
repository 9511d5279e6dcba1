"""What a run really does, stage by stage: as JSON for its configuration, and in words for its report and for comparisons."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from probgen.estimator import Estimator
from probgen.plugin.manager import registry
from probgen.plugin.options import plain
from probgen.plugin.records import Registered
from probgen.plugin.specs import EstimatorSpec
from probgen.report.numbers import typed
from probgen.training.recipe import Recipe, Stage

__all__ = ["registered_as", "stage_records", "stage_words"]


def stage_records(recipe: Recipe, named: Mapping[str, Mapping[str, Any]], *, examples: int) -> list[dict[str, Any]]:
    """Return what stands in a run's configuration about each stage; JSON values.

    Args:
        recipe: What the run does, its overrides in it.
        named: The options of estimators that the run names, by registered name; others are asked for theirs.
        examples: How many there are to train on: no batch is larger.
    """
    return [_record(stage, named, examples) for stage in recipe.stages]


def stage_words(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return what was used, in words by heading; several stages stand behind each other, each with its name.

    Example:
        >>> adam = {"name": "adam", "learning_rate": 0.001, "schedule": "cosine"}
        >>> record = {"name": "main", "estimator": "elbo", "estimator_options": {"beta": 1.0}, "steps": 50, "epochs": None}
        >>> stage_words([{**record, "batch_size": 100, "optimizers": {"*": adam}}])
        {'estimator': 'elbo (beta=1.0)', 'budget': '50 steps', 'batch size': '100', 'learning rate': '0.001, adam, cosine'}
    """
    each = [_words(record) for record in records]
    headings = each[0] if each else ()
    if len(each) == 1:
        return each[0]
    names = [record["name"] for record in records]
    return {
        heading: "; ".join(f"{name}: {words[heading]}" for name, words in zip(names, each, strict=True))
        for heading in headings
    }


def registered_as(estimator: Estimator) -> Registered[EstimatorSpec] | None:
    """Return under what the estimator's class is registered; None where it is not."""
    kind = type(estimator)
    target = f"{kind.__module__}:{kind.__qualname__}"
    return next((each for each in registry().estimators.values() if each.spec.target == target), None)


def _record(stage: Stage, named: Mapping[str, Mapping[str, Any]], examples: int) -> dict[str, Any]:
    registered = registered_as(stage.estimator)
    name = type(stage.estimator).__name__ if registered is None else registered.spec.name
    optimizers = {
        phase: {**dataclasses.asdict(settings), "betas": list(settings.betas)}
        for phase, settings in stage.optimizers.items()
    }
    return {
        "name": stage.name,
        "estimator": name,
        "estimator_options": dict(named[name]) if name in named else _options(stage.estimator, registered),
        "steps": stage.steps,
        "epochs": None if stage.steps else stage.epochs,
        "batch_size": min(stage.batch_size, examples),
        "optimizers": optimizers,
    }


def _options(estimator: Estimator, registered: Registered[EstimatorSpec] | None) -> dict[str, Any]:
    """Return the options of the spec that the estimator keeps under their names; an object is called by its class."""
    options = () if registered is None else registered.spec.options
    held = vars(estimator)
    return {
        each.name: plain(held[each.name], live=lambda value: type(value).__name__) for each in options if each.name in held
    }


def _words(record: Mapping[str, Any]) -> dict[str, str]:
    optimizers = {phase: _optimizer(settings) for phase, settings in record["optimizers"].items()}
    alike = len(set(optimizers.values())) == 1
    rates = [f"{'others' if phase == '*' else phase}: {words}" for phase, words in optimizers.items()]
    steps, epochs = record["steps"], record["epochs"]
    return {
        "estimator": typed({"name": record["estimator"], **record["estimator_options"]}),
        "budget": f"{steps} steps" if steps else f"{epochs:g} epochs",
        "batch size": str(record["batch_size"]),
        "learning rate": next(iter(optimizers.values())) if alike else ", ".join(rates),
    }


def _optimizer(settings: Mapping[str, Any]) -> str:
    schedule = "" if settings["schedule"] == "constant" else f", {settings['schedule']}"
    return f"{settings['learning_rate']:g}, {settings['name']}{schedule}"

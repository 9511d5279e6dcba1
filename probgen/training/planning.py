"""What a run is going to do: the model's recipe or the given one, with the run's estimators and settings in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from probgen.capabilities import capabilities
from probgen.errors import ConfigurationError
from probgen.estimator import Estimator
from probgen.plugin import default_estimator, estimators_that_fit, registry
from probgen.plugin.fitting import describe_capabilities
from probgen.shapes import Model
from probgen.training.recipe import Recipe, Stage
from probgen.training.settings import Settings

__all__ = ["planned_recipe"]


def planned_recipe(
    model: Any,
    estimator: Estimator | Mapping[str, Estimator] | None = None,
    *,
    recipe: Recipe | None = None,
    settings: Settings | None = None,
) -> Recipe:
    """Return what `fit` does with these arguments, stage by stage: nothing in it is left to be looked up.

    Args:
        model: What is to be trained.
        estimator: As for `fit`.
        recipe: As for `fit`.
        settings: The overrides; None for none.

    Raises:
        ConfigurationError: nothing says how to train the model, or an estimator is for a stage that is not there.

    Example:
        >>> from probgen import MaximumLikelihood
        >>> (stage,) = planned_recipe(None, MaximumLikelihood(), settings=Settings(batch_size=20)).stages
        >>> stage.name, stage.batch_size, stage.settings_for("main").learning_rate
        ('main', 20, 0.001)
    """
    chosen = _chosen(model, estimator, recipe)
    overrides = Settings() if settings is None else settings
    return Recipe(tuple(overrides.applied_to(stage) for stage in chosen.stages))


def _chosen(model: Any, estimator: Estimator | Mapping[str, Estimator] | None, recipe: Recipe | None) -> Recipe:
    if not isinstance(estimator, Estimator | Mapping | None):
        name = estimator.__name__ if isinstance(estimator, type) else repr(estimator)
        raise ConfigurationError(
            f"fit: expected an estimator object, or estimators by stage name; got {name}. Pass {_an_object(estimator)}."
        )
    if recipe is None and isinstance(model, Model) and model.provenance is not None:
        make_recipe = registry().model(model.provenance.name).load("recipe")
        recipe = None if make_recipe is None else make_recipe(model)
    if recipe is None:
        estimator = default_estimator(model) if estimator is None else estimator
        if isinstance(estimator, Estimator):
            return Recipe((Stage(estimator),))
        raise ConfigurationError(
            f"fit: expected an estimator for {type(model).__name__}, which no plugin gives a recipe and whose likelihood no "
            f"registered estimator can raise; got none. {_those_that_fit(model)}"
        )
    if estimator is None:
        return recipe
    names = [stage.name for stage in recipe.stages]
    if isinstance(estimator, Estimator):
        if len(names) > 1:
            raise ConfigurationError(
                f"fit: expected estimators by stage name for a recipe of {len(names)} stages; got one estimator. "
                f"Pass a mapping with keys among {', '.join(names)}."
            )
        estimator = {names[0]: estimator}
    for name in estimator:
        if name not in names:
            raise ConfigurationError(f"fit: expected stage names among {', '.join(names)}; got {name!r}. Rename the key.")
    return Recipe(
        tuple(dataclasses.replace(stage, estimator=estimator.get(stage.name, stage.estimator)) for stage in recipe.stages)
    )


def _those_that_fit(model: Any) -> str:
    """Return which estimators a model without a recipe may be given."""
    fitting = estimators_that_fit(model)
    if fitting:
        first = f"probgen.build_estimator({fitting[0]!r}) in Python, --estimator {fitting[0]} at the shell"
        return f"Say {first}. Those that fit: {', '.join(fitting)}."
    held = capabilities(model)
    able = describe_capabilities(held) if held else "no model of probgen"
    return f"None that is installed fits: it is {able}. Write an Estimator for it, or build it of parts that can be trained."


def _an_object(mistaken: Any) -> str:
    """Return what somebody who passed a class or a name may have meant."""
    if isinstance(mistaken, str):
        return f"probgen.build_estimator({mistaken!r})"
    return f"{mistaken.__name__}()" if isinstance(mistaken, type) else "ELBO(), say"

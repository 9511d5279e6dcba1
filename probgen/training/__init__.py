"""Training: one trainer that runs any recipe's stages and any estimator's phases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from probgen.lazy import resolver

_HOMES: dict[str, str] = {
    "FitResult": "probgen.training.trainer",
    "MetricRow": "probgen.training.metrics",
    "OptimizerSettings": "probgen.training.recipe",
    "Recipe": "probgen.training.recipe",
    "Settings": "probgen.training.settings",
    "Stage": "probgen.training.recipe",
    "TrainingEvent": "probgen.training.loop",
    "fit": "probgen.training.trainer",
    "load": "probgen.training.saving",
    "planned_recipe": "probgen.training.planning",
    "read_metrics": "probgen.training.metrics",
    "save": "probgen.training.saving",
}

__all__ = [
    "FitResult",
    "MetricRow",
    "OptimizerSettings",
    "Recipe",
    "Settings",
    "Stage",
    "TrainingEvent",
    "fit",
    "load",
    "planned_recipe",
    "read_metrics",
    "save",
]

if TYPE_CHECKING:
    from probgen.training.loop import TrainingEvent
    from probgen.training.metrics import MetricRow, read_metrics
    from probgen.training.planning import planned_recipe
    from probgen.training.recipe import OptimizerSettings, Recipe, Stage
    from probgen.training.saving import load, save
    from probgen.training.settings import Settings
    from probgen.training.trainer import FitResult, fit


__getattr__ = resolver(__name__, _HOMES)

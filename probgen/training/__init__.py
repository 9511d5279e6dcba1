"""Training: one trainer that runs any recipe's stages and any estimator's phases."""

from __future__ import annotations

from probgen.training.loop import TrainingEvent
from probgen.training.metrics import MetricRow, read_metrics
from probgen.training.recipe import OptimizerSettings, Recipe, Stage
from probgen.training.saving import load, save
from probgen.training.trainer import FitResult, fit

__all__ = [
    "FitResult",
    "MetricRow",
    "OptimizerSettings",
    "Recipe",
    "Stage",
    "TrainingEvent",
    "fit",
    "load",
    "read_metrics",
    "save",
]

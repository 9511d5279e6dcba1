"""How the models here are trained unless somebody says otherwise."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from probgen import MaximumLikelihood, Recipe, Stage
from probgen.training.recipe import OptimizerSettings

__all__ = ["maximum_likelihood"]


def maximum_likelihood(model: Any) -> Recipe:
    """Maximum likelihood by Adam with a rate that decays to nothing and gradients of bounded norm.

    The budget is in steps, for it suits tables of a thousand rows as of a hundred thousand. Flows overfit small ones: give
    `patience`, which keeps the weights that validate best.
    """
    adam = OptimizerSettings(name="adam", learning_rate=2e-3, schedule="cosine", clip_norm=5.0)
    return Recipe((Stage(MaximumLikelihood(), steps=5_000, batch_size=200, optimizers=MappingProxyType({"*": adam})),))

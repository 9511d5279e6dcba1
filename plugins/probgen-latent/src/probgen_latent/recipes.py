"""How the models here are trained unless somebody says otherwise."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from probgen import ELBO, Recipe, Stage
from probgen.training.recipe import OptimizerSettings

__all__ = ["aevb"]


def aevb(model: Any) -> Recipe:
    """Minibatch auto-encoding variational Bayes: 100 examples and one draw for each, by Adam with a decaying rate.

    The budget suits small data (400 passes take a quarter of a minute for `digits`); give large ones `steps` or `epochs`.

    References:
        Kingma & Welling (2014), arXiv:1312.6114, algorithm 1.
    """
    adam = OptimizerSettings(name="adam", learning_rate=1e-3, schedule="cosine")
    return Recipe((Stage(ELBO(), epochs=400, batch_size=100, optimizers=MappingProxyType({"*": adam})),))

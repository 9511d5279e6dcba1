"""How the models here are trained unless somebody says otherwise."""

from __future__ import annotations

from types import MappingProxyType

from probgen import Density, Estimator, MaximumLikelihood, Recipe, Stage
from probgen.capabilities import capabilities
from probgen.training.recipe import OptimizerSettings
from probgen_autoregressive.mask_sampling import MaskEnsemble, MaskSampling

__all__ = ["networks", "regression"]


def networks(model: Density) -> Recipe:
    """Maximum likelihood by Adam with a decaying rate; a model with several masks is trained one mask at a time.

    The budget suits a few thousand examples, which are soon overfitted: train longer with `patience`.
    """
    estimator = MaskSampling() if MaskEnsemble in capabilities(model) else MaximumLikelihood()
    return _by_adam(estimator, learning_rate=3e-3, epochs=40)


def regression(model: Density) -> Recipe:
    """Maximum likelihood by Adam with a decaying rate, as large as a concave objective allows."""
    return _by_adam(MaximumLikelihood(), learning_rate=3e-2, epochs=40)


def _by_adam(estimator: Estimator, *, learning_rate: float, epochs: float) -> Recipe:
    adam = OptimizerSettings(name="adam", learning_rate=learning_rate, schedule="cosine")
    return Recipe((Stage(estimator, epochs=epochs, batch_size=100, optimizers=MappingProxyType({"*": adam})),))

"""How the models here are trained unless somebody says otherwise."""

from __future__ import annotations

from types import MappingProxyType

from probgen import ContrastiveDivergence, Recipe, Stage
from probgen.training.recipe import OptimizerSettings
from probgen_boltzmann.centering import CenteredContrastiveDivergence
from probgen_boltzmann.rbm import RBM

__all__ = ["persistent"]


def persistent(model: RBM) -> Recipe:
    """Persistent contrastive divergence, one step of 100 chains for each batch of 100, by gradient descent at 0.01.

    A centred machine follows the centred gradient, with offsets that move at 0.01.

    The budget suits small data; give large ones `steps` or `epochs`.

    References:
        Tieleman (2008), Training restricted Boltzmann machines using approximations to the likelihood gradient.
    """
    descent = OptimizerSettings(name="sgd", learning_rate=0.01, betas=(0.0, 0.0))
    estimator = (CenteredContrastiveDivergence if model.centered else ContrastiveDivergence)(persistent=True)
    return Recipe((Stage(estimator, epochs=400, batch_size=100, optimizers=MappingProxyType({"*": descent})),))

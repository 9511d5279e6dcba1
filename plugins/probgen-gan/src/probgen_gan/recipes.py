"""How the models here are trained unless somebody says otherwise."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from probgen import MMD, Adversarial, Recipe, Stage
from probgen.training.recipe import OptimizerSettings

__all__ = ["adversarial", "moment_matching"]


def adversarial(model: Any) -> Recipe:
    """The non-saturating game, a step of the critic for each of the generator's, by Adam with little momentum.

    References:
        Radford, Metz & Chintala (2016), arXiv:1511.06434, for the optimiser.
    """
    adam = OptimizerSettings(name="adam", learning_rate=5e-4, betas=(0.5, 0.999), schedule="linear")
    return Recipe(
        (
            Stage(
                Adversarial(),
                steps=6000,
                batch_size=64,
                optimizers=MappingProxyType({"*": adam}),
                metric=("mmd", "minimise"),
            ),
        )
    )


def moment_matching(model: Any) -> Recipe:
    """Squared maximum mean discrepancy on large batches, with Gaussian kernels around the median distance.

    The gradient is small where the two samples are nearly alike, and the rate is large for that.

    References:
        Li, Swersky & Zemel (2015), arXiv:1502.02761.
    """
    adam = OptimizerSettings(name="adam", learning_rate=5e-3, schedule="cosine")
    return Recipe((Stage(MMD(), steps=3000, batch_size=500, optimizers=MappingProxyType({"*": adam})),))

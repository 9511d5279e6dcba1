"""How the models here are trained unless somebody says otherwise."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from probgen import DenoisingScoreMatching, Recipe, Stage
from probgen.estimators.denoising_score_matching import Event, Simple, Velocity
from probgen.training.recipe import OptimizerSettings
from probgen_diffusion.unet import UNet

__all__ = ["denoising"]


def denoising(model: Any) -> Recipe:
    """The squared error of whatever the network predicts, by Adam with a rate that decays to zero.

    The decay does for short runs what an average of the weights does for long ones (`--ema 0.999`). The budget suits small
    data: a minute on one core for `digits`.

    References:
        Ho, Jain & Abbeel (2020), arXiv:2006.11239, algorithm 1.
    """
    weighting = {"noise": Simple, "event": Event, "velocity": Velocity}[model.target]()
    adam = OptimizerSettings(name="adam", learning_rate=1e-3, schedule="cosine", clip_norm=1.0)
    batch_size, steps = (64, 2000) if isinstance(model.network, UNet) else (256, 6000)
    stage = Stage(
        DenoisingScoreMatching(weighting=weighting),
        steps=steps,
        batch_size=batch_size,
        optimizers=MappingProxyType({"*": adam}),
    )
    return Recipe((stage,))

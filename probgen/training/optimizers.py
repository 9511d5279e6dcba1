"""Optimisers and learning-rate schedules, from a recipe's settings."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from probgen.errors import ConfigurationError
from probgen.training.recipe import OptimizerSettings

__all__ = ["make_optimizer", "schedule_factor"]

_FUSED_DEVICES = frozenset({"cpu", "cuda", "mps"})
_STAIRS = 8
"""IWAE trains for 3^i passes at the i-th of eight rates (Burda, Grosse & Salakhutdinov 2016, section 5)."""
_STAIR_ENDS = [total / sum(3**i for i in range(_STAIRS)) for total in itertools.accumulate(3**i for i in range(_STAIRS))]


def make_optimizer(parameters: Sequence[nn.Parameter], settings: OptimizerSettings) -> torch.optim.Optimizer:
    """Return the optimiser that `settings` describe, in torch's fused form where the device has one.

    Raises:
        ConfigurationError: the optimiser's name is unknown, or a rate is out of range.
    """
    if settings.learning_rate < 0 or not math.isfinite(settings.learning_rate):
        raise ConfigurationError(
            f"OptimizerSettings: expected a learning_rate of at least 0; got {settings.learning_rate}. Try 1e-3."
        )
    fused = all(p.device.type in _FUSED_DEVICES and p.is_floating_point() for p in parameters)
    common: dict[str, Any] = {"lr": settings.learning_rate, "weight_decay": settings.weight_decay}
    if settings.name in ("adam", "adamw"):
        kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
        return kind(parameters, betas=settings.betas, eps=settings.epsilon, fused=fused, **common)
    if settings.name == "sgd":
        return torch.optim.SGD(parameters, momentum=settings.betas[0], fused=fused, **common)
    if settings.name == "rmsprop":
        return torch.optim.RMSprop(parameters, momentum=settings.betas[0], eps=settings.epsilon, **common)
    raise ConfigurationError(
        f"OptimizerSettings: expected adam, adamw, sgd or rmsprop; got {settings.name!r}. Choose one of these."
    )


def schedule_factor(schedule: str, step: int, total: int) -> float:
    """Return what the learning rate is multiplied by at `step` of `total`: a function of the position alone.

    Raises:
        ConfigurationError: the schedule's name is unknown.

    Example:
        >>> [schedule_factor("linear", step, 4) for step in range(4)]
        [1.0, 0.75, 0.5, 0.25]
    """
    progress = min(step / max(total, 1), 1.0)
    if schedule == "constant":
        return 1.0
    if schedule == "linear":
        return 1.0 - progress
    if schedule == "cosine":
        return 0.5 * (1.0 + math.cos(math.pi * progress))
    if schedule == "steps":
        return 10.0 ** (-min(bisect.bisect_right(_STAIR_ENDS, progress), _STAIRS - 1) / (_STAIRS - 1))
    raise ConfigurationError(
        f"OptimizerSettings: expected a schedule constant, cosine, linear or steps; got {schedule!r}. Choose one of these."
    )

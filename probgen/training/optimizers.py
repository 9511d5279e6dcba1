"""Optimisers and learning-rate schedules, from a recipe's settings."""

from __future__ import annotations

import bisect
import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from probgen.errors import ConfigurationError
from probgen.training.recipe import OptimizerSettings

__all__ = ["Descent", "make_optimizer", "schedule_factor"]

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


class Descent:
    """An optimiser's steps, without what it finds out anew before each of them.

    Torch's fused Adam sorts its tensors by device and type at every call, which takes longer than the arithmetic of a small
    model. They do not change, so here they are listed once, after a first step by torch itself; numbers and state are
    torch's, bit for bit. Other optimisers, and steps in which a parameter has no gradient, are left to torch.

    Args:
        optimizer: Its first parameter group holds all parameters.
    """

    def __init__(self, optimizer: torch.optim.Optimizer) -> None:
        self._optimizer = optimizer
        self._parameters: list[Tensor] = optimizer.param_groups[0]["params"]
        self._listed: _AdamTensors | None = None

    def forget(self) -> None:
        """Say that the optimiser's state was replaced."""
        self._listed = None

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor | None], rate: float) -> None:
        """Take a step down `gradients`, each laid out as its parameter, at the learning rate `rate`."""
        (group,) = self._optimizer.param_groups
        group["lr"] = rate
        present = [gradient for gradient in gradients if gradient is not None]
        if self._listed is not None and len(present) == len(self._parameters):
            self._listed.step(present, group)
            return
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        self._listed = _AdamTensors.of(self._optimizer)


@dataclasses.dataclass(frozen=True)
class _AdamTensors:
    """The tensors of a fused Adam that has taken a step by all of its parameters."""

    kernel: Callable[..., None]
    parameters: list[Tensor]
    first_moments: list[Tensor]
    second_moments: list[Tensor]
    counts: list[Tensor]
    count: Tensor

    @classmethod
    def of(cls, optimizer: torch.optim.Optimizer) -> Self | None:
        """Return an optimiser's; None where torch should go on by itself."""
        kernels = {torch.optim.Adam: "_fused_adam_", torch.optim.AdamW: "_fused_adamw_"}
        kernel = getattr(torch, kernels.get(type(optimizer), ""), None)
        (group,) = optimizer.param_groups
        parameters, state = group["params"], optimizer.state
        alike = len({(parameter.device, parameter.dtype) for parameter in parameters}) == 1
        if kernel is None or not group["fused"] or not alike or not all(parameter in state for parameter in parameters):
            return None
        count = torch.stack([state[parameter]["step"] for parameter in parameters])  # one tensor: it is added to at once
        counts = [*count.unbind()]
        for parameter, own in zip(parameters, counts, strict=True):
            state[parameter]["step"] = own
        moments = ([state[parameter][name] for parameter in parameters] for name in ("exp_avg", "exp_avg_sq"))
        return cls(kernel, parameters, *moments, counts=counts, count=count)

    def step(self, gradients: list[Tensor], group: Mapping[str, Any]) -> None:
        """Do what `torch.optim.Adam.step` does last."""
        self.count.add_(1)
        self.kernel(
            self.parameters,
            gradients,
            self.first_moments,
            self.second_moments,
            [],
            self.counts,
            lr=group["lr"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
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

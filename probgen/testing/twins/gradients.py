"""Models with right values and wrong gradients."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probgen.testing.twins.originals import Coins, Gaussian, Machine

__all__ = [
    "DetachesHalfOfTheEnergy",
    "DetachesItsLocation",
    "DetachesTheEvent",
    "HasAnIdleParameter",
    "ReadsANumber",
    "RoundsAParameter",
    "SaturatesInTheGradientOnly",
]


class DetachesItsLocation(Gaussian):
    """Scores around a location that carries no gradient."""

    def location(self, context: Tensor | None) -> Tensor:
        """Return the mean, cut off."""
        return super().location(context).detach()


class DetachesTheEvent(Gaussian):
    """Cuts the event off, so that a score function is zero."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x.detach(), context)


class SaturatesInTheGradientOnly(Coins):
    """Adds what a clamp took away without its gradient, as a straight-through estimator does."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        clamped = self.logits.clamp(-0.9, 0.9)
        logits = clamped + (self.logits - clamped).detach()
        return -F.binary_cross_entropy_with_logits(logits.expand(x.shape), x, reduction="none").sum(-1)


class DetachesHalfOfTheEnergy(Machine):
    """Stops the gradient in the hidden units' part."""

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        visible = -(x @ self.visible_bias)
        return visible + (super()._energy(x, context) - visible).detach()


class HasAnIdleParameter(Gaussian):
    """Has a second scale that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.second_scale = nn.Parameter(torch.zeros(2))


class RoundsAParameter(Gaussian):
    """Rounds its location to whole numbers."""

    def location(self, context: Tensor | None) -> Tensor:
        """Return the mean, which is piecewise constant in its parameter."""
        return super().location(context).round()


class ReadsANumber(Gaussian):
    """Turns its scale into Python numbers and back."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_scale = torch.tensor(self.log_scale.tolist(), dtype=x.dtype)
        z = (x - self.location(context)) / log_scale.exp()
        return (-0.5 * z.square() - log_scale - 0.5 * math.log(2 * math.pi)).sum(-1)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        log_scale = torch.tensor(self.log_scale.tolist(), dtype=self.loc.dtype)
        return self.location(context) + log_scale.exp() * torch.randn(n, 2, dtype=self.loc.dtype)

"""Densities with a mistake in their values."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.density import Density
from probgen.testing.twins.originals import Coins, Gaussian

__all__ = [
    "ATenThousandthTooLarge",
    "ContinuesItsDensity",
    "DividesInfinities",
    "ForgetsAConstant",
    "ForgetsTheLogDeterminant",
    "MasksAfterwards",
    "NaNBelowZero",
    "NormalisedAtOneContext",
    "ScoresHalfABit",
    "ScoresLogits",
    "TakesTheLogVarianceForSigma",
    "TakesTheLogarithmOfADensity",
]


class ForgetsTheLogDeterminant(Gaussian):
    """Scores the noise instead of the event."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, context) + self.log_scale.sum()


class TakesTheLogVarianceForSigma(Gaussian):
    """Divides by exp of the log-variance but counts half of it in the constant."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, context) + 0.5 * self.log_scale.sum()


class ForgetsAConstant(Gaussian):
    """Leaves the two pi out."""

    def __init__(self) -> None:
        super().__init__(features=1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, context) + 0.5 * math.log(2 * math.pi)


class ScoresLogits(Coins):
    """Scores an event by its log-odds, without the log-partition."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return x @ self.logits


class NormalisedAtOneContext(Gaussian):
    """Has a scale that depends on the context, and a constant that does not."""

    def __init__(self) -> None:
        super().__init__(features=1, context=1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        stretch = 1.0 if context is None else context.exp()
        return super()._log_prob(stretch * (x - self.location(context)) + self.location(context), context)


class ATenThousandthTooLarge(Coins):
    """Has a mass of 1.0001."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, context) + 1e-4


class ScoresHalfABit(Coins):
    """Lets the formula for bits speak of anything between and beyond them."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Score without looking at the support."""
        flat_x, flat_context, shape = self._flat_events(x, context, "log_prob")
        return self._log_prob(flat_x, flat_context).reshape(shape)


class _Exponential(nn.Module, Density):
    """Waiting times, one entry each."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([1]), None
        self.support = constraints.positive
        self.rate = nn.Parameter(torch.tensor(1.5))

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Score without looking at the support."""
        flat_x, flat_context, shape = self._flat_events(x, context, "log_prob")
        return self._log_prob(flat_x, flat_context).reshape(shape)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return (self.rate.log() - self.rate * x).sum(-1)


class ContinuesItsDensity(_Exponential):
    """Has the formula of waiting times for negative ones too."""


class NaNBelowZero(_Exponential):
    """Takes the logarithm of a time, whatever its sign."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x.log().exp(), context)


class TakesTheLogarithmOfADensity(Gaussian):
    """Computes the density first, which is zero far out, and a share of the total."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        halves = torch.stack([super()._log_prob(x, context), super()._log_prob(x, context)]).exp()
        return (halves / halves.sum(0)).log().sum(0) + super()._log_prob(x, context) + 2 * math.log(2)


class DividesInfinities(Coins):
    """Computes a probability as odds over one plus odds, both of which overflow."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        odds = (15 * self.logits * (2 * x - 1)).exp()
        return (odds / (1 + odds)).log().sum(-1)


class MasksAfterwards(Gaussian):
    """Computes the exponential of a large event and discards it: its gradient is zero times infinity."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, context) + torch.where(x > 0, torch.zeros_like(x), (x.exp() * 0.0)).sum(-1)

"""Models with side effects, or with randomness from elsewhere."""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import Tensor, nn

from probgen.testing.twins.originals import Coins, Gaussian

__all__ = [
    "AccumulatesGradients",
    "AddsNoise",
    "BuildsAParameterLate",
    "CentresInPlace",
    "CountsItsCalls",
    "DrawsFromNumpy",
    "DrawsFromPython",
    "KeepsWhatItDrew",
    "SetsTheSeed",
    "TurnsTrainingOn",
]


class AddsNoise(Gaussian):
    """Estimates its score, as if a density could be random."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, context) + 1e-3 * torch.randn(len(x), dtype=x.dtype)


class DrawsFromNumpy(Gaussian):
    """Takes its noise from numpy's global stream."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.as_tensor(np.random.standard_normal((n, 2)), dtype=self.loc.dtype)
        return self.location(context) + self.log_scale.exp() * noise


class DrawsFromPython(Coins):
    """Flips a coin of Python's."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        draws = super()._sample(n, context)
        return draws if random.random() < 0.5 else draws.flip(0)


class KeepsWhatItDrew(Gaussian):
    """Mixes each draw with the one before."""

    def __init__(self) -> None:
        super().__init__()
        self.last = 0.0

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        draws = super()._rsample(n, context) + 0.5 * self.last
        self.last = float(draws.detach().mean())
        return draws


class SetsTheSeed(Gaussian):
    """Starts the global stream afresh for each call, so that all calls draw the same."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        torch.manual_seed(0)
        return super()._rsample(n, context)


class CentresInPlace(Gaussian):
    """Subtracts the location from the caller's own tensor."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        x -= self.loc.detach()
        return super()._log_prob(x + self.loc.detach(), context)


class CountsItsCalls(Coins):
    """Counts in a buffer how often it was asked, in evaluation mode too."""

    calls: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        self.calls += 1
        return super()._log_prob(x, context)


class AccumulatesGradients(Gaussian):
    """Runs a backward pass of its own."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        scores = super()._log_prob(x, context)
        scores.sum().backward(retain_graph=True)
        return scores


class TurnsTrainingOn(Gaussian):
    """Leaves itself in training mode after a draw."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        self.train()
        return super()._rsample(n, context)


class BuildsAParameterLate(Coins):
    """Makes a parameter when it first draws, which no optimiser knows of."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        if not hasattr(self, "temperature"):
            self.temperature = nn.Parameter(torch.ones(()))
        return super()._sample(n, context)

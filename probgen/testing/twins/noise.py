"""Noise processes with a mistake in the schedule or in the denoiser."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probgen.testing.twins.originals import Noising

__all__ = [
    "ComputesInFloat32",
    "IsNotFiniteAtTheEnd",
    "MixesExamples",
    "PredictsANumber",
    "ReturnsOneNumber",
    "RunsBackwards",
    "StartsWithNoise",
    "SwingsBack",
    "UsesOneTime",
]


class RunsBackwards(Noising):
    """Has the event at time 1 and noise at time 0."""

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return the schedule of the reversed time."""
        return super().schedule(1 - t)


class StartsWithNoise(Noising):
    """Never is without noise: a scale of 0.3 is added throughout."""

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return too much noise."""
        alpha, sigma = super().schedule(t)
        return alpha, sigma + 0.3


class IsNotFiniteAtTheEnd(Noising):
    """Divides by the signal, of which there is none at time 1."""

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return an infinite scale at the end."""
        return torch.ones_like(t), t / (1 - t)


class ReturnsOneNumber(Noising):
    """Averages over the times that it is asked about."""

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return two numbers."""
        alpha, sigma = super().schedule(t)
        return alpha.mean(), sigma.mean()


class SwingsBack(Noising):
    """Takes the full period of the cosine for a quarter."""

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return a schedule that comes back to the event."""
        return (2 * math.pi * t).cos(), (2 * math.pi * t).sin().abs()


class MixesExamples(Noising):
    """Subtracts the mean of the batch."""

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return noise without a mean."""
        noise = super().denoise(z_t, t, context)
        return noise - noise.mean(0)


class UsesOneTime(Noising):
    """Takes the first example's time for all."""

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return noise at the first time."""
        return super().denoise(z_t, t[:1].expand(len(t)), context)


class PredictsANumber(Noising):
    """Returns one number for each event."""

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return too few numbers."""
        return super().denoise(z_t, t, context).sum(1)


class ComputesInFloat32(Noising):
    """Loses half of the digits on the way, and the type."""

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return noise in float32."""
        return super().denoise(z_t, t, context).float()

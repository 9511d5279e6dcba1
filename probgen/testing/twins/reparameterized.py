"""Models whose draws carry wrong gradients."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.capabilities import Reparameterized
from probgen.testing.twins.originals import Affine, Gaussian

__all__ = [
    "BijectionDetachesItsFactor",
    "DetachesItsDraws",
    "DetachesItsScale",
    "DetachesTheScaleOfItsNoise",
    "ForgetsTheLogDeterminantOfADraw",
    "GeneratorDetachesItsScale",
    "PassesStraightThrough",
    "ScalesTheGradient",
    "ScoresADetachedDraw",
    "ScoresAnotherDraw",
]


class DetachesItsScale(Gaussian):
    """Stretches its noise by a scale without a gradient."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.randn(n, *self.event_shape, dtype=self.loc.dtype)
        return self.location(context) + self.log_scale.exp().detach() * noise


class DetachesItsDraws(Gaussian):
    """Draws without gradients altogether."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return super()._rsample(n, context).detach()


class ScalesTheGradient(Gaussian):
    """Has gradients that are half as large as they should be; the draws are right."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        draws = super()._rsample(n, context)
        return 0.5 * draws + (0.5 * draws).detach()


class _Generator(nn.Module, Reparameterized):
    """Draws that nobody can score: a curve in the plane."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([2]), None, constraints.real
        self.scale = nn.Parameter(torch.tensor([0.7, 1.3]))
        self.shift = nn.Parameter(torch.tensor([0.1, -0.4]))

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.randn(n, 1, dtype=self.scale.dtype)
        return self.shape_of(noise) + self.shift

    def shape_of(self, noise: Tensor) -> Tensor:
        """Return the curve at some noise."""
        return (self.scale * noise).tanh()


class GeneratorDetachesItsScale(_Generator):
    """Cuts the curve off and leaves the shift."""

    def shape_of(self, noise: Tensor) -> Tensor:
        """Return the curve at some noise."""
        return super().shape_of(noise).detach()


class PassesStraightThrough(_Generator):
    """Rounds its draws and says that it did not."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        draws = super()._rsample(n, context)
        return draws + (draws.round() - draws).detach()


class BijectionDetachesItsFactor(Affine):
    """Is a right bijection, and draws through a copy of it whose matrix has no gradient."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.randn(n, 3, dtype=self.loc.dtype, device=self.loc.device)
        return noise @ self._factor().T.detach() + self.loc


class DetachesTheScaleOfItsNoise(Affine):
    """Learns how wide its noise is, and draws that without a gradient: events stay at noise whose law moves."""

    def __init__(self) -> None:
        super().__init__()
        self.log_width = nn.Parameter(torch.tensor(0.3))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, log_det = self._transform(x, context)
        standard = z / self.log_width.exp()
        return (-0.5 * standard.square() - self.log_width - 0.5 * math.log(2 * math.pi)).sum(-1) + log_det

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.randn(n, 3, dtype=self.loc.dtype, device=self.loc.device)
        return self._inverse(self.log_width.exp().detach() * noise, context)[0]


class ForgetsTheLogDeterminantOfADraw(Gaussian):
    """Scores the noise of a draw."""

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        draws, scores = super()._rsample_and_log_prob(n, context)
        return draws, scores + self.log_scale.sum()


class ScoresADetachedDraw(Gaussian):
    """Cuts the draw off before it is scored, so that an ELBO would lose its path."""

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        draws = self._rsample(n, context)
        return draws, self._log_prob(draws.detach(), context)


class ScoresAnotherDraw(Gaussian):
    """Draws twice: once for the event and once for the score."""

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._rsample(n, context), self._log_prob(self._rsample(n, context), context)

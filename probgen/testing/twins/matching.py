"""Models that do not draw from the density that they score."""

from __future__ import annotations

import torch
from torch import Tensor

from probgen.capabilities import Enumerable
from probgen.testing.twins.originals import Coins, Gaussian

__all__ = [
    "DrawsAnotherCoin",
    "DrawsCorrelatedCoordinates",
    "DrawsCorrelatedPixels",
    "DrawsTooWidely",
    "DrawsTooWidelyOnTheLine",
    "DrawsWithAnotherSign",
    "IgnoresTheContext",
]


class DrawsTooWidely(Gaussian):
    """Takes the standard deviation for a variance when it draws."""

    def __init__(self, *, features: int = 3) -> None:
        super().__init__(features=features)
        with torch.no_grad():
            self.log_scale.add_(1.0)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        location = self.location(context)
        return location + (super()._rsample(n, context) - location) * torch.exp(0.5 * self.log_scale)


class DrawsTooWidelyOnTheLine(DrawsTooWidely):
    """Does so with a single entry."""

    def __init__(self) -> None:
        super().__init__(features=1)


class DrawsWithAnotherSign(Gaussian):
    """Subtracts the location instead of adding it."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return super()._rsample(n, context) - 2 * self.location(context)


class DrawsCorrelatedCoordinates(Gaussian):
    """Shares noise between two coordinates; each of them alone is right."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.randn(n, 2, dtype=self.loc.dtype)
        mixed = torch.stack([noise[:, 0], 0.8 * noise[:, 0] + 0.6 * noise[:, 1]], 1)
        return self.location(context) + self.log_scale.exp() * mixed


class DrawsAnotherCoin(Coins):
    """Draws zeros with the probability of ones."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return 1 - super()._sample(n, context)


class IgnoresTheContext(Gaussian):
    """Draws without looking at the context."""

    def __init__(self) -> None:
        super().__init__(features=1, context=1)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return super()._rsample(n, None if context is None else torch.zeros_like(context))


class DrawsCorrelatedPixels(Coins):
    """Draws the second half of its bits, too many to list, as copies of the first; each of them alone is right."""

    def __init__(self) -> None:
        super().__init__(features=16)
        with torch.no_grad():
            self.logits.copy_(self.logits[:8].repeat(2))

    def _capabilities(self) -> frozenset[type]:
        return super()._capabilities() - {Enumerable}

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        first = super()._sample(n, context)[:, :8]
        return torch.cat([first, first], 1)

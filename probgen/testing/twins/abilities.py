"""Models that say they can do what they cannot, or the reverse; wrong lists of events."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import Invertible, Reparameterized
from probgen.testing.twins.originals import BitPair, Coins, Gaussian

__all__ = [
    "BoundsWithoutAClaim",
    "CannotDrawGradients",
    "ForgetsAnEvent",
    "HidesItsGradients",
    "ListsAnEventTwice",
    "ListsCodes",
    "ListsSigns",
    "SaysToBeInvertible",
]


class CannotDrawGradients(Coins, Reparameterized):
    """Derives from the contract of reparameterised samplers and has nothing to offer."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        raise NotImplementedError("coins have no gradients")


class HidesItsGradients(Gaussian):
    """Draws with gradients, but does not say so."""

    def _capabilities(self) -> frozenset[type]:
        return super()._capabilities() - {Reparameterized}


class SaysToBeInvertible(Gaussian):
    """Adds a capability to its set without deriving from it."""

    def _capabilities(self) -> frozenset[type]:
        return super()._capabilities() | {Invertible}


class BoundsWithoutAClaim(BitPair):
    """Has a bound and does not say on which side."""

    @property
    def bound_claim(self) -> Any:
        """Nothing."""
        return None


class ListsAnEventTwice(Coins):
    """Appends the first event to the list."""

    def enumerate_support(self) -> Tensor:
        """Return too many events."""
        events = super().enumerate_support()
        return torch.cat([events, events[:1]])


class ForgetsAnEvent(Coins):
    """Leaves the last event out."""

    def enumerate_support(self) -> Tensor:
        """Return too few events."""
        return super().enumerate_support()[:-1]


class ListsCodes(Coins):
    """Returns the numbers of events for the events."""

    def enumerate_support(self) -> Tensor:
        """Return numbers."""
        return torch.arange(8.0)


class ListsSigns(Coins):
    """Has minus one for zero."""

    def enumerate_support(self) -> Tensor:
        """Return signs."""
        return 2 * super().enumerate_support() - 1

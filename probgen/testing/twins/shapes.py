"""Models whose shapes, or whose treatment of a batch, are wrong."""

from __future__ import annotations

import torch
from torch import Tensor

from probgen.testing.twins.originals import BitPair, Gaussian, Machine

__all__ = [
    "AlignsContextsFromTheLeft",
    "BroadcastsEvents",
    "EnergyFailsOnAnEmptyBatch",
    "FailsOnAnEmptyBatch",
    "IgnoresASuperfluousContext",
    "MeanBound",
    "MeanEnergy",
    "SortsTheBatch",
    "StandardisesOverTheBatch",
    "SumsOverTheBatch",
    "UsesTheFirstContext",
]


class SumsOverTheBatch(Gaussian):
    """Adds up the scores of all events."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return one number for the whole batch."""
        return super().log_prob(x, context).sum()


class FailsOnAnEmptyBatch(Gaussian):
    """Takes the largest score of the batch away and adds it again; there is none in an empty batch."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        scores = super()._log_prob(x, context)
        return (scores - scores.max()) + scores.max()


class BroadcastsEvents(Gaussian):
    """Checks no shapes, so that an event of one entry is taken for one of equal entries."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Score whatever broadcasts."""
        return self._log_prob(x, context)


class AlignsContextsFromTheLeft(Gaussian):
    """Adds batch dimensions of a context on its right."""

    def __init__(self) -> None:
        super().__init__(context=1)

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Score with contexts moved to the left."""
        if context is not None and 1 < context.ndim < x.ndim:
            context = context.reshape(*context.shape[:-1], *(1 for _ in range(x.ndim - context.ndim)), -1)
        return super().log_prob(x, context)


class IgnoresASuperfluousContext(Gaussian):
    """Is not conditional and accepts a context all the same."""

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Score without the context."""
        return super().log_prob(x)


class MeanEnergy(Machine):
    """Averages the energy over the batch."""

    def energy(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return one number for the whole batch."""
        return super().energy(x, context).mean()


class EnergyFailsOnAnEmptyBatch(Machine):
    """Reads the type of its numbers off the first event."""

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._energy(x, context).to(x[0].dtype)


class MeanBound(BitPair):
    """Averages the bound over the batch."""

    def log_prob_bound(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return one number for the whole batch."""
        return super().log_prob_bound(x, context).mean()


class StandardisesOverTheBatch(Gaussian):
    """Normalises events by the mean of the batch, as a batch norm does that stays in training mode."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x - 0.1 * x.mean(0), context)


class UsesTheFirstContext(Gaussian):
    """Scores every event under the context of the first."""

    def __init__(self) -> None:
        super().__init__(context=1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob(x, None if context is None else context[:1])


class SortsTheBatch(Gaussian):
    """Returns scores in ascending order."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return torch.sort(super()._log_prob(x, context)).values

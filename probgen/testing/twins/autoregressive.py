"""Products of conditionals with a mistake in the order, or in a conditional."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from probgen.testing.twins.originals import BitChain, RealChain

__all__ = [
    "AnnouncesAnotherOrder",
    "ForgetsTheConstantOfATerm",
    "LeavesATermOut",
    "NamesAnEntryTwice",
    "ScoresLogOdds",
    "SeesTheEntryItself",
    "SeesTheFuture",
    "SeesTheFutureOfARealEvent",
]


class SeesTheFuture(BitChain):
    """Has a mask with one entry too many."""

    def __init__(self) -> None:
        super().__init__()
        self.precedes[2, 1] = 1.0


class SeesTheFutureOfARealEvent(RealChain):
    """Does so by very little."""

    def __init__(self) -> None:
        super().__init__()
        self.precedes[0, 1] = 1e-12


class AnnouncesAnotherOrder(BitChain):
    """Draws in one order and announces the natural one."""

    def __init__(self) -> None:
        super().__init__()
        self.announced = torch.arange(3)

    @property
    def order(self) -> Tensor:
        """The natural order, once the masks are made."""
        return getattr(self, "announced", super().order)


class LeavesATermOut(BitChain):
    """Adds up the terms of all entries but the first."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._log_prob_terms(x, context)[:, 1:].sum(-1)


class NamesAnEntryTwice(AnnouncesAnotherOrder):
    """Announces the first entry in the place of the last."""

    def __init__(self) -> None:
        super().__init__()
        self.announced = torch.tensor([0, 1, 0])


class ScoresLogOdds(BitChain):
    """Scores a bit by its log-odds, without the log-partition."""

    def _log_prob_terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        return x * self.predicted(x)


class ForgetsTheConstantOfATerm(RealChain):
    """Leaves the two pi out."""

    def _log_prob_terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob_terms(x, context) + 0.5 * math.log(2 * math.pi)


class SeesTheEntryItself(BitChain):
    """Has a mask of zeros below the diagonal only: each bit predicts itself."""

    def __init__(self) -> None:
        super().__init__()
        self.precedes += torch.eye(3)

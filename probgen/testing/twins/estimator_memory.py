"""Estimators that go wrong when steps follow each other, or batches differ."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.estimator import Estimate, Estimator, State
from probgen.testing.twins.likelihoods import PlainLikelihood

__all__ = ["BRITTLE", "CHANGING", "COUPLED", "ORDERED", "STALE"]


class SlotAverage(PlainLikelihood):
    """A moving average for each slot of the batch, as long as the batch is; it fails where the next one is shorter."""

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Start at zero."""
        return {"average": torch.zeros_like(self.scores(model, batch)).detach()}

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return scores, centred slot by slot."""
        scores = self.scores(model, batch)
        average = 0.9 * state["average"] + 0.1 * scores.detach()
        return Estimate(-scores.mean(), scores.detach(), state={"average": average})


class ShrinkingAverage(SlotAverage):
    """The same, cut to the size of the batch: no error, and the slots of other examples are mixed."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return scores and averages of as many slots as there are examples."""
        scores = self.scores(model, batch)
        past = state["average"].mean().expand(len(batch))
        return Estimate(-scores.mean(), scores.detach(), state={"average": 0.9 * past + 0.1 * scores.detach()})


class LateState(PlainLikelihood):
    """The state appears with the first step."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return a state that was not there."""
        found = super().estimate(model, batch, state)
        return Estimate(found.surrogate, found.value, state={"average": found.value.mean()})


class AttachedState(PlainLikelihood):
    """The state carries the graph of the step that made it."""

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Start at zero."""
        return {"average": torch.zeros_like(self.scores(model, batch).mean()).detach()}

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the mean of scores with its graph."""
        scores = self.scores(model, batch)
        return Estimate(-scores.mean(), scores.detach(), state={"average": scores.mean()})


class _Averages(PlainLikelihood):
    """Scores less a moving average of them, of which nothing is claimed here."""

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Start at zero."""
        return {"average": torch.zeros_like(self.scores(model, batch).mean()).detach()}

    def centred(self, scores: Tensor, past: Tensor) -> Estimate:
        """Return scores less the past average, and the next one."""
        following = 0.9 * past + 0.1 * scores.detach().mean()
        return Estimate(-(scores - past).mean(), scores.detach() - past, state={"average": following})


class KeepsTheFirstState(_Averages):
    """Goes on from the state of its first call, whatever it is given."""

    def __init__(self) -> None:
        self.first: Tensor | None = None

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return scores less the average that there was at first."""
        if self.first is None:
            self.first = state["average"]
        return self.centred(self.scores(model, batch), self.first)


class KeepsTheLatestState(_Averages):
    """Goes on from what it returned last, and looks at what it is given only in its first call."""

    def __init__(self) -> None:
        self.latest: Tensor | None = None

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return scores less the average of its own calls."""
        found = self.centred(self.scores(model, batch), state["average"] if self.latest is None else self.latest)
        self.latest = found.state["average"]
        return found


class IgnoresItsState(_Averages):
    """Returns the mean of the batch as its state, and starts anew in each step."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return scores less nothing."""
        scores = self.scores(model, batch)
        return self.centred(scores, torch.zeros_like(scores.detach().mean()))


class DividesBySpread(PlainLikelihood):
    """Scores are divided by their standard deviation over the batch, which one example does not have."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return standardised scores."""
        scores = super().scores(model, batch)
        centred = scores.detach() - scores.detach().mean()
        return scores / (centred.square().sum() / (len(batch) - 1)).sqrt()


class FirstCountsMore(PlainLikelihood):
    """Examples weigh less the later they stand in the batch."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return weighted scores."""
        scores = super().scores(model, batch)
        return scores / torch.arange(1, len(batch) + 1, dtype=scores.dtype)


class RunningTotal(PlainLikelihood):
    """Each example's value has those before it added."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return sums over prefixes."""
        return super().scores(model, batch).cumsum(0)


class CentredByTheBatch(PlainLikelihood):
    """Examples are compared with the batch's largest, and nobody is told."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return scores less the largest."""
        scores = super().scores(model, batch)
        return scores - 0.5 * scores.amax()


class SummedSurrogate(PlainLikelihood):
    """The surrogate is the sum over the batch."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the sum."""
        scores = self.scores(model, batch)
        return Estimate(-scores.sum(), scores.detach())


Twins = dict[str, Callable[[], Estimator]]

CHANGING: Twins = {
    "an average for each slot, cut to the batch": ShrinkingAverage,
    "a state that comes late": LateState,
    "a state with a graph": AttachedState,
}
STALE: Twins = {
    "goes on from its first state": KeepsTheFirstState,
    "goes on from its own latest state": KeepsTheLatestState,
    "ignores its state": IgnoresItsState,
}
BRITTLE: Twins = {"an average for each slot": SlotAverage, "divides by the spread": DividesBySpread}
ORDERED: Twins = {"the first counts more": FirstCountsMore, "running totals": RunningTotal}
COUPLED: Twins = {"centred by the batch": CentredByTheBatch, "a sum over the batch": SummedSurrogate}

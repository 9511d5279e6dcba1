"""Estimators that misbehave, whatever they estimate."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.claims import Claims, Exact, Unbiased
from probgen.estimator import Estimate, Estimator, Phase, State, parameters_of
from probgen.testing.twins.likelihoods import PlainLikelihood

__all__ = ["HIDDEN", "IDLE", "IMPURE", "MISSHAPEN", "SILENT", "UNREPEATABLE"]


class SaysNothing(PlainLikelihood):
    """No claim covers the parameters."""

    @property
    def claims(self) -> Claims:
        """Speak of others."""
        return Claims(value=Exact("log_prob"), gradient={"somewhere.else": Unbiased("grad:log_prob")})


class SpeaksProse(PlainLikelihood):
    """The claims are in words that nothing can be looked up by."""

    @property
    def claims(self) -> Claims:
        """Speak in formulas."""
        return Claims(value=Exact("log p(x), more or less"), gradient={"*": Unbiased("grad:log_prob")})


class ForgetsAPhase(PlainLikelihood):
    """The claims are about the value of a phase of another name."""

    @property
    def claims(self) -> Claims:
        """Speak of another phase."""
        return Claims(value={"other": Exact("log_prob")}, gradient={"*": Unbiased("grad:log_prob")})


class AttachedValue(PlainLikelihood):
    """The value carries its graph."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the value as it is."""
        scores = self.scores(model, batch)
        return Estimate(-scores.mean(), scores)


class ColumnOfValues(PlainLikelihood):
    """The value is a column."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return `(N, 1)`."""
        scores = self.scores(model, batch)
        return Estimate(-scores.mean(), scores.detach()[:, None])


class MeanValue(PlainLikelihood):
    """The value is the batch's mean, where each example has one."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return a scalar."""
        scores = self.scores(model, batch)
        return Estimate(-scores.mean(), scores.detach().mean())


class SurrogatePerExample(PlainLikelihood):
    """The surrogate is not reduced."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return a surrogate of shape `(N,)`."""
        scores = self.scores(model, batch)
        return Estimate(-scores, scores.detach())


class InfoPerExample(PlainLikelihood):
    """What is to be logged is no scalar, and carries a graph."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the scores as info."""
        scores = self.scores(model, batch)
        return Estimate(-scores.mean(), scores.detach(), info={"scores": scores.repeat(2)})


class CountsCalls(PlainLikelihood):
    """What it returns depends on how often it was asked."""

    def __init__(self) -> None:
        self.calls = 0

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return a little more each time."""
        self.calls += 1
        return super().scores(model, batch) + 0.01 * self.calls


class SetsTheSeed(PlainLikelihood):
    """The noise is the same each time, since the seed is set for it."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return scores with noise that does not vary."""
        torch.manual_seed(0)
        scores = super().scores(model, batch)
        return scores + torch.randn_like(scores)


class DrawsFromNumpy(PlainLikelihood):
    """The noise is numpy's."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return scores with noise from elsewhere."""
        return super().scores(model, batch) * float(np.random.rand())  # which is the mistake


class DrawsFromPython(PlainLikelihood):
    """The noise is Python's."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return scores with noise from elsewhere."""
        return super().scores(model, batch) * random.random()


class StepsInPlace(PlainLikelihood):
    """The state's own tensor is changed."""

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Start counting."""
        return {"steps": torch.zeros(())}

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Count in place."""
        state["steps"].add_(1)
        return super().estimate(model, batch, state)


class TurnsTheBatch(PlainLikelihood):
    """The batch's own tensor is changed."""

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Reverse the batch in place and score it."""
        batch.x.copy_(batch.x.flip(0).clone())
        return super().scores(model, batch)


class RemembersInAnAttribute(PlainLikelihood):
    """A moving average is an attribute and no state."""

    def __init__(self) -> None:
        self.average: Tensor | None = None

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return scores less the average of earlier ones."""
        scores = super().scores(model, batch)
        past, present = self.average, scores.detach().mean()
        self.average = present if past is None else 0.9 * past + 0.1 * (present + 1)
        return scores if past is None else scores - past


class LeavesGradients(PlainLikelihood):
    """The gradient is taken by `backward`, which leaves it in the parameters."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Back-propagate, too."""
        self.scores(model, batch).mean().backward()
        return super().estimate(model, batch, state)


class MovesTheModel(PlainLikelihood):
    """It makes a step of its own."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Shrink the parameters."""
        found = super().estimate(model, batch, state)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.data.mul_(0.99)
        return found


class UnsavedParameter(PlainLikelihood):
    """A phase trains a parameter that belongs to nobody."""

    def __init__(self) -> None:
        self.shift = nn.Parameter(torch.zeros(()))

    @property
    def claims(self) -> Claims:
        """Exact at the start."""
        return Claims(value=Exact("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the phase, with the stray."""
        return [Phase("main", {**parameters_of(model), "shift": self.shift}, estimate=self.estimate)]


class GradientOfAValue(PlainLikelihood):
    """Claims of its gradient what is true of its value."""

    @property
    def claims(self) -> Claims:
        """One name for both."""
        return Claims(value=Exact("log_prob"), gradient={"*": Unbiased("log_prob")})


class IdleNetwork(PlainLikelihood):
    """What it says it learns is in no phase."""

    def __init__(self) -> None:
        self.network = nn.Linear(1, 1)

    @property
    def learned(self) -> nn.Module:
        """The network."""
        return self.network


class TrainsNothing(PlainLikelihood):
    """The surrogate is multiplied by zero."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return no gradient."""
        found = super().estimate(model, batch, state)
        return Estimate(0 * found.surrogate, found.value)


Twins = dict[str, Callable[[], Estimator]]

SILENT: Twins = {
    "claims a value of its gradient": GradientOfAValue,
    "silent about parameters": SaysNothing,
    "claims in prose": SpeaksProse,
    "silent about a phase": ForgetsAPhase,
}
MISSHAPEN: Twins = {
    "the value carries a graph": AttachedValue,
    "the value is a column": ColumnOfValues,
    "the value is the batch's mean": MeanValue,
    "the surrogate is not reduced": SurrogatePerExample,
    "info is no scalar": InfoPerExample,
}
UNREPEATABLE: Twins = {"counts its calls": CountsCalls, "sets the seed": SetsTheSeed}
HIDDEN: Twins = {
    "draws from numpy": DrawsFromNumpy,
    "draws from Python": DrawsFromPython,
    "sets torch's seed": SetsTheSeed,
}
IMPURE: Twins = {
    "changes the state in place": StepsInPlace,
    "changes the batch": TurnsTheBatch,
    "remembers in an attribute": RemembersInAnAttribute,
    "leaves gradients": LeavesGradients,
    "changes the model": MovesTheModel,
}
IDLE: Twins = {
    "trains what is not saved": UnsavedParameter,
    "learns what no phase trains": IdleNetwork,
    "trains nothing": TrainsNothing,
}

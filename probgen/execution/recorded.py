"""An estimator whose phases are replayed from graphs: to hold recorded phases to the claims of the written ones."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from torch import nn

from probgen.batch import Batch
from probgen.claims import Claims
from probgen.estimator import Estimate, Estimator, Phase, State
from probgen.execution.staged import StagedPhase

__all__ = ["Recorded"]


class Recorded(Estimator):
    """The same estimator, with each phase recorded as a graph of tensor operations.

    It makes the same claims, so `probgen.testing.check_estimator(Recorded(estimator))` tells whether a graph keeps them.

    Args:
        estimator: What to record.
        rewrites: Whether operations are replaced by faster ones; without, results are the estimator's own, bit for bit.

    Raises:
        StagingError: when a phase is run that cannot be recorded.

    Example:
        >>> from probgen import MaximumLikelihood
        >>> Recorded(MaximumLikelihood()).objective.name
        'log_prob'
    """

    def __init__(self, estimator: Estimator, *, rewrites: bool = False) -> None:
        self.estimator = estimator
        self.rewrites = rewrites
        self.requires = estimator.requires
        self.objective = estimator.objective
        self.batch_coupled = estimator.batch_coupled

    def __getattr__(self, name: str) -> Any:
        """Return an option of the estimator's."""
        if name.startswith("__") or "estimator" not in vars(self):
            raise AttributeError(name)
        return getattr(self.estimator, name)

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an option of the estimator's, where it has one of this name."""
        inner = vars(self).get("estimator")
        if inner is not None and name in vars(inner) and name not in vars(self):
            setattr(inner, name, value)
        else:
            super().__setattr__(name, value)

    @property
    def claims(self) -> Claims:
        """The estimator's claims."""
        return self.estimator.claims

    @property
    def learned(self) -> nn.Module | None:
        """What the estimator learns."""
        return self.estimator.learned

    def initialize(self, model: Any, batch: Batch) -> None:
        """Let the estimator build what depends on the model."""
        self.estimator.initialize(model, batch)

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return the estimator's state before the first step."""
        return self.estimator.initial_state(model, batch)

    def check(self, model: Any) -> None:
        """Raise `CapabilityError` unless `model` can do what the estimator needs."""
        self.estimator.check(model)

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the estimator's phases; those that differentiate run from graphs."""
        return [
            phase if phase.estimate is None else dataclasses.replace(phase, estimate=self._replaying(phase, model))
            for phase in self.estimator.phases(model)
        ]

    def _replaying(self, phase: Phase, model: Any) -> Any:
        parameters = list(phase.parameters.values())
        staged = StagedPhase(phase, model, self.estimator, parameters, rewrites=self.rewrites)

        def estimate(given: Any, batch: Batch, state: State) -> Estimate:
            results = staged(batch, state)
            surrogate = results.estimate.surrogate
            for parameter, gradient in zip(parameters, results.gradients, strict=True):
                if gradient is not None:
                    surrogate = surrogate + ((parameter - parameter.detach()) * gradient).sum()
            return dataclasses.replace(results.estimate, surrogate=surrogate)

        return estimate

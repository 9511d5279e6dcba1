"""Estimators of one phase that trains the whole model."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any

from probgen.batch import Batch
from probgen.estimator import Estimate, Estimator, Phase, State, parameters_of

__all__ = ["SinglePhase"]


class SinglePhase(Estimator, abc.ABC):
    """An estimator whose step is one estimate."""

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the one phase."""
        return [Phase("main", parameters_of(model), estimate=self.estimate)]

    @abc.abstractmethod
    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the estimate."""

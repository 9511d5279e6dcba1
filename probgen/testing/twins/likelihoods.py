"""The log-likelihood as an estimator, for twins to get wrong in their own way."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from probgen.batch import Batch
from probgen.claims import Claims, Exact, Unbiased
from probgen.density import Density
from probgen.estimator import Estimate, Objective, State
from probgen.testing.twins.single_phase import SinglePhase

__all__ = ["PlainLikelihood"]


class PlainLikelihood(SinglePhase):
    """Maximum likelihood, in parts that a twin may replace."""

    requires = (Density,)
    objective = Objective("log_prob", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Exact."""
        return Claims(value=Exact("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the mean log-likelihood."""
        scores = self.scores(model, batch)
        return Estimate(-scores.mean(), scores.detach(), state=state)

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return the log-likelihood of each example."""
        return model.log_prob(batch.x, batch.context)

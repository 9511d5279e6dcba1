"""Estimators that are wrong about their objective, and right in what they compute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from probgen.batch import Batch
from probgen.claims import Claims, Exact, Heuristic, LowerBound, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, State
from probgen.estimators.mmd import MMD
from probgen.testing.twins.likelihoods import PlainLikelihood

__all__ = ["TWINS"]


class MinimisesTheLikelihood(PlainLikelihood):
    """Says that training makes the log-likelihood small: the epoch of the worst one would be selected."""

    objective = Objective("log_prob", "nats", "minimise")


class MaximisesADiscrepancy(MMD):
    """Says that training makes a discrepancy large."""

    objective = Objective("mmd2", "units of the kernel", "maximise")


class NamesAnotherQuantity(PlainLikelihood):
    """Calls the log-likelihood a bound."""

    objective = Objective("elbo", "nats", "maximise")


class NamesWhatItBounds(PlainLikelihood):
    """Calls what it says bounds the log-likelihood the log-likelihood."""

    @property
    def claims(self) -> Claims:
        """Speak of a bound."""
        return Claims(value=LowerBound("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

    def scores(self, model: Any, batch: Batch) -> Tensor:
        """Return what is below the log-likelihood."""
        return super().scores(model, batch) - 0.5


class Climbs(PlainLikelihood):
    """The surrogate is the log-likelihood rather than minus it, and of its gradient nothing is promised."""

    @property
    def claims(self) -> Claims:
        """Promise the value alone."""
        return Claims(value=Exact("log_prob"), gradient={"*": Heuristic("it worked once")})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return a surrogate of the wrong sign."""
        found = super().estimate(model, batch, state)
        return Estimate(-found.surrogate, found.value)


class PointsUpwards(PlainLikelihood):
    """The direction is a word that nothing knows."""

    objective = Objective("log_prob", "nats", "up")  # pyright: ignore[reportArgumentType]  # which is the mistake


class HasNoUnit(PlainLikelihood):
    """Nobody is told what the number counts."""

    objective = Objective("log_prob", "", "maximise")


TWINS: dict[str, Callable[[], Estimator]] = {
    "minimises the likelihood": MinimisesTheLikelihood,
    "maximises a discrepancy": MaximisesADiscrepancy,
    "names another quantity": NamesAnotherQuantity,
    "names what it bounds": NamesWhatItBounds,
    "climbs where it should descend": Climbs,
    "points upwards": PointsUpwards,
    "has no unit": HasNoUnit,
}

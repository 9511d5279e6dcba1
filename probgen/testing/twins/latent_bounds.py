"""Bounds of latent-variable models, wrong."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.claims import Claim, Claims, Consistent, LowerBound, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, State
from probgen.estimators.cut_draws import CutDraws
from probgen.estimators.divergences import divergence_at
from probgen.estimators.iwae import IWAE
from probgen.estimators.iwae_gradients import STL, ImportanceGradient
from probgen.latent import LatentTrace, LatentVariable
from probgen.pyro_bridge import Drawn, Statement, run_pair
from probgen.testing.twins.single_phase import SinglePhase

__all__ = ["IMPRECISE", "TWINS", "UNSTABLE"]


class _Bound(SinglePhase, abc.ABC):
    """A bound by reparameterised draws, said to be right.

    Args:
        num_particles: $K$.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")
    draw: Callable[[Statement], Drawn | None] | None = None

    def __init__(self, *, num_particles: int = 1) -> None:
        self.num_particles = num_particles

    @property
    def claims(self) -> Claims:
        """Unbiased for the bound with so many particles."""
        bound = "elbo" if self.num_particles == 1 else f"iwae[{self.num_particles}]"
        return Claims(value=[Unbiased(bound), LowerBound("log_prob")], gradient={"*": Unbiased(f"grad:{bound}")})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the bound, and what is differentiated in its place."""
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles, draw=self.draw)
        trace.require_reparameterized(type(self).__name__)
        return Estimate(self.surrogate(trace), self.value(trace).detach())

    def value(self, trace: LatentTrace) -> Tensor:
        """Return the value of each example."""
        return trace.log_weights.logsumexp(0) - math.log(self.num_particles)

    def surrogate(self, trace: LatentTrace) -> Tensor:
        """Return what is to be minimised."""
        return -self.value(trace).mean()


class AttachedWeights(_Bound):
    """The normalised weights are differentiated as well as what they weigh."""

    def surrogate(self, trace: LatentTrace) -> Tensor:
        """Return the weighted log-weights."""
        log_weights = trace.log_weights
        return -(log_weights.softmax(0) * log_weights).sum(0).mean()


class InvertedWeights(_Bound):
    """The weights have the wrong sign in their exponent."""

    def surrogate(self, trace: LatentTrace) -> Tensor:
        """Return the weighted log-weights."""
        log_weights = trace.log_weights
        return -((-log_weights).detach().softmax(0) * log_weights).sum(0).mean()


class AnalyticDivergenceInside(_Bound):
    """The closed-form divergence stands for log q - log p inside the importance weight."""

    def value(self, trace: LatentTrace) -> Tensor:
        """Return the mean of the wrong weights."""
        gain = trace.total(site.log_p for site in trace.observations)
        cost = trace.total(divergence_at(trace, site, analytic=True) for site in trace.latents)
        return (gain - cost).logsumexp(0) - math.log(self.num_particles)


class VarianceAsScale(_Bound):
    """Draws are spread by the variance of their law, whose logarithm was taken for that of the standard deviation."""

    @staticmethod
    def draw(statement: Statement) -> Drawn | None:  # pyright: ignore[reportIncompatibleVariableOverride]
        """Draw from a law that is narrower, or wider, than the one that is scored."""
        law = statement.distribution
        if not law.has_rsample:
            return None
        return Drawn(law.mean + law.variance * torch.randn_like(law.mean), reparameterized=True)


class Ascent(_Bound):
    """The surrogate has the sign of the objective, so that it is made small."""

    def surrogate(self, trace: LatentTrace) -> Tensor:
        """Return the value itself."""
        return self.value(trace).mean()


class Summed(_Bound):
    """The surrogate is the sum over the batch."""

    def surrogate(self, trace: LatentTrace) -> Tensor:
        """Return the sum."""
        return -self.value(trace).sum()


class NoEntropy(_Bound):
    """The guide's log-density is forgotten."""

    def value(self, trace: LatentTrace) -> Tensor:
        """Return the joint density alone."""
        return trace.log_joint.mean(0)


class NoPrior(_Bound):
    """The divergence has half its weight, and the bound is called a bound all the same."""

    def value(self, trace: LatentTrace) -> Tensor:
        """Return the likelihood less half a divergence."""
        gain = trace.total(site.log_p for site in trace.observations)
        cost = trace.total(site.log_q - site.log_p for site in trace.latents if site.log_q is not None)
        return (gain - 0.5 * cost).mean(0)


class EvidenceItself(_Bound):
    """The importance-weighted bound is said to be the evidence."""

    @property
    def claims(self) -> Claims:
        """One claim too many."""
        return Claims(value=Unbiased("log_prob"), gradient={"*": Unbiased(f"grad:iwae[{self.num_particles}]")})


class NeverTight(_Bound):
    """The ELBO averaged over particles is said to approach the evidence as there are more."""

    @property
    def claims(self) -> Claims:
        """One claim too many."""
        return Claims(value=Consistent("log_prob", "num_particles"), gradient={"*": Unbiased("grad:elbo")})

    def value(self, trace: LatentTrace) -> Tensor:
        """Return the mean of the log-weights."""
        return trace.log_weights.mean(0)


class _BoldSTL(ImportanceGradient):
    """Sticking the landing, called unbiased for any number of particles."""

    cuts_draws = True

    def claims(self, num_particles: int) -> Mapping[str, Claim]:
        """Return too much."""
        return {"*": Unbiased(f"grad:iwae[{num_particles}]")}

    def surrogate(self, trace: LatentTrace, cuts: CutDraws) -> Tensor:
        """Return what sticking the landing does."""
        return STL().surrogate(trace, cuts)


class NaiveMean(_Bound):
    """Weights are averaged as they are, and not by their logarithms."""

    def value(self, trace: LatentTrace) -> Tensor:
        """Return the logarithm of a mean that may underflow."""
        return trace.log_weights.exp().mean(0).log()


class FarReference(_Bound):
    """Log-weights are measured from a level far away, which costs their last digits."""

    def value(self, trace: LatentTrace) -> Tensor:
        """Return the mean, there and back."""
        return (trace.log_weights + 1e6).mean(0) - 1e6


TWINS: dict[str, Callable[[], Estimator]] = {
    "importance weights are differentiated": lambda: AttachedWeights(num_particles=2),
    "importance weights have the wrong sign": lambda: InvertedWeights(num_particles=2),
    "closed-form divergence inside the importance weight": lambda: AnalyticDivergenceInside(num_particles=2),
    "log-variance used for the scale": VarianceAsScale,
    "the surrogate has the wrong sign": Ascent,
    "the surrogate is a sum over the batch": Summed,
    "the guide's entropy is dropped": NoEntropy,
    "half the divergence, called a bound": NoPrior,
    "the bound is called unbiased for the evidence": lambda: EvidenceItself(num_particles=2),
    "an average of bounds is called consistent": lambda: NeverTight(num_particles=2),
    "sticking the landing is called unbiased": lambda: IWAE(num_particles=2, gradient=_BoldSTL()),
}
"""What `claims` must fail."""

UNSTABLE: dict[str, Callable[[], Estimator]] = {"weights underflow": lambda: NaiveMean(num_particles=2)}
"""What `extremes` must fail."""

IMPRECISE: dict[str, Callable[[], Estimator]] = {"digits cancel": FarReference}
"""What `precision` must fail."""

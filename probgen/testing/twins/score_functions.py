"""Score-function gradients and phases of latent-variable models, wrong."""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.claims import Biased, Claims, LowerBound, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, Phase, State
from probgen.estimators.program_names import GENERATIVE, INFERENCE, parameters_by_program, parameters_of_program
from probgen.estimators.wake_sleep import dream_score
from probgen.latent import LatentTrace, LatentVariable
from probgen.pyro_bridge import run_pair
from probgen.testing.twins.single_phase import SinglePhase

__all__ = ["TWINS"]


class _Scored(SinglePhase, abc.ABC):
    """The ELBO by score functions, said to be right.

    Args:
        num_particles: $K$.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")
    gradient = "grad:elbo"

    def __init__(self, *, num_particles: int = 2) -> None:
        self.num_particles = num_particles

    @property
    def claims(self) -> Claims:
        """Unbiased for the ELBO."""
        return Claims(value=[Unbiased("elbo"), LowerBound("log_prob")], gradient={"*": Unbiased(self.gradient)})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the bound and its gradient."""
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles)
        signal = trace.log_weights.detach()
        residual, following = self.residual(signal, state)
        bound = trace.log_joint - trace.log_guide.detach() + residual * self.scores(trace)
        return Estimate(-self.joined(bound), signal.mean(0), state=following)

    def residual(self, signal: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what the scores are multiplied with, `(K, N)`, and the next state."""
        return signal, state

    def scores(self, trace: LatentTrace) -> Tensor:
        """Return the log-density of the draws."""
        return trace.log_guide

    def joined(self, bound: Tensor) -> Tensor:
        """Return one number from those of particles and examples."""
        return bound.mean()


class IncludesItself(_Scored):
    """Leave-one-out without its 1 / (K - 1): the mean that is subtracted has the particle itself in it."""

    def residual(self, signal: Tensor, state: State) -> tuple[Tensor, State]:
        """Return deviations from the mean."""
        return signal - signal.mean(0), state


class PresentAverage(_Scored):
    """The moving average has the present signals in it before it is subtracted from them."""

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Start at zero."""
        return {"average": torch.zeros((), dtype=batch.x.dtype)}

    def residual(self, signal: Tensor, state: State) -> tuple[Tensor, State]:
        """Return deviations from the new average."""
        average = 0.8 * state["average"] + 0.2 * signal.mean()
        return signal - average, {"average": average}


class NearlyWhole(_Scored):
    """The score's term counts by 0.999."""

    def scores(self, trace: LatentTrace) -> Tensor:
        """Return a little less."""
        return 0.999 * trace.log_guide


class WrongSign(_Scored):
    """The score's term has the wrong sign."""

    def scores(self, trace: LatentTrace) -> Tensor:
        """Return the opposite."""
        return -trace.log_guide


class NoScore(_Scored):
    """Draws without gradients are differentiated through as if they had them."""

    def scores(self, trace: LatentTrace) -> Tensor:
        """Return nothing."""
        return torch.zeros_like(trace.log_guide)


class SummedOverBatch(_Scored):
    """The surrogate is the sum over the batch."""

    def joined(self, bound: Tensor) -> Tensor:
        """Return the sum over examples of the mean over particles."""
        return bound.mean(0).sum()


class AnotherBound(_Scored):
    """The ELBO's gradient is said to be that of the importance-weighted bound."""

    gradient = "grad:iwae[2]"


class ForgetsBitsBesidePaths(_Scored):
    """Where some draws have paths, the entropy of the others is forgotten: right on bits, and right on normal variables.

    There are so many particles that their outcomes can be listed where all of them are bits, and nowhere else.
    """

    def __init__(self, *, num_particles: int = 4) -> None:
        super().__init__(num_particles=num_particles)

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the bound and its gradient, by the scores of some draws and the paths of the others."""
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles)
        scores = [site.log_q for site in trace.latents if not site.reparameterized]
        if not scores:
            return Estimate(-self.joined(trace.log_weights), trace.log_weights.detach().mean(0))
        mixed = len(scores) < len(trace.latents)
        bound = trace.log_weights + self.forgotten(trace.total(scores), mixed=mixed)
        return Estimate(-self.joined(bound + bound.detach() * trace.total(scores)), bound.detach().mean(0))

    def forgotten(self, scores: Tensor, *, mixed: bool) -> Tensor:
        """Return what is left out of the bound."""
        return scores if mixed else torch.zeros_like(scores)


class SelfInclusiveVIMCO(_Scored):
    """Each particle's weight is replaced by the geometric mean of all, its own included."""

    @property
    def claims(self) -> Claims:
        """Those of VIMCO."""
        bound = f"iwae[{self.num_particles}]"
        return Claims(value=Unbiased(bound), gradient={"*": Unbiased(f"grad:{bound}")})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the bound, with a baseline that depends on the particle that it corrects."""
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles)
        log_weights = trace.log_weights
        bound = log_weights.logsumexp(0) - math.log(self.num_particles)
        weights = log_weights.detach()
        own = torch.eye(len(weights), dtype=torch.bool).unsqueeze(-1)
        replaced = torch.where(own, weights.mean(0), weights.expand(len(weights), *weights.shape))
        gains = bound.detach() - (replaced.logsumexp(1) - math.log(self.num_particles))
        surrogate = bound + (gains * trace.log_guide).sum(0)
        return Estimate(-surrogate.mean(), bound.detach())


class RestlessWake(Estimator):
    """The wake phase trains the guide as well, by the objective of the model."""

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Those of wake-sleep."""
        return Claims(
            value={"wake": [Unbiased("elbo"), LowerBound("log_prob")], "sleep": Unbiased("sleep")},
            gradient={GENERATIVE: Unbiased("grad:elbo"), INFERENCE: Unbiased("grad:sleep")},
        )

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return a wake phase that trains everything, and the sleep phase."""
        return [
            Phase("wake", parameters_by_program(model), estimate=self._wake),
            Phase("sleep", parameters_of_program(model, INFERENCE), estimate=dream_score),
        ]

    def _wake(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        trace = run_pair(model, batch.x, batch.context)
        return Estimate(-(trace.log_joint + trace.log_guide).mean(), trace.log_weights.detach()[0])


class UndividedVariance(_Scored):
    """Scores are said to be divided by the signals' standard deviation, and are divided by their variance."""

    @property
    def claims(self) -> Claims:
        """Those of variance normalisation."""
        return Claims(value=Unbiased("elbo"), gradient={"*": Biased("grad:elbo", "grad:nvil")})

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Start at a variance that matters."""
        return {"variance": torch.full((), 4.0, dtype=batch.x.dtype)}

    def residual(self, signal: Tensor, state: State) -> tuple[Tensor, State]:
        """Return what is divided too much."""
        return signal / state["variance"].clamp(min=1.0), state


TWINS: dict[str, Callable[[], Estimator]] = {
    "leave-one-out without 1 / (K - 1)": IncludesItself,
    "a baseline that sees the sample it corrects": PresentAverage,
    "a score term times 0.999": NearlyWhole,
    "a score term of the wrong sign": WrongSign,
    "no score term": NoScore,
    "the entropy of bits is forgotten beside normal variables": ForgetsBitsBesidePaths,
    "the scored surrogate is a sum over the batch": SummedOverBatch,
    "the ELBO's gradient is called the importance-weighted bound's": AnotherBound,
    "VIMCO with self-inclusion": SelfInclusiveVIMCO,
    "a wake phase that updates the guide": RestlessWake,
    "scores divided by the variance": UndividedVariance,
}
"""What `claims` must fail."""

"""Score matching, in the data and through noise, and maximum likelihood, wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from probgen.batch import Batch
from probgen.capabilities import NoiseProcess, UnnormalizedDensity
from probgen.claims import Claims, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, State
from probgen.testing.twins.likelihoods import PlainLikelihood
from probgen.testing.twins.single_phase import SinglePhase

__all__ = ["TWINS", "NoTrace", "SquaredSigma", "SummedLikelihood"]


class NoTrace(SinglePhase):
    """Score matching without its first term: the trace of the score's Jacobian is dropped."""

    requires = (UnnormalizedDensity,)
    objective = Objective("hyvarinen", "per squared unit of the data", "minimise")

    @property
    def claims(self) -> Claims:
        """Those of the sliced form."""
        return Claims(value=Unbiased("hyvarinen"), gradient={"*": Unbiased("grad:hyvarinen")})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return half the squared norm of the score."""
        with torch.enable_grad():
            x = batch.x.detach().requires_grad_()
            (score,) = torch.autograd.grad(-model.energy(x).sum(), x, create_graph=True)
        values = 0.5 * score.flatten(1).square().sum(1)
        return Estimate(values.mean(), values.detach())


class SquaredSigma(SinglePhase):
    """The noise is scaled by its variance where its standard deviation belongs."""

    requires = (NoiseProcess,)
    objective = Objective("dsm[simple]", "squared noise", "minimise")

    @property
    def claims(self) -> Claims:
        """Those of denoising score matching."""
        return Claims(value=Unbiased("dsm[simple]"), gradient={"*": Unbiased("grad:dsm[simple]")})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the denoiser's error on events with too little noise."""
        t = torch.rand(len(batch), dtype=batch.x.dtype)
        alpha, sigma = (factor[:, None] for factor in model.schedule(t))
        noise = torch.randn_like(batch.x)
        error = noise - model.denoise(alpha * batch.x + sigma.square() * noise, t)
        values = error.square().sum(1)
        return Estimate(values.mean(), values.detach())


class SummedLikelihood(PlainLikelihood):
    """The surrogate is the sum over the batch and not its mean."""

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the sum."""
        scores = self.scores(model, batch)
        return Estimate(-scores.sum(), scores.detach())


TWINS: dict[str, Callable[[], Estimator]] = {
    "score matching drops the trace": NoTrace,
    "noise is scaled by its variance": SquaredSigma,
    "the likelihood is summed over the batch": SummedLikelihood,
}

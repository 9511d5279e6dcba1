"""Latent-variable pairs whose bounds, weights or draws are wrong."""

from __future__ import annotations

from typing import Any

import pyro
import pyro.distributions as dist
import torch
from pyro import poutine
from torch import Tensor

from probgen.claims import Claim, UpperBound
from probgen.pyro_bridge import run_pair
from probgen.testing.twins.originals import BitPair, NormalPair

__all__ = [
    "CallsALowerBoundAnUpperOne",
    "DrawsAtTheMean",
    "DrawsFromAnotherPrior",
    "IsHigherByATenth",
    "MissesAValue",
    "NormalCallsItAnUpperBound",
    "NormalReconstructsOnly",
    "NormalScalesTheLikelihood",
    "ObservesHalf",
    "ReconstructsOnly",
    "ScalesTheLikelihood",
]


class ReconstructsOnly(BitPair):
    """Leaves the divergence from the prior out of its bound."""

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        site = run_pair(self, x, context).observations[0]
        return site.log_p[0]


class NormalReconstructsOnly(NormalPair):
    """Does so with a normal latent and a sharp guide."""

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        site = run_pair(self, x, context).observations[0]
        return site.log_p[0]


class IsHigherByATenth(BitPair):
    """Forgets a constant of its bound, which is tight but for that."""

    def __init__(self) -> None:
        super().__init__()
        with torch.no_grad():  # the exact posterior
            self.guide_weight.copy_(self.weight)
            at_one, at_zero = (self.logits(torch.tensor(z)) for z in (1.0, 0.0))
            odds = torch.nn.functional.logsigmoid(-at_one).sum() - torch.nn.functional.logsigmoid(-at_zero).sum()
            self.guide_bias.copy_(self.prior + odds)

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        return super()._log_prob_bound(x, context) + 0.1


class CallsALowerBoundAnUpperOne(BitPair):
    """Claims the other side."""

    @property
    def bound_claim(self) -> Claim:
        """Not so."""
        return UpperBound("log_prob")


class NormalCallsItAnUpperBound(NormalPair):
    """Claims the other side, with a normal latent."""

    @property
    def bound_claim(self) -> Claim:
        """Not so."""
        return UpperBound("log_prob")


class ScalesTheLikelihood(BitPair):
    """Weighs its observation by a half, as a tempered objective does."""

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Run the program under a scale."""
        with poutine.scale(scale=0.5):
            super().model(x, context)


class NormalScalesTheLikelihood(NormalPair):
    """Does so with a normal latent, for the observation alone."""

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent and observe the bits at half their weight."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(self.bias.new_zeros(len(x)), 1.0))
            with poutine.scale(scale=0.5):
                pyro.sample("x", dist.Bernoulli(logits=self.logits(z)).to_event(1), obs=x)


class ObservesHalf(BitPair):
    """Scores the first bit and forgets the second."""

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent bit and observe one of the others."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.prior.expand(len(x))))
            pyro.sample("x", dist.Bernoulli(logits=self.logits(z)[..., 0]), obs=x[:, 0])


class MissesAValue(BitPair):
    """Has a guide that never draws one, whatever the model says."""

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw zeros."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(probs=0 * (x @ self.guide_weight + self.guide_bias)))


class DrawsFromAnotherPrior(BitPair):
    """Draws the latent bit by a coin of its own."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.bernoulli(self.logits(torch.bernoulli(torch.full_like(self.prior.expand(n), 0.1))).sigmoid())


class DrawsAtTheMean(NormalPair):
    """Decodes the prior's mean instead of a draw."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.bernoulli(self.logits(self.bias.new_zeros(n)).sigmoid())

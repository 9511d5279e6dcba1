"""A bound whose guide is trained without differentiating through draws."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from probgen import Batch, ConfigurationError, Estimate, Estimator, LatentVariable, Objective, Phase, run_pair
from probgen.claims import Claims, LowerBound, Unbiased
from probgen.estimator import State, parameters_of
from probgen.pyro_bridge import Drawn, Statement

__all__ = ["LogVariance"]


class LogVariance(Estimator):
    r"""The evidence lower bound, whose guide follows half the variance of the log-weights.

    $$\nabla_\phi \tfrac{1}{2} \operatorname{Var}_k\left[\log q_\phi(z_k \mid x) - \log p(x, z_k)\right],
      \qquad z_1, \dots, z_K \sim q \text{ held fixed}$$

    In expectation this is the gradient of minus the bound, and no draw is differentiated: latents may be discrete.

    Args:
        num_particles: Draws $K$ for each example, at least 2.

    Raises:
        ConfigurationError: `num_particles` is below 2.

    Claims:
        value: unbiased for the ELBO, a lower bound on `log_prob`.
        gradient: unbiased, for all parameters.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")

    def __init__(self, *, num_particles: int = 2) -> None:
        if num_particles < 2:
            raise ConfigurationError(f"LogVariance: expected num_particles of at least 2; got {num_particles}.")
        self.num_particles = num_particles

    @property
    def claims(self) -> Claims:
        """Unbiased in value and gradient."""
        return Claims(value=[Unbiased("elbo"), LowerBound("log_prob")], gradient={"*": Unbiased("grad:elbo")})

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model and guide together."""
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles, draw=_held_fixed)
        score = trace.total(site.log_draw for site in trace.latents)
        costs = score - score.detach() - trace.log_weights.detach()  # the log-weights, and the gradient of the draws' law
        surrogate = costs.var(0).mean() / 2 - trace.log_joint.mean()
        return Estimate(surrogate=surrogate, value=trace.log_weights.detach().mean(0))


def _held_fixed(statement: Statement) -> Drawn:
    """Draw without gradients."""
    with torch.no_grad():
        return Drawn(statement.distribution(), reparameterized=False)

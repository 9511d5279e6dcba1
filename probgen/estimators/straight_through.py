"""Discrete latents differentiated as if they were their means."""

from __future__ import annotations

from collections.abc import Sequence

from probgen.claims import Claims
from probgen.estimator import Estimator, Objective, Phase
from probgen.estimators.site_strategies import SiteStrategies
from probgen.estimators.strategies import PassThrough
from probgen.latent import LatentVariable

__all__ = ["StraightThrough"]


class StraightThrough(Estimator):
    r"""The evidence lower bound of bits and one-hot vectors, whose draws are given the derivative of their means.

    $$\nabla_\phi \approx \mathbb{E}_{z \sim q}\left[\nabla_z f(z)\, \nabla_\phi \mathbb{E}_q[z]\right], \qquad
      f(z) = \log p(x \mid z)$$

    The divergence from the prior is added in closed form where one holds; elsewhere $\log p(z) - \log q(z)$, continued
    linearly between the discrete values, is a part of $f$. The gradient would be right for an $f$ that is linear in every
    bit. Continuous latents are differentiated through as ever.

    Use it for a cheap gradient of small variance that asks for no tuning, where a bias is acceptable.

    Args:
        num_particles: Draws $K$ from the guide for each example, averaged.
        analytic_kl: Use closed-form divergences where they hold.

    Raises:
        ConfigurationError: `num_particles` is below 1.
        CapabilityError: (while estimating) a latent without `rsample` is no Bernoulli or OneHotCategorical.

    Estimates:
        The ELBO of each example, `(N,)`, or of the batch, a scalar, where examples share a latent.

    Claims:
        value: unbiased for the ELBO, a lower bound on `log_prob`.
        gradient: biased for the ELBO's; its target, `grad:straight-through-elbo`, is the expression above for the guide's
            parameters, and the ELBO's own gradient for the model's.

    Example:
        >>> print(StraightThrough().claims.value[0])
        unbiased for elbo

    References:
        Bengio, Léonard & Courville (2013), Estimating or propagating gradients through stochastic neurons for conditional
        computation, arXiv:1308.3432.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")

    def __init__(self, *, num_particles: int = 1, analytic_kl: bool = True) -> None:
        self._sites = SiteStrategies(otherwise=PassThrough(), num_particles=num_particles, analytic_kl=analytic_kl)

    @property
    def claims(self) -> Claims:
        """Unbiased in value; in the gradient, for an expression that is not the ELBO's."""
        return self._sites.claims

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model and guide together."""
        return self._sites.phases(model)

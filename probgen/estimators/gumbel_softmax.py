"""Discrete latents relaxed to continuous ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from probgen.batch import Batch
from probgen.claims import Claims
from probgen.estimator import Estimator, Phase, State
from probgen.estimators.site_strategies import SiteStrategies
from probgen.estimators.strategies import Relax
from probgen.latent import LatentVariable

__all__ = ["GumbelSoftmax"]


class GumbelSoftmax(Estimator):
    r"""The evidence lower bound with bits and one-hot vectors replaced by continuous values near them.

    $$\tilde{\mathcal{L}}_\tau(x) = \mathbb{E}_{\tilde z}\left[\log p(x \mid \tilde z)\right]
      - \mathrm{KL}(q \,\|\, p), \qquad
      \tilde z = \mathrm{softmax}\left(\frac{\log \pi(x) + g}{\tau}\right), \quad g_c \sim \mathrm{Gumbel}$$

    with a sigmoid and logistic noise for bits. Both programs see the relaxed values, which must make sense to them: they do
    to a decoder that multiplies by $z$, and not to one that looks up a row by an index. Where no closed form of the
    divergence holds, $\log q - \log p$ stands for it, continued linearly to relaxed values. Continuous latents are
    differentiated through as ever.

    Use it for a gradient of small variance where a bias is acceptable. The bias falls with the temperature and the variance
    rises. With `hard=True` the programs see discrete values, and gradients take the relaxed way.

    Args:
        temperature: $\tau$ at the first step.
        final_temperature: $\tau$ after `anneal_steps`, approached geometrically; None to keep it as it is.
        anneal_steps: How many steps it takes.
        hard: Go on with the discrete values, and differentiate as if they were the relaxed ones.
        num_particles: Draws $K$ from the guide for each example, averaged.
        analytic_kl: Use closed-form divergences where they hold.

    Raises:
        ConfigurationError: an option is out of range.
        CapabilityError: (while estimating) a latent without `rsample` is no Bernoulli or OneHotCategorical.

    Estimates:
        $\tilde{\mathcal{L}}_\tau(x)$ of each example, `(N,)`, or of the batch, a scalar, where examples share a latent; with
        `hard`, the ELBO. The state has the count of steps, where the temperature changes.

    Claims:
        value: biased for the ELBO; unbiased for the relaxed one, `relaxed-elbo[τ]` (`relaxed-elbo[1..0.5/10000]` where the
            temperature falls in so many steps, `relaxed-elbo-by-scores[τ]` without closed-form divergences). With `hard`,
            unbiased for the ELBO and a lower bound on `log_prob`.
        gradient: biased for the ELBO's, for all parameters; unbiased for that of the relaxed one. With `hard`, its target,
            `grad:hard-relaxed-elbo[τ]`, is the expectation over hard draws of the derivative along the relaxed ones.

    Example:
        >>> print(GumbelSoftmax().claims.value[0])
        biased for elbo; unbiased for relaxed-elbo[1]

    References:
        Jang, Gu & Poole (2017), arXiv:1611.01144. Maddison, Mnih & Teh (2017), arXiv:1611.00712.
    """

    requires = (LatentVariable,)

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        final_temperature: float | None = None,
        anneal_steps: int = 10_000,
        hard: bool = False,
        num_particles: int = 1,
        analytic_kl: bool = True,
    ) -> None:
        relax = Relax(temperature=temperature, final_temperature=final_temperature, anneal_steps=anneal_steps, hard=hard)
        self._sites = SiteStrategies(otherwise=relax, num_particles=num_particles, analytic_kl=analytic_kl)
        self.objective = self._sites.objective

    @property
    def claims(self) -> Claims:
        """Those of the relaxed bound, or of its gradient alone."""
        return self._sites.claims

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return the count of steps, where the temperature changes."""
        return self._sites.initial_state(model, batch)

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model and guide together."""
        return self._sites.phases(model)

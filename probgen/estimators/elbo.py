"""The evidence lower bound."""

from __future__ import annotations

from collections.abc import Sequence

from probgen.batch import Batch
from probgen.claims import Claim, Claims, LowerBound, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.divergences import divergence_at
from probgen.estimators.numbers import require_numbers, require_whole
from probgen.latent import LatentVariable
from probgen.pyro_bridge import run_pair

__all__ = ["ELBO"]


class ELBO(Estimator):
    r"""The evidence lower bound by stochastic gradient variational Bayes, in both of its forms.

    $$\mathcal{L}(x) = \mathbb{E}_{q(z \mid x)}\left[\log p(x \mid z)\right]
      - \beta\, \mathrm{KL}\left(q(z \mid x) \,\|\, p(z)\right)$$

    The expectation is over reparameterised draws, so every latent needs a distribution with `rsample`. The divergence is
    taken in closed form, site by site, where one is known and where what the model's distribution depends on was drawn
    earlier by the guide; elsewhere $\log q - \log p$ at the draw stands for it, which has the same expectation. (A closed
    form whose parameters were drawn *given* the value that it averages out would be biased: under a bottom-up guide of a
    hierarchy, say.)

    Use it for continuous latents. For discrete ones, take an estimator that does not differentiate through draws.

    Args:
        beta: Weight $\beta$ of the divergence, at least 0. At 1 this is the evidence lower bound; above, a looser bound
            (the beta-VAE); below, no bound at all.
        analytic_kl: Use closed forms where they hold; False for the sampled form everywhere.
        num_particles: Draws $K$ from the guide for each example, averaged.

    Raises:
        ConfigurationError: `beta` is negative or `num_particles` is below 1.
        CapabilityError: (while estimating) a latent is drawn without gradients.

    Estimates:
        $\mathcal{L}(x)$ of each example, `(N,)`; of the whole batch, a scalar, where examples share a latent or the plate of
        the batch is subsampled. `info` has the batch means of `kl` (before $\beta$) and `reconstruction`.

    Claims:
        value: unbiased for the ELBO (`beta-elbo[β]` where $\beta \neq 1$); a lower bound on `log_prob` for $\beta \ge 1$.
        gradient: unbiased, for all parameters.

    Example:
        >>> print(*ELBO().claims.value, sep="; ")
        unbiased for elbo; lower bound on log_prob
        >>> print(*ELBO(beta=0.5).claims.value, sep="; ")
        unbiased for beta-elbo[0.5]

    References:
        Kingma & Welling (2014), arXiv:1312.6114. Rezende, Mohamed & Wierstra (2014), arXiv:1401.4082.
        Higgins et al. (2017), beta-VAE.
    """

    requires = (LatentVariable,)

    def __init__(self, *, beta: float = 1.0, analytic_kl: bool = True, num_particles: int = 1) -> None:
        require_numbers("ELBO", beta=beta)
        require_whole("ELBO", num_particles=num_particles)
        if not beta >= 0:
            raise ConfigurationError(f"ELBO: expected beta of at least 0; got {beta}. Use 1 for the evidence lower bound.")
        if num_particles < 1:
            raise ConfigurationError(f"ELBO: expected num_particles of at least 1; got {num_particles}.")
        self.beta = beta
        self.analytic_kl = analytic_kl
        self.num_particles = num_particles
        self.objective = Objective("elbo" if beta == 1 else "beta-elbo", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Unbiased in value and gradient, and a lower bound on the evidence when `beta` is at least 1."""
        quantity = "elbo" if self.beta == 1 else f"beta-elbo[{self.beta:g}]"
        value: list[Claim] = [Unbiased(quantity)]
        if self.beta >= 1:
            value.append(LowerBound("log_prob"))
        return Claims(value=value, gradient={"*": Unbiased(f"grad:{quantity}")})

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model and guide together."""
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles)
        trace.require_reparameterized("ELBO")
        reconstruction = trace.total(site.log_p for site in trace.observations).mean(0)
        divergence = trace.total(divergence_at(trace, site, analytic=self.analytic_kl) for site in trace.latents).mean(0)
        bound = reconstruction - (divergence if self.beta == 1 else self.beta * divergence)
        return Estimate(
            surrogate=-bound.mean(),
            value=bound.detach(),
            info={"kl": divergence.detach().mean(), "reconstruction": reconstruction.detach().mean()},
        )

"""The importance-weighted bound."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Self

from probgen.batch import Batch
from probgen.claims import Claims, Consistent, LowerBound, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.cut_draws import CutDraws
from probgen.estimators.importance import effective_particles, log_mean_exp
from probgen.estimators.iwae_gradients import STL, DReG, ImportanceGradient, Pathwise
from probgen.estimators.numbers import require_whole
from probgen.estimators.program_names import INFERENCE, parameters_by_program
from probgen.latent import LatentVariable
from probgen.pyro_bridge import run_pair

__all__ = ["IWAE"]


class IWAE(Estimator):
    r"""The importance-weighted bound of continuous latents.

    $$\mathcal{L}_K(x) = \mathbb{E}_{z_1, \dots, z_K \sim q(z \mid x)}
      \left[\log \frac{1}{K} \sum_{k=1}^K \frac{p(x, z_k)}{q(z_k \mid x)}\right]$$

    It is the ELBO for $K = 1$, rises with $K$ and tends to $\log p(x)$. Every latent needs a distribution with `rsample`;
    for discrete ones take `VIMCO`. Weights are those of whole draws, so closed-form divergences have no place here.

    Use it where the ELBO is loose because the posterior is not in the guide's family.

    Args:
        num_particles: Draws $K$ from the guide for each example.
        gradient: `Pathwise()` by default, `DReG()` for many particles, or `STL()`.

    Raises:
        ConfigurationError: `num_particles` is below 1, or (from `phases`, for `STL`) the model does not say which parameters
            are its guide's.
        CapabilityError: (while estimating) a latent is drawn without gradients, is shared by the batch, or is in a
            subsampled plate.

    Estimates:
        $\mathcal{L}_K(x)$ of each example, `(N,)`. `info` has `effective_particles`, the batch mean of
        $(\sum_k w_k)^2 / \sum_k w_k^2$.

    Claims:
        value: unbiased for $\mathcal{L}_K$, called `iwae[K]`, a lower bound on `log_prob`, and consistent for it in $K$.
        gradient: unbiased, for all parameters; with `STL` and more than one particle, biased for the guide's
            (`inference.*`), whose target is `stl[K]`.

    Example:
        >>> print(*IWAE(num_particles=64).claims.value[:2], sep="; ")
        unbiased for iwae[64]; lower bound on log_prob
        >>> print(IWAE(gradient=STL()).claims.for_parameter("generative.decoder.weight"))
        unbiased for grad:iwae[5]

    References:
        Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519.
    """

    requires = (LatentVariable,)
    objective = Objective("iwae", "nats", "maximise")

    def __init__(self, *, num_particles: int = 5, gradient: ImportanceGradient | None = None) -> None:
        require_whole("IWAE", num_particles=num_particles)
        if num_particles < 1:
            raise ConfigurationError(f"IWAE: expected num_particles of at least 1; got {num_particles}.")
        self.num_particles = num_particles
        self.gradient = Pathwise() if gradient is None else gradient

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls, *, num_particles: int = 5, gradient: Literal["pathwise", "dreg", "stl"] = "pathwise"
    ) -> Self:
        """Return the estimator for options of a shell."""
        gradients = {"pathwise": Pathwise, "dreg": DReG, "stl": STL}
        return cls(num_particles=num_particles, gradient=gradients[gradient]())

    @property
    def claims(self) -> Claims:
        """Unbiased for the bound in value, and as `gradient` says in the gradient."""
        return Claims(
            value=[
                Unbiased(f"iwae[{self.num_particles}]"),
                LowerBound("log_prob"),
                Consistent("log_prob", knob="num_particles"),
            ],
            gradient=self.gradient.claims(self.num_particles),
        )

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model and guide together.

        Its parameters have their program's name in front where the claims tell the programs apart.
        """
        apart = INFERENCE in self.claims.gradient
        parameters = parameters_by_program(model) if apart else parameters_of(model)
        return [Phase("main", parameters, estimate=self._estimate)]

    def _estimate(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        cuts = CutDraws()
        trace = run_pair(
            model,
            batch.x,
            batch.context,
            num_particles=self.num_particles,
            draw=cuts if self.gradient.cuts_draws else None,
        )
        trace.require_per_example("IWAE")
        trace.require_reparameterized("IWAE")
        log_weights = trace.log_weights.detach()
        return Estimate(
            surrogate=-self.gradient.surrogate(trace, cuts),
            value=log_mean_exp(log_weights),
            info={"effective_particles": effective_particles(log_weights).mean()},
        )

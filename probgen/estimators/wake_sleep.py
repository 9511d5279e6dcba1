"""Wake-sleep: the model learns from data and the guide, the guide from what the model dreams."""

from __future__ import annotations

from collections.abc import Sequence

from probgen.batch import Batch
from probgen.claims import Claims, LowerBound, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, Phase, State
from probgen.estimators.program_names import GENERATIVE, INFERENCE, parameters_of_program
from probgen.latent import LatentVariable
from probgen.pyro_bridge import run_dream, run_pair

__all__ = ["WakeSleep", "dream_score"]


class WakeSleep(Estimator):
    r"""The wake-sleep algorithm: two phases with an objective each.

    $$\text{wake: } \max_\theta\; \mathbb{E}_{q_\phi(z \mid x)}\left[\log p_\theta(x, z)\right] \qquad
      \text{sleep: } \max_\phi\; \mathbb{E}_{p_\theta(x, z)}\left[\log q_\phi(z \mid x)\right]$$

    Awake, the guide explains the data and the model is fitted to the explanations, which climbs the ELBO in $\theta$.
    Asleep, the model dreams pairs $(x, z)$ and the guide is fitted to them, which descends
    $\mathrm{KL}(p_\theta(z \mid x) \,\|\, q_\phi(z \mid x))$ over the model's own $x$. No gradient passes through a draw, so
    latents may be discrete, and nothing has the variance of a score function.

    Use it for layers of discrete latents where a simple and cheap rule is wanted. The two phases pursue different
    divergences: together they need not climb any one objective.

    The model must say which parameters are its guide's (see `LatentVariable.inference`), and the guide may draw no sites of
    its own. Dreams are as many as the batch has examples, at its contexts.

    Raises:
        ConfigurationError: (from `phases`) the parameters of model and guide cannot be told apart.
        CapabilityError: (while estimating) the guide draws auxiliary sites, or the plate of the batch is subsampled.

    Estimates:
        In `wake` the ELBO of each example, `(N,)`, or of the batch, a scalar, where examples share a latent; in `sleep`
        $\log q(z \mid x)$ of each dream, shaped alike.

    Claims:
        value: in `wake` unbiased for the ELBO, a lower bound on `log_prob`; in `sleep` unbiased for the score
            $\mathbb{E}_{p(x, z)}[\log q(z \mid x)]$, called `sleep`.
        gradient: `generative.*`: unbiased for the ELBO's. `inference.*`: unbiased for that of `sleep`.

    Example:
        >>> print(WakeSleep().claims.for_parameter("inference.encoder.weight"))
        unbiased for grad:sleep

    References:
        Hinton, Dayan, Frey & Neal (1995), The wake-sleep algorithm for unsupervised neural networks. Science 268.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Unbiased for two objectives, one for each group of parameters."""
        return Claims(
            value={"wake": [Unbiased("elbo"), LowerBound("log_prob")], "sleep": Unbiased("sleep")},
            gradient={GENERATIVE: Unbiased("grad:elbo"), INFERENCE: Unbiased("grad:sleep")},
        )

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return `wake`, which trains the model alone, and `sleep`, which trains the guide alone."""
        return [
            Phase("wake", parameters_of_program(model, GENERATIVE), estimate=_wake),
            Phase("sleep", parameters_of_program(model, INFERENCE), estimate=dream_score),
        ]


def _wake(model: LatentVariable, batch: Batch, state: State) -> Estimate:
    trace = run_pair(model, batch.x, batch.context, frozen_guide=True)
    return Estimate(surrogate=-trace.log_joint.mean(), value=trace.log_weights.detach()[0])


def dream_score(model: LatentVariable, batch: Batch, state: State) -> Estimate:
    """Return how well the guide explains the model's dreams, one for each example of `batch`; its `x` is not looked at."""
    trace = run_dream(model, batch.x, batch.context)
    trace.require_whole("Sleep phase")
    score = trace.log_guide[0]
    return Estimate(surrogate=-score.mean(), value=score.detach())

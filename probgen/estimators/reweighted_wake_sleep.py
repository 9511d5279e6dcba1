"""Reweighted wake-sleep: wake-sleep with importance weights, for the model and for the guide."""

from __future__ import annotations

from collections.abc import Sequence

from probgen.batch import Batch
from probgen.claims import Claim, Claims, Consistent, LowerBound, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State
from probgen.estimators.importance import effective_particles, log_mean_exp, normalised_weights
from probgen.estimators.numbers import require_whole
from probgen.estimators.program_names import GENERATIVE, INFERENCE, parameters_by_program, parameters_of_program
from probgen.estimators.site_draws import without_gradient
from probgen.estimators.wake_sleep import dream_score
from probgen.latent import LatentTrace, LatentVariable
from probgen.pyro_bridge import run_pair

__all__ = ["ReweightedWakeSleep"]

_SLEEP = "sleep."
"""Before the names of the guide's parameters where it is the sleep phase that trains them: its objective is another."""


class ReweightedWakeSleep(Estimator):
    r"""Wake-sleep whose wake phase weighs several explanations of each example by how well they explain it.

    $$w_k = \frac{p_\theta(x, z_k)}{q_\phi(z_k \mid x)}, \quad \bar w_k = \frac{w_k}{\sum_j w_j}, \qquad
      \nabla_\theta \log p(x) \approx \sum_k \bar w_k \nabla_\theta \log p_\theta(x, z_k), \quad
      -\nabla_\phi \mathrm{KL}(p \,\|\, q) \approx \sum_k \bar w_k \nabla_\phi \log q_\phi(z_k \mid x)$$

    The self-normalised weights are constants and no gradient passes through a draw, so latents may be discrete. The wake
    phase climbs the likelihood itself in $\theta$ and fits the guide to the posterior in $\phi$, with the same draws.

    Use it for discrete latents with many particles: unlike the importance-weighted bound's, its gradient for the guide gets
    better with them.

    Args:
        num_particles: Explanations $K$ of each example.
        wake_guide: Fit the guide to the weighted explanations, in the wake phase.
        sleep_guide: Fit the guide to the model's dreams, in a phase of its own after the wake phase.

    Raises:
        ConfigurationError: `num_particles` is below 1; (from `phases`) the parameters of model and guide cannot be told
            apart.
        CapabilityError: (while estimating) a latent is shared by the batch, or a plate is subsampled.

    Estimates:
        In `wake` the importance-weighted bound $\mathcal{L}_K = \log \frac{1}{K} \sum_k w_k$ of each example, `(N,)`; in
        `sleep` the score $\log q(z \mid x)$ of each dream, `(N,)`.

    Claims:
        value: in `wake` unbiased for the expected bound `iwae[K]`, a lower bound on `log_prob`, and consistent for it; in
            `sleep` unbiased for the score $\mathbb{E}_{p(x, z)}[\log q(z \mid x)]$, called `sleep`.
        gradient: `generative.*`: consistent for that of `log_prob`. `inference.*`: consistent for that of `wake_phi`,
            $\mathrm{KL}(p(z \mid x) \,\|\, q(z \mid x))$. `sleep.*`, which are the same parameters in `sleep`: unbiased for
            that of `sleep`.

    Example:
        >>> for name, claim in ReweightedWakeSleep().claims.gradient.items():
        ...     print(name, claim)
        generative.* consistent for grad:log_prob in num_particles (bias of order num_particles^-1)
        inference.* consistent for grad:wake_phi in num_particles (bias of order num_particles^-1)

    References:
        Bornschein & Bengio (2015), Reweighted Wake-Sleep, arXiv:1406.2751. Le, Kosiorek, Siddharth, Teh & Wood (2019),
        Revisiting Reweighted Wake-Sleep, arXiv:1805.10469.
    """

    requires = (LatentVariable,)
    objective = Objective("iwae", "nats", "maximise")

    def __init__(self, *, num_particles: int = 5, wake_guide: bool = True, sleep_guide: bool = False) -> None:
        require_whole("ReweightedWakeSleep", num_particles=num_particles)
        if num_particles < 1:
            raise ConfigurationError(
                f"ReweightedWakeSleep: expected num_particles of at least 1; got {num_particles}. Weights need draws."
            )
        self.num_particles = num_particles
        self.wake_guide = wake_guide
        self.sleep_guide = sleep_guide

    @property
    def claims(self) -> Claims:
        """Consistent in the number of particles awake, unbiased asleep."""
        gradient: dict[str, Claim] = {GENERATIVE: Consistent("grad:log_prob", "num_particles")}
        if self.wake_guide:
            gradient[INFERENCE] = Consistent("grad:wake_phi", "num_particles")
        if self.sleep_guide:
            gradient[_SLEEP + "*"] = Unbiased("grad:sleep")
        bound = [
            Unbiased(f"iwae[{self.num_particles}]"),
            LowerBound("log_prob"),
            Consistent("log_prob", "num_particles"),
        ]
        return Claims(value={"wake": bound, "sleep": Unbiased("sleep")} if self.sleep_guide else bound, gradient=gradient)

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return `wake`, which trains the model and, with `wake_guide`, the guide; then `sleep` where it is asked for."""
        awake = parameters_by_program(model) if self.wake_guide else parameters_of_program(model, GENERATIVE)
        phases = [Phase("wake", awake, estimate=self._wake)]
        if self.sleep_guide:
            asleep = {_SLEEP + name: p for name, p in parameters_of_program(model, INFERENCE).items()}
            phases.append(Phase("sleep", asleep, estimate=dream_score))
        return phases

    def _wake(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        trace = self._run(model, batch)
        trace.require_per_example("ReweightedWakeSleep")
        log_weights = trace.log_weights.detach()
        scores = trace.log_joint + trace.log_guide if self.wake_guide else trace.log_joint
        weighted = (normalised_weights(log_weights) * scores).sum(0)
        return Estimate(
            surrogate=-weighted.mean(),
            value=log_mean_exp(log_weights),
            info={"effective_particles": effective_particles(log_weights).mean()},
        )

    def _run(self, model: LatentVariable, batch: Batch) -> LatentTrace:
        """Draw constants from the guide; its scores carry gradients where they are to train it."""
        particles = self.num_particles
        if self.wake_guide:
            return run_pair(model, batch.x, batch.context, num_particles=particles, draw=without_gradient)
        return run_pair(model, batch.x, batch.context, num_particles=particles, frozen_guide=True)

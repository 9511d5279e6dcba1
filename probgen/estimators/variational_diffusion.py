"""The variational bound of diffusion models."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from probgen.batch import Batch
from probgen.capabilities import NoiseProcess
from probgen.claims import Claims, LowerBound, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.diffusion_bound import known_part, num_steps_of, step_error

__all__ = ["VariationalDiffusion"]


class VariationalDiffusion(Estimator):
    r"""The evidence lower bound of a diffusion model in discrete time, by one random step for each example.

    $$\mathcal{L}(x) = A(x) - \sum_{i=1}^T w_i \mathbb{E}_{\varepsilon}
      \lVert \varepsilon - \hat\varepsilon_\theta(\alpha_{t_i} z_0 + \sigma_{t_i} \varepsilon, t_i, c) \rVert^2$$

    is at most $\log p(x \mid c)$. $A(x)$ and the weights $w_i$ follow from the schedule and the variances of the reverse
    process; `probgen.estimators.diffusion_bound` writes them out. The sum is estimated by $T$ times its term at a uniform
    step.

    It makes likelihoods larger, and pictures usually worse, than `DenoisingScoreMatching`: its weights are large where there
    is little noise.

    Estimates:
        $\mathcal{L}(x)$ of each example, `(N,)`, in nats.

    Claims:
        value: unbiased for the bound, and so a lower bound on the log-likelihood.
        gradient: unbiased, for all parameters.

    Example:
        >>> print(*VariationalDiffusion().claims.value, sep="; ")
        unbiased for vlb; lower bound on log_prob

    References:
        Sohl-Dickstein et al. (2015), arXiv:1503.03585. Ho, Jain & Abbeel (2020), arXiv:2006.11239, equation 5. Kingma et al.
        (2021), arXiv:2107.00630.
    """

    requires = (NoiseProcess,)
    objective = Objective("vlb", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Unbiased for the bound."""
        return Claims(value=[Unbiased("vlb"), LowerBound("log_prob")], gradient={"*": Unbiased("grad:vlb")})

    def check(self, model: NoiseProcess) -> None:
        """Refuse processes in continuous time besides what all refuse."""
        super().check(model)
        num_steps_of(model)

    def phases(self, model: NoiseProcess) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        return [Phase("main", parameters_of(model), estimate=_estimate)]


def _estimate(model: NoiseProcess, batch: Batch, state: State) -> Estimate:
    steps = num_steps_of(model)
    step = torch.randint(1, steps + 1, (len(batch),), device=batch.x.device)
    error = step_error(model, batch.x, step, torch.randn_like(batch.x), batch.context)
    bound = known_part(model, batch.x) - steps * error
    return Estimate(surrogate=-bound.mean(), value=bound.detach())

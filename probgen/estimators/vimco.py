"""The importance-weighted bound of discrete latents."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.claims import Claims, Consistent, LowerBound, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.importance import effective_particles, log_mean_exp
from probgen.estimators.learning_signals import scored_sites
from probgen.estimators.numbers import require_whole
from probgen.latent import LatentVariable
from probgen.pyro_bridge import run_pair

__all__ = ["VIMCO"]


class VIMCO(Estimator):
    r"""The importance-weighted bound with score-function gradients, each particle judged by what it adds to the others.

    $$\nabla \mathcal{L}_K = \mathbb{E}\left[\sum_k (\hat L - \hat L_{-k})\, \nabla \log q(z_k \mid x)
      + \sum_k \tilde w_k \nabla \log w_k\right], \qquad \hat L = \log \frac{1}{K} \sum_k w_k$$

    $\hat L_{-k}$ is $\hat L$ with the weight of particle $k$ replaced by the geometric mean of the others'. It does not
    depend on that particle, so the gradient stays unbiased, and nothing has to be learned or remembered.

    Latents with `rsample` are differentiated through in the same pass; only the others are given scores. (The particles of
    an example are independent of each other, so this holds for any mixture of the two.)

    Use it for discrete latents. Time and memory for the weights grow with $K^2$, which matters from hundreds of particles.

    Args:
        num_particles: Draws $K$ from the guide for each example, at least 2.

    Raises:
        ConfigurationError: `num_particles` is below 2.
        CapabilityError: (while estimating) a latent is shared by the batch, or is in a subsampled plate.

    Estimates:
        $\mathcal{L}_K(x) = \mathbb{E} \hat L$ of each example, `(N,)`, as `IWAE` does. `info` has `effective_particles`.

    Claims:
        value: unbiased for $\mathcal{L}_K$, called `iwae[K]`, a lower bound on `log_prob`, and consistent for it in $K$.
        gradient: unbiased, for all parameters.

    Example:
        >>> print(VIMCO().claims.for_parameter("guide.weight"))
        unbiased for grad:iwae[5]

    References:
        Mnih & Rezende (2016), arXiv:1602.06725.
    """

    requires = (LatentVariable,)
    objective = Objective("iwae", "nats", "maximise")

    def __init__(self, *, num_particles: int = 5) -> None:
        require_whole("VIMCO", num_particles=num_particles)
        if num_particles < 2:
            raise ConfigurationError(
                f"VIMCO: expected num_particles of at least 2; got {num_particles}. Use REINFORCE for one particle."
            )
        self.num_particles = num_particles

    @property
    def claims(self) -> Claims:
        """Unbiased for the bound, in value and gradient."""
        bound = f"iwae[{self.num_particles}]"
        return Claims(
            value=[Unbiased(bound), LowerBound("log_prob"), Consistent("log_prob", knob="num_particles")],
            gradient={"*": Unbiased(f"grad:{bound}")},
        )

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model and guide together."""
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles)
        trace.require_per_example("VIMCO")
        log_weights = trace.log_weights
        bound = log_mean_exp(log_weights)
        surrogate = bound
        if scored := scored_sites(trace):
            gains = bound.detach() - bounds_without_each(log_weights.detach())
            surrogate = bound + (gains * trace.total(site.log_draw for site in scored)).sum(0)
        return Estimate(
            surrogate=-surrogate.mean(),
            value=bound.detach(),
            info={"effective_particles": effective_particles(log_weights.detach()).mean()},
        )


def bounds_without_each(log_weights: Tensor) -> Tensor:
    r"""Return $\hat L_{-k}$ for each particle: the bound with its weight replaced by the geometric mean of the others'.

    Sums are taken anew for each particle. To subtract its own weight from a common sum would cancel where it dominates.

    Shapes:
        `(K, N) -> (K, N)`.

    Example:
        >>> bounds_without_each(torch.tensor([[-1.0], [500.0]])).flatten().tolist()
        [500.0, -1.0]
    """
    count = len(log_weights)
    own = torch.eye(count, dtype=torch.bool, device=log_weights.device).unsqueeze(-1)
    others = log_weights.expand(count, *log_weights.shape)
    means = others.masked_fill(own, 0.0).sum(1, keepdim=True) / (count - 1)
    return torch.where(own, means, others).logsumexp(1) - math.log(count)

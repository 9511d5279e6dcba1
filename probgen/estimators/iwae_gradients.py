r"""Gradients of the importance-weighted bound: three ways to use the same draws.

With $w_k = p_\theta(x, z_k) / q_\phi(z_k \mid x)$, $\tilde w_k = w_k / \sum_j w_j$ and reparameterised draws $z_k(\phi)$,
the gradient of one draw of the bound has three parts:

$$\nabla \log \tfrac{1}{K} \sum_k w_k
  = \underbrace{\sum_k \tilde w_k \nabla_\theta \log p_\theta(x, z_k)}_{\text{generative}}
  + \underbrace{\sum_k \tilde w_k \frac{\partial \log w_k}{\partial z_k}
      \frac{\mathrm{d} z_k}{\mathrm{d} \phi}}_{\text{path}}
  - \underbrace{\sum_k \tilde w_k \nabla_\phi \log q_\phi(z_k \mid x)}_{\text{score}}$$
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from probgen.claims import Biased, Claim, Unbiased
from probgen.estimators.cut_draws import CutDraws
from probgen.estimators.importance import log_mean_exp, normalised_weights
from probgen.estimators.program_names import GENERATIVE, INFERENCE
from probgen.latent import LatentTrace

__all__ = ["DReG", "ImportanceGradient", "Pathwise", "STL"]


class ImportanceGradient(abc.ABC):
    """How the gradient of the importance-weighted bound is estimated."""

    cuts_draws: ClassVar[bool]
    """Whether the pair is to be run with its draws cut off."""

    @abc.abstractmethod
    def claims(self, num_particles: int) -> Mapping[str, Claim]:
        """Return what the gradient is, by parameter group."""

    @abc.abstractmethod
    def surrogate(self, trace: LatentTrace, cuts: CutDraws) -> Tensor:
        """Return a scalar whose gradient estimates that of the bound's batch mean; its value means nothing.

        Args:
            trace: A run of the pair.
            cuts: What was cut off in it; nothing unless `cuts_draws`.
        """

    def __repr__(self) -> str:
        """Return the constructor's call."""
        return f"{type(self).__name__}()"


class Pathwise(ImportanceGradient):
    """The whole gradient of the bound at the draws: all three parts.

    As $K$ grows, its signal-to-noise ratio for the guide's parameters falls (Rainforth et al., 2018): take `DReG` for many
    particles.

    References:
        Burda, Grosse & Salakhutdinov (2016), arXiv:1509.00519. Rainforth et al. (2018), arXiv:1802.04537.
    """

    cuts_draws = False

    def claims(self, num_particles: int) -> Mapping[str, Claim]:
        """Unbiased."""
        return {"*": Unbiased(f"grad:iwae[{num_particles}]")}

    def surrogate(self, trace: LatentTrace, cuts: CutDraws) -> Tensor:
        """Return the bound itself."""
        return log_mean_exp(trace.log_weights).mean()


class DReG(ImportanceGradient):
    r"""The doubly reparameterised gradient: the score part is reparameterised in its turn and joins the path.

    $$\nabla_\phi \approx
      \sum_k \tilde w_k^2\, \frac{\partial \log w_k}{\partial z_k} \frac{\mathrm{d} z_k}{\mathrm{d} \phi}$$

    The generative part is as it was. The signal-to-noise ratio of the guide's gradient does not fall with $K$, and it has no
    variance where the guide is the posterior. It takes one more backward pass through the scores, and the guide must be able
    to score any value, not just its own draws.

    References:
        Tucker, Lawson, Gu & Maddison (2019), arXiv:1810.04152.
    """

    cuts_draws = True

    def claims(self, num_particles: int) -> Mapping[str, Claim]:
        """Unbiased."""
        return {"*": Unbiased(f"grad:iwae[{num_particles}]")}

    def surrogate(self, trace: LatentTrace, cuts: CutDraws) -> Tensor:
        """Return the generative part plus the path with squared weights."""
        return _without_score(trace, cuts, power=2)


class STL(ImportanceGradient):
    r"""Sticking the landing: the score part is left out.

    $$\nabla_\phi \approx \sum_k \tilde w_k\, \frac{\partial \log w_k}{\partial z_k} \frac{\mathrm{d} z_k}{\mathrm{d} \phi}$$

    For one particle the score part has mean zero, so this is the ELBO's gradient without bias, and without variance where
    the guide is the posterior. For more, weights and scores are correlated, and the guide's gradient is biased by
    $\mathbb{E} \sum_k \tilde w_k \nabla_\phi \log q_\phi(z_k \mid x)$, which is how reweighted wake-sleep trains a guide.
    Claims call the expectation of what is left `grad:stl[K]`.

    References:
        Roeder, Wu & Duvenaud (2017), arXiv:1703.09194.
    """

    cuts_draws = True

    def claims(self, num_particles: int) -> Mapping[str, Claim]:
        """Unbiased for one particle; for more, biased for the guide's parameters."""
        if num_particles == 1:
            return {"*": Unbiased("grad:iwae[1]")}
        bound = f"grad:iwae[{num_particles}]"
        return {INFERENCE: Biased(bound, f"grad:stl[{num_particles}]"), GENERATIVE: Unbiased(bound)}

    def surrogate(self, trace: LatentTrace, cuts: CutDraws) -> Tensor:
        """Return the generative part plus the path."""
        return _without_score(trace, cuts, power=1)


def _without_score(trace: LatentTrace, cuts: CutDraws, *, power: int) -> Tensor:
    log_weights = trace.log_weights
    fixed = log_weights.detach()
    generative = (normalised_weights(fixed) * trace.log_joint).sum(0).mean()
    return generative + cuts.along((normalised_weights(fixed, power) * log_weights).sum(0).mean())

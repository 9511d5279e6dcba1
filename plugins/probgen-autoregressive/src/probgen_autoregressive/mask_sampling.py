"""Training one mask at a time: the contract of models with several, and the estimator that samples among them."""

from __future__ import annotations

import abc
from collections.abc import Sequence

import torch
from torch import Tensor

from probgen import Batch, Density, Estimate, Estimator, Objective, Phase
from probgen.claims import Claims, Unbiased
from probgen.estimator import State, parameters_of

__all__ = ["MaskEnsemble", "MaskSampling"]


class MaskEnsemble(Density, contract=True):
    """A density whose weights serve several densities, one for each mask.

    Attributes:
        num_masks: How many there are, $M$.
    """

    num_masks: int

    def log_prob_under(self, mask: int | Tensor, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return $\log p_m(x \mid c)$ of one mask, in nats.

        Args:
            mask: Its number $m$, from 0; an integer or an integer tensor of no axes.
            x: Events, `(..., *event_shape)`, inside the support.
            context: Contexts, `(..., *context_shape)`.

        Shapes:
            returns: `(...)`.
        """
        flat_x, flat_context, shape = self._flat_events(x, context, "log_prob_under")
        return self._log_prob_under(mask, flat_x, flat_context).reshape(shape)

    @abc.abstractmethod
    def _log_prob_under(self, mask: int | Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        """Score a flat batch under one mask, `(N,)`."""


class MaskSampling(Estimator):
    r"""The log-likelihood under a mask drawn for each batch: MADE agnostic of order and connections.

    $$\frac{1}{M} \sum_{m=1}^{M} \log p_m(x \mid c) \;\le\; \log \frac{1}{M} \sum_{m=1}^{M} p_m(x \mid c)$$

    A step costs what it costs with one mask. The bound on the right is the density of a MADE that averages its masks.

    Estimates:
        The left-hand side for each example, `(N,)`, in nats.

    Claims:
        value: unbiased for the mean over the masks; examples of a batch share the draw.
        gradient: unbiased for its gradient, for all parameters.

    Example:
        >>> print(*MaskSampling().claims.value, sep="; ")
        unbiased for masked_log_prob

    References:
        Germain et al. (2015), arXiv:1502.03509, section 4.2.
    """

    requires = (MaskEnsemble,)
    batch_coupled = True
    objective = Objective("masked_log_prob", "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Unbiased in value and gradient for the mean over the masks."""
        value = Unbiased("masked_log_prob")
        return Claims(value=value, gradient={"*": Unbiased("grad:masked_log_prob")})

    def phases(self, model: MaskEnsemble) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        return [Phase("main", parameters_of(model), estimate=_estimate)]


def _estimate(model: MaskEnsemble, batch: Batch, state: State) -> Estimate:
    mask = torch.randint(model.num_masks, (), device=batch.x.device)
    scores = model.log_prob_under(mask, batch.x, batch.context)
    return Estimate(surrogate=-scores.mean(), value=scores.detach())

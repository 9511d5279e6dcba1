"""Scores of values between the discrete ones."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.distributions import Bernoulli, Independent, OneHotCategorical
from torch.nn.functional import logsigmoid

from probgen.errors import CapabilityError

__all__ = ["soft_log_prob"]


def soft_log_prob(distribution: Any, value: Tensor, *, where: str) -> Tensor:
    r"""Return the log-mass of a bit or a one-hot vector, continued to relaxed values: linear in each bit or vector.

    $$z \log p + (1 - z) \log (1 - p) \qquad\text{or}\qquad \sum_c z_c \log p_c$$

    At discrete values it is `log_prob`, which at others is refused, or not continuous.

    Args:
        distribution: A Bernoulli or OneHotCategorical, or one inside `Independent`.
        value: The relaxed value.
        where: The site's name, for the message.

    Raises:
        CapabilityError: it is another distribution.

    Example:
        >>> import torch
        >>> soft_log_prob(Bernoulli(torch.tensor(0.25)), torch.tensor(0.5), where="z").exp()  # sqrt(1/4 * 3/4)
        tensor(0.4330)
    """
    if isinstance(distribution, Independent):
        scores = soft_log_prob(distribution.base_dist, value, where=where)
        events = distribution.reinterpreted_batch_ndims
        return scores.sum(list(range(-events, 0))) if events else scores
    if isinstance(distribution, Bernoulli):
        return value * logsigmoid(distribution.logits) + (1 - value) * logsigmoid(-distribution.logits)
    if isinstance(distribution, OneHotCategorical):
        return (value * distribution.logits).sum(-1)
    raise CapabilityError(
        f"soft_log_prob: expected a Bernoulli or OneHotCategorical where {where!r} is relaxed; got a "
        f"{type(distribution).__name__}. Use one in both programs, or do not relax the site."
    )

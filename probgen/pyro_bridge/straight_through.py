"""Distributions whose draws carry a gradient that is not theirs."""

from __future__ import annotations

from typing import Any

import pyro.distributions as dist
import torch.distributions

__all__ = ["passes_straight_through"]

_KINDS = (
    torch.distributions.OneHotCategoricalStraightThrough,
    dist.RelaxedBernoulliStraightThrough,
    dist.RelaxedOneHotCategoricalStraightThrough,
)


def passes_straight_through(distribution: Any) -> bool:
    """Whether `rsample` gives hard values the gradient of soft ones, so that what follows it is biased.

    Such distributions say `has_rsample` all the same.

    Example:
        >>> import torch
        >>> passes_straight_through(dist.OneHotCategoricalStraightThrough(torch.ones(3)).to_event(0))
        True
        >>> passes_straight_through(dist.OneHotCategorical(torch.ones(3)))
        False
    """
    while (base := getattr(distribution, "base_dist", None)) is not None:
        distribution = base
    return isinstance(distribution, _KINDS)

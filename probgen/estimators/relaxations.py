"""Discrete distributions as what a threshold makes of continuous noise, and soft values in the place of the hard ones."""

from __future__ import annotations

import abc
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Bernoulli, Independent, OneHotCategorical
from torch.distributions.utils import clamp_probs
from torch.nn.functional import softplus

from probgen.errors import CapabilityError
from probgen.pyro_bridge import Statement

__all__ = ["GumbelRelaxation", "LogisticRelaxation", "Relaxation", "relaxation_of"]


class Relaxation(abc.ABC):
    r"""A discrete variable $b = H(\zeta)$ with $\zeta = \ell + \varepsilon$: its logits plus noise.

    All tensors are shaped as the site's value. The softened $\sigma_\tau(\zeta)$ tends to $b$ as the temperature $\tau$
    tends to 0.

    Args:
        logits: Log-odds of a bit, or log-probabilities along the last axis.
    """

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits

    @abc.abstractmethod
    def noisy(self) -> Tensor:
        r"""Draw $\zeta$; it carries the gradient of the logits."""

    @abc.abstractmethod
    def hard(self, noisy: Tensor) -> Tensor:
        r"""Return $b = H(\zeta)$, without gradient."""

    @abc.abstractmethod
    def soft(self, noisy: Tensor, temperature: Tensor | float) -> Tensor:
        r"""Return $\sigma_\tau(\zeta)$."""

    @abc.abstractmethod
    def noisy_given(self, hard: Tensor) -> Tensor:
        r"""Draw $\zeta$ given $b$, again with the gradient of the logits.

        At fixed $b$ it is a smooth function of logits and noise, which $\zeta$ and $b$ together are not.
        """


class LogisticRelaxation(Relaxation):
    """A bit: logistic noise, a step at zero, and a sigmoid for it."""

    def noisy(self) -> Tensor:
        """Draw by the logit of uniform noise."""
        return self.logits + _uniform_like(self.logits).logit()

    def hard(self, noisy: Tensor) -> Tensor:
        """Return 1 above zero."""
        return (noisy > 0).to(noisy.dtype)

    def soft(self, noisy: Tensor, temperature: Tensor | float) -> Tensor:
        """Return the sigmoid."""
        return (noisy / temperature).sigmoid()

    def noisy_given(self, hard: Tensor) -> Tensor:
        """Draw from the side of zero that `hard` tells, in a form that does not cancel at large logits."""
        odds = _uniform_like(self.logits).logit()
        above, below = softplus(odds + softplus(self.logits)), -softplus(odds + softplus(-self.logits))
        return torch.where(hard > 0, above, below)


class GumbelRelaxation(Relaxation):
    """One of several categories: Gumbel noise, the largest entry, and a softmax for it."""

    def noisy(self) -> Tensor:
        """Draw by uniform noise, twice through the logarithm."""
        return self.logits + _gumbel_like(self.logits)

    def hard(self, noisy: Tensor) -> Tensor:
        """Return 1 at the largest entry."""
        return torch.zeros_like(noisy).scatter_(-1, noisy.detach().argmax(-1, keepdim=True), 1.0)

    def soft(self, noisy: Tensor, temperature: Tensor | float) -> Tensor:
        """Return the softmax."""
        return (noisy / temperature).softmax(-1)

    def noisy_given(self, hard: Tensor) -> Tensor:
        """Draw the largest entry, a Gumbel variable, and the others below it."""
        top = _gumbel_like(self.logits[..., :1]) + self.logits.logsumexp(-1, keepdim=True)
        below = -torch.logaddexp(-(self.logits + _gumbel_like(self.logits)), -top)
        return torch.where(hard > 0, top, below)


def relaxation_of(statement: Statement) -> Relaxation:
    """Return the relaxation of a site that draws bits or one-hot vectors.

    Raises:
        CapabilityError: it draws something else.
    """
    base: Any = statement.distribution
    while isinstance(base, Independent):
        base = base.base_dist
    if isinstance(base, Bernoulli):
        return LogisticRelaxation(base.logits)
    if isinstance(base, OneHotCategorical):
        return GumbelRelaxation(base.logits)
    raise CapabilityError(
        f"Relaxation: expected a Bernoulli or OneHotCategorical at {statement.name!r}; got a {type(base).__name__}, whose "
        "values have nothing between them. Write categories as one-hot vectors, or use another strategy."
    )


def _uniform_like(tensor: Tensor) -> Tensor:
    """Draw uniform noise inside (0, 1)."""
    return clamp_probs(torch.rand_like(tensor))


def _gumbel_like(tensor: Tensor) -> Tensor:
    return -(-_uniform_like(tensor).log()).log()

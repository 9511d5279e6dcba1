"""Laws of one entry: how a network sees its value, and how the parameters that the network returns score and draw it."""

from __future__ import annotations

import abc
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen import CapabilityError, ConfigurationError
from probgen.nn import soft_limit
from probgen.supports import levels, support_name

__all__ = ["BernoulliLaw", "EntryLaw", "GaussianLaw", "GaussianMixtureLaw", "SoftmaxLaw", "law_for"]

_LIMIT = 5.0  # bound of |log scale|: scales from 0.007 to 148, in the units of a standardised entry
_MOST_ONE_HOT = 32


class EntryLaw(abc.ABC):
    """The distribution of one entry, given the numbers that a network returns for it.

    Attributes:
        features: How many numbers the value of an entry is to a network, $F$.
        parameters: How many numbers a network returns for an entry, $P$.
    """

    features: int = 1
    parameters: int = 1

    def encode(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return values as a network sees them, `(...) -> (..., F)`."""
        return x.to(dtype).unsqueeze(-1)

    @abc.abstractmethod
    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return the log-probability, or log-density, of values, `(...), (..., P) -> (...)`, in nats."""

    def noise(self, shape: tuple[int, ...], like: Tensor) -> Sequence[Tensor | None]:
        """Return what `draw` makes of parameters a value, for each index of the first axis of `shape`.

        All of it comes from one call of the generator; None where the law's draws call it themselves.
        """
        del like
        return [None] * shape[0]

    @abc.abstractmethod
    def draw(self, parameters: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return a value for each set of parameters, `(..., P) -> (...)`, in their floating-point type.

        Args:
            parameters: What the network returns.
            noise: One element of `noise`, `(...)`; None to make it here.
        """

    def draw_to(self, features: Tensor, parameters: Tensor, noise: Tensor | None) -> Tensor:
        """Return draws, `(n, P), (n,) -> (n,)`, and write how a network sees them to `features`, `(F, n)`."""
        drawn = self.draw(parameters, noise)
        features.copy_(self.encode(drawn, drawn.dtype).t())
        return drawn

    @abc.abstractmethod
    def marginal(self, x: Tensor) -> Tensor:
        """Return parameters that suit each entry on its own, `(N, D) -> (D, P)`, smoothed: N may be 1."""


class BernoulliLaw(EntryLaw):
    r"""Binary entries, $P(x_d = 1) = \sigma(\theta_d)$."""

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return the log-probability of each value."""
        logits = parameters.squeeze(-1)
        exact = torch.promote_types(logits.dtype, torch.float32)  # half precision is for networks, not for their losses
        return -F.binary_cross_entropy_with_logits(logits.to(exact), x.to(exact), reduction="none")

    def noise(self, shape: tuple[int, ...], like: Tensor) -> Sequence[Tensor]:
        """Return standard logistic variables: a logit is above one of them with the probability that it stands for."""
        return torch.rand(shape, dtype=like.dtype, device=like.device).logit_().unbind()

    def draw(self, parameters: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return draws."""
        logits = parameters.squeeze(-1)
        if noise is None:
            noise = torch.rand_like(logits).logit_()
        return torch.gt(logits, noise, out=torch.empty_like(logits))

    def draw_to(self, features: Tensor, parameters: Tensor, noise: Tensor | None) -> Tensor:
        """Return draws, which are what a network sees."""
        if noise is None:
            return super().draw_to(features, parameters, noise)
        return torch.gt(parameters[:, 0], noise, out=features[0])

    def marginal(self, x: Tensor) -> Tensor:
        """Return the log-odds of 1."""
        return torch.logit((x.sum(0) + 1.0) / (len(x) + 2.0)).unsqueeze(-1)


class SoftmaxLaw(EntryLaw):
    r"""Entries in $\{0, \dots, L - 1\}$ with a free probability for each level, $P(x_d = l) \propto e^{\theta_{dl}}$.

    A network sees up to 32 levels as indicators, one for each; beyond, as one number in $[-1, 1]$.

    Args:
        count: Number of levels, $L$.
    """

    def __init__(self, count: int) -> None:
        self.parameters = count
        self.features = count if count <= _MOST_ONE_HOT else 1

    def encode(self, x: Tensor, dtype: torch.dtype) -> Tensor:
        """Return indicators of the level, or the level's place in the range."""
        if self.features == 1:
            return super().encode(x, dtype) * (2.0 / (self.parameters - 1)) - 1.0
        return F.one_hot(self._known(x), self.parameters).to(dtype)

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return the log-probability of each value."""
        return parameters.log_softmax(-1).gather(-1, self._known(x).unsqueeze(-1)).squeeze(-1)

    def draw(self, parameters: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return draws, each of noise of its own."""
        del noise
        draws = torch.multinomial(parameters.softmax(-1).flatten(0, -2), 1)
        return draws.reshape(parameters.shape[:-1]).to(parameters.dtype)

    def marginal(self, x: Tensor) -> Tensor:
        """Return the logarithms of the levels' frequencies."""
        counts = F.one_hot(self._known(x), self.parameters).sum(0)
        return ((counts + 1.0 / self.parameters) / (len(x) + 1.0)).log()

    def _known(self, x: Tensor) -> Tensor:
        return x.long().clamp(0, self.parameters - 1)  # others are masked by the base


class GaussianLaw(EntryLaw):
    r"""Real entries, $x_d \sim \mathcal{N}(\mu_d, \sigma_d^2)$ with $|\log \sigma_d| < 5$."""

    parameters = 2

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return the log-density of each value."""
        mean, log_scale = parameters.unbind(-1)
        return _gaussian(x, mean, soft_limit(log_scale, _LIMIT))

    def noise(self, shape: tuple[int, ...], like: Tensor) -> Sequence[Tensor]:
        """Return standard normal variables."""
        return torch.randn(shape, dtype=like.dtype, device=like.device).unbind()

    def draw(self, parameters: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return draws."""
        mean, log_scale = parameters.unbind(-1)
        return mean + soft_limit(log_scale, _LIMIT).exp() * (torch.randn_like(mean) if noise is None else noise)

    def marginal(self, x: Tensor) -> Tensor:
        """Return mean and unbounded log-scale."""
        return torch.stack([x.mean(0), _free_log_scale(_deviation(x))], -1)


class GaussianMixtureLaw(EntryLaw):
    r"""Real entries from a mixture of $K$ Gaussians, $x_d \sim \sum_k \pi_{dk}\, \mathcal{N}(\mu_{dk}, \sigma_{dk}^2)$.

    Parameters are the $K$ logits of $\pi$, then the means, then the unbounded log-scales.

    Args:
        components: Number of components, $K$.
    """

    def __init__(self, components: int) -> None:
        self.components = components
        self.parameters = 3 * components

    def log_prob(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return the log-density of each value."""
        logits, means, log_scales = parameters.chunk(3, -1)
        scores = _gaussian(x.unsqueeze(-1), means, soft_limit(log_scales, _LIMIT))
        return (logits.log_softmax(-1) + scores).logsumexp(-1)

    def draw(self, parameters: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return draws, each of noise of its own."""
        del noise
        logits, means, log_scales = parameters.chunk(3, -1)
        component = torch.multinomial(logits.softmax(-1).flatten(0, -2), 1).reshape((*logits.shape[:-1], 1))
        mean, log_scale = (each.gather(-1, component).squeeze(-1) for each in (means, log_scales))
        return mean + soft_limit(log_scale, _LIMIT).exp() * torch.randn_like(mean)

    def marginal(self, x: Tensor) -> Tensor:
        """Return even weights, means at normal quantiles, and a common scale: moments match where the data are normal.

        The means differ, so that the components do not stay the same; means and scales keep the entry's variance.
        """
        places = (torch.arange(self.components, dtype=x.dtype, device=x.device) + 0.5) / self.components
        quantiles = torch.special.ndtri(places)
        deviation = _deviation(x).unsqueeze(-1)
        within = deviation * (1.0 - quantiles.square().mean()).clamp(min=0.05).sqrt()
        means = x.mean(0).unsqueeze(-1) + deviation * quantiles
        log_scales = _free_log_scale(within).expand_as(means)
        return torch.cat([torch.zeros_like(means), means, log_scales], -1)


def law_for(support: Constraint, *, components: int, owner: str) -> EntryLaw:
    """Return the law that a support asks for; `components` is the number of Gaussians of a real entry.

    Raises:
        CapabilityError: no law fits the support.
        ConfigurationError: `components` is below 1.
    """
    if components < 1:
        raise ConfigurationError(f"{owner}: expected components of at least 1; got {components}. Use 1 for a Gaussian.")
    match support_name(support):
        case "binary":
            return BernoulliLaw()
        case "categorical":
            return SoftmaxLaw(levels(support))
        case "real":
            return GaussianLaw() if components == 1 else GaussianMixtureLaw(components)
    raise CapabilityError(f"{owner}: expected a binary, categorical or real support; got {support}. Choose another view.")


def _gaussian(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    return -0.5 * ((x - mean) * (-log_scale).exp()).square() - log_scale - 0.5 * math.log(2.0 * math.pi)


def _deviation(x: Tensor) -> Tensor:
    """Return the standard deviation of each entry, `(N, D) -> (D,)`, drawn towards 1: one example has none."""
    return (((x - x.mean(0)).square().sum(0) + 1.0) / (len(x) + 1.0)).sqrt()


def _free_log_scale(deviation: Tensor) -> Tensor:
    """Return the unbounded number that `soft_limit` turns into the logarithm of a scale."""
    log_scale = deviation.log().clamp(-0.99 * _LIMIT, 0.99 * _LIMIT)
    return _LIMIT * torch.atanh(log_scale / _LIMIT)

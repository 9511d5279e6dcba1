"""Decoders: conditional densities of an event whose entries are independent given a code.

Each owns the network that turns a code into the parameters of every entry; they differ in the distribution of an entry.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen import Batch, CapabilityError, ConfigurationError, Density, Sampler
from probgen.draws import bernoulli
from probgen.nn import soft_limit
from probgen.supports import levels, support_name
from probgen_latent.networks import DecoderNetwork

__all__ = [
    "LIKELIHOODS",
    "BernoulliDecoder",
    "CategoricalDecoder",
    "Decoder",
    "GaussianDecoder",
    "LogisticDecoder",
    "choose",
]

_LIMIT = 5.0  # bound of |log scale|: scales from 0.007 to 148, in the units of a standardised entry
_MOST_CATEGORIES = 32


class Decoder(nn.Module, Density, Sampler, abc.ABC):
    r"""A density $p(x \mid z) = \prod_d p(x_d \mid z)$ whose parameters are computed from the code $z$ by a network.

    Args:
        make_network: Builds the network for a shape of its output, `(parameters, *event_shape)`; it maps `(..., H)` there.
        event_shape: Shape of an event.
        context_shape: Shape `(H,)` of a code.
        support: The values of an entry.

    A subclass says how many parameters an entry has, how they score it, how it is drawn, what its mean is, and which
    parameters fit the data before anything is learned.
    """

    def __init__(
        self,
        make_network: Callable[[Sequence[int]], DecoderNetwork],
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int],
        support: Constraint,
    ) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.context_shape = torch.Size(context_shape)
        self.support = support
        self.network = make_network((self.parameters_per_entry(), *self.event_shape))

    @abc.abstractmethod
    def parameters_per_entry(self) -> int:
        """Return how many parameters the distribution of an entry has."""

    @abc.abstractmethod
    def mean(self, context: Tensor) -> Tensor:
        """Return the expected event at codes, `(..., H) -> (..., *event_shape)`."""

    @abc.abstractmethod
    def _marginal(self, x: Tensor) -> Tensor:
        """Return parameters that suit each entry on its own, `(N, *event) -> (parameters, *event)`, smoothed: N may be 1."""

    @abc.abstractmethod
    def _entry_costs(self, x: Tensor, parameters: Tensor) -> Tensor:
        """Return minus the log-density of each entry, `(N, *event), (N, parameters, *event) -> (N, *event)`."""

    @torch.no_grad()
    def initialize(self, batch: Batch) -> None:
        """Start the network's output biases at the marginals of the data, unless they were trained already.

        The codes then need not learn what all events share: on binarised MNIST this is worth 8 nats after 15 epochs.
        """
        biases = self.network.output_biases()
        if not biases.any():
            biases.copy_(self._marginal(self.network.alike(batch.x.to(biases.dtype))))

    def _computed(self, context: Tensor | None) -> Tensor:
        return self.network(context)

    def _axis(self) -> int:
        return -1 - len(self.event_shape)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return -self._entry_costs(x, self._computed(context)).reshape(len(x), math.prod(self.event_shape)).sum(1)


class BernoulliDecoder(Decoder):
    r"""Binary entries, $x_d \sim \mathrm{Bernoulli}(\sigma(f_d(z)))$."""

    def parameters_per_entry(self) -> int:
        """Return 1: a logit."""
        return 1

    def mean(self, context: Tensor) -> Tensor:
        """Return the probabilities of 1."""
        return self._computed(context).squeeze(self._axis()).sigmoid()

    def _marginal(self, x: Tensor) -> Tensor:
        return torch.logit((x.sum(0) + 1.0) / (len(x) + 2.0)).unsqueeze(0)

    def _entry_costs(self, x: Tensor, parameters: Tensor) -> Tensor:
        logits = parameters.squeeze(1)
        exact = torch.promote_types(logits.dtype, torch.float32)  # half precision is for networks, not for their losses
        return F.binary_cross_entropy_with_logits(logits.to(exact), x.to(exact), reduction="none")

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return bernoulli(self._computed(context).squeeze(1).sigmoid())


class GaussianDecoder(Decoder):
    r"""Real entries, $x_d \sim \mathcal{N}(f_d(z), \sigma_d(z)^2)$ with $|\log \sigma_d| < 5$."""

    def parameters_per_entry(self) -> int:
        """Return 2: mean and unbounded log-scale."""
        return 2

    def mean(self, context: Tensor) -> Tensor:
        """Return the means."""
        return self._computed(context).select(self._axis(), 0)

    def _marginal(self, x: Tensor) -> Tensor:
        return _location_and_free_log_scale(x)

    def _entry_costs(self, x: Tensor, parameters: Tensor) -> Tensor:
        mean, log_scale = _location_and_log_scale(parameters)
        return 0.5 * ((x - mean) * (-log_scale).exp()).square() + log_scale + 0.5 * math.log(2 * math.pi)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        mean, log_scale = _location_and_log_scale(self._computed(context))
        return mean + log_scale.exp() * torch.randn_like(mean)


class CategoricalDecoder(Decoder):
    r"""Entries in $\{0, \dots, L - 1\}$ with a free probability for each level, $x_d \sim \mathrm{softmax}(f_d(z))$.

    It assumes nothing about the order of the levels, and needs $L$ outputs for each entry.
    """

    def parameters_per_entry(self) -> int:
        """Return the number of levels: a logit each."""
        return levels(self.support)

    def mean(self, context: Tensor) -> Tensor:
        """Return the mean levels."""
        logits = self._computed(context)
        values = torch.arange(logits.shape[self._axis()], dtype=logits.dtype, device=logits.device)
        return (logits.softmax(self._axis()).movedim(self._axis(), -1) * values).sum(-1)

    def _marginal(self, x: Tensor) -> Tensor:
        counts = F.one_hot(x.long(), levels(self.support)).sum(0).movedim(-1, 0)
        return ((counts + 1.0 / len(counts)) / (len(x) + 1.0)).log()

    def _entry_costs(self, x: Tensor, parameters: Tensor) -> Tensor:
        known = x.long().clamp(0, parameters.shape[1] - 1)  # others are masked by the base
        return F.cross_entropy(parameters, known, reduction="none")

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        logits = self._computed(context).movedim(1, -1)
        draws = torch.multinomial(logits.softmax(-1).flatten(0, -2), 1)
        return draws.reshape(logits.shape[:-1]).to(logits.dtype)


class LogisticDecoder(Decoder):
    r"""Entries in $\{0, \dots, L - 1\}$ as a logistic distribution cut into bins: neighbouring levels are alike.

    With levels placed at $v = 2x / (L - 1) - 1$ and bins of half-width $h = 1 / (L - 1)$ whose outer ones reach to infinity,

    $$P(x_d) = \sigma\left(\frac{v_d + h - \mu_d(z)}{s_d(z)}\right) - \sigma\left(\frac{v_d - h - \mu_d(z)}{s_d(z)}\right).$$

    Two outputs for each entry, whatever the number of levels.

    References:
        Kingma et al. (2016), arXiv:1606.04934. Salimans et al. (2017), arXiv:1701.05517.
    """

    def parameters_per_entry(self) -> int:
        """Return 2: location and unbounded log-scale."""
        return 2

    def mean(self, context: Tensor) -> Tensor:
        """Return the locations as levels, inside the range (not rounded)."""
        location = self._computed(context).select(self._axis(), 0)
        return (0.5 * (location.clamp(-1.0, 1.0) + 1.0)) * self._top

    @property
    def _top(self) -> int:
        return levels(self.support) - 1

    def _marginal(self, x: Tensor) -> Tensor:
        return _location_and_free_log_scale(2.0 * x / self._top - 1.0, deviation=math.pi / math.sqrt(3.0))

    def _entry_costs(self, x: Tensor, parameters: Tensor) -> Tensor:
        location, log_scale = _location_and_log_scale(parameters)
        half_width = 1.0 / self._top
        inverse_scale = (-log_scale).exp()
        centred = 2.0 * half_width * x - 1.0 - location
        upper, lower = (centred + half_width) * inverse_scale, (centred - half_width) * inverse_scale
        # sigmoid(u) - sigmoid(l) = sigmoid(u) sigmoid(-l) (1 - exp(l - u)), of which the outer bins keep one factor each.
        width = torch.log(-torch.expm1(-2.0 * half_width * inverse_scale))
        below_top, above_bottom = x < self._top, x > 0
        costs = torch.where(below_top, F.softplus(-upper), 0.0) + torch.where(above_bottom, F.softplus(lower), 0.0)
        return costs - torch.where(below_top & above_bottom, width, 0.0)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        location, log_scale = _location_and_log_scale(self._computed(context))
        uniform = torch.rand_like(location).clamp(1e-6, 1 - 1e-6)
        value = location + log_scale.exp() * torch.logit(uniform)
        return ((value + 1.0) * 0.5 * self._top).round().clamp(0, self._top)


LIKELIHOODS: dict[str, type[Decoder]] = {
    "bernoulli": BernoulliDecoder,
    "categorical": CategoricalDecoder,
    "discretised-logistic": LogisticDecoder,
    "gaussian": GaussianDecoder,
}
"""Decoders by the name of their likelihood."""

_FITTING = {
    "binary": ("bernoulli",),
    "categorical": ("categorical", "discretised-logistic"),
    "real": ("gaussian",),
}


def choose(likelihood: str, support: Constraint) -> type[Decoder]:
    """Return the decoder for a likelihood's name; `"auto"` takes the one that the support asks for.

    Raises:
        ConfigurationError: the name is unknown.
        CapabilityError: the likelihood does not fit the support, or no likelihood does.
    """
    fitting = _FITTING.get(support_name(support), ())
    if not fitting:
        raise CapabilityError(f"VAE: expected a binary, categorical or real support; got {support}. Choose another view.")
    if likelihood == "auto":
        many = support_name(support) == "categorical" and levels(support) > _MOST_CATEGORIES
        return LIKELIHOODS["discretised-logistic" if many else fitting[0]]
    if likelihood not in LIKELIHOODS:
        raise ConfigurationError(f"VAE: expected a likelihood among auto, {', '.join(LIKELIHOODS)}; got {likelihood!r}.")
    if likelihood not in fitting:
        raise CapabilityError(
            f"VAE: expected a likelihood for {support_name(support)} entries; got {likelihood!r}. "
            f"Use {' or '.join(map(repr, fitting))}, or 'auto'."
        )
    return LIKELIHOODS[likelihood]


def _location_and_log_scale(parameters: Tensor) -> tuple[Tensor, Tensor]:
    location, log_scale = parameters.unbind(1)
    return location, soft_limit(log_scale, _LIMIT)


def _location_and_free_log_scale(x: Tensor, *, deviation: float = 1.0) -> Tensor:
    """Return each entry's mean and unbounded log-scale, `(2, *event)`; the law has this `deviation` at scale 1."""
    mean = x.mean(0)
    variance = ((x - mean).square().sum(0) + 1.0) / (len(x) + 1.0)
    log_scale = (0.5 * variance.log() - math.log(deviation)).clamp(-0.99 * _LIMIT, 0.99 * _LIMIT)
    return torch.stack([mean, _LIMIT * torch.atanh(log_scale / _LIMIT)])

"""The restricted Boltzmann machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from types import MappingProxyType
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen import (
    Batch,
    CapabilityError,
    ConfigurationError,
    Density,
    Enumerable,
    MarkovKernel,
    Sampler,
    SupportError,
    UnnormalizedDensity,
)
from probgen.capabilities import LogPartition
from probgen.claims import Exact
from probgen.draws import bernoulli
from probgen.nn import linear
from probgen_boltzmann.ais import RBMPath, anneal
from probgen_boltzmann.centering import Layered
from probgen_boltzmann.enumeration import bits, draw_exactly, log_partition_by_enumeration

__all__ = ["RBM"]

_ENUMERABLE = 20  # units of a layer whose configurations are listed: a million

_Parameters = tuple[Tensor, Tensor, Tensor]


class RBM(nn.Module, UnnormalizedDensity, MarkovKernel, Sampler, Density, Enumerable, Layered):
    r"""Restricted Boltzmann machine: binary visible and hidden units, and weights between the two layers alone.

    $$p(v) = \frac1Z \sum_h e^{b \cdot v + c \cdot h + h^\top W v}, \qquad
      E(v) = -b \cdot v - \sum_j \log\left(1 + e^{(c + W v)_j}\right)$$

    `energy` is this free energy of the visible units. The Markov kernel is block Gibbs: all hidden units, then all visible.
    Where one layer has at most 20 units its configurations are listed: $Z$ is then exact, the model is a `Density`, and its
    draws are independent and exact. Otherwise a draw is the end of a chain of its own, `burn_in` steps from the base
    rates: approximately the model's, and the worse the slower its chains mix; and `log_partition` is estimated by annealed
    importance sampling.

    Centring is a matter of the gradient (`CenteredContrastiveDivergence`) and of where training starts; the distributions
    that a machine can have, and its parameters, are the same with it and without.

    Args:
        event_shape: Shape of an event; its entries are the visible units.
        hidden: Number of hidden units.
        centered: Start at biases that are centred, and train by the centred gradient unless somebody says otherwise.
        burn_in: Gibbs steps before a chain's draw.
        temperatures: Steps of annealed importance sampling from the base rates to the model.

    Shapes:
        energy: `(..., *event_shape) -> (...)`.

    Raises:
        ConfigurationError: an option is below one.

    Example:
        >>> rbm = RBM(event_shape=(1, 4, 4), hidden=8)
        >>> rbm.energy(torch.zeros(5, 1, 4, 4)).shape, rbm.log_partition().claim
        (torch.Size([5]), Exact(of='log_partition'))

    References:
        Smolensky (1986), Information processing in dynamical systems. Hinton (2002), Training products of experts by
        minimizing contrastive divergence.
    """

    support = constraints.boolean
    context_shape = None
    couplings: Mapping[str, tuple[str, str]] = MappingProxyType({"weight": ("hidden_bias", "visible_bias")})

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        hidden: int = 64,
        centered: bool = False,
        burn_in: int = 1000,
        temperatures: int = 5000,
    ) -> None:
        super().__init__()
        for name, value in (("hidden", hidden), ("burn_in", burn_in), ("temperatures", temperatures)):
            if value < 1:
                raise ConfigurationError(f"RBM: expected {name} of at least 1; got {value}. Leave it out for the default.")
        self.event_shape = torch.Size(event_shape)
        self.centered = centered
        self.burn_in = burn_in
        self.temperatures = temperatures
        visible = prod(self.event_shape)
        width = 4 * (6 / (visible + hidden)) ** 0.5
        self.weight = nn.Parameter(torch.empty(hidden, visible).uniform_(-width, width))
        self.visible_bias = nn.Parameter(torch.zeros(visible))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.register_buffer("base_bias", torch.zeros(visible))
        self.base_bias: Tensor
        self._known: list[tuple[_Parameters, Tensor]] = []  # none or one: changed in place, for it is no part of the model

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the options have names and types here
        cls,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        *,
        hidden: int = 64,
        centered: bool = False,
        burn_in: int = 1000,
        temperatures: int = 5000,
    ) -> Self:
        """Bind a machine to binary data, a visible unit for each entry.

        Args:
            event_shape: Shape of an event.
            context_shape: None: this machine takes no context.
            support: Binary.
            hidden: Number of hidden units.
            centered: Start at centred biases, and train by the centred gradient unless somebody says otherwise.
            burn_in: Gibbs steps before a chain's draw.
            temperatures: Steps of annealed importance sampling.

        Raises:
            CapabilityError: a context is asked for.
            SupportError: the support is not binary.
            ConfigurationError: an option is below one.
        """
        if context_shape is not None:
            raise CapabilityError(
                f"RBM.build: expected no context; got one of shape {tuple(context_shape)}. This machine is not conditional: "
                "train one for each label, or leave the context out."
            )
        if support is not constraints.boolean:
            raise SupportError(f"RBM.build: expected a binary support; got {support}. Take the binary view of the data.")
        return cls(event_shape=event_shape, hidden=hidden, centered=centered, burn_in=burn_in, temperatures=temperatures)

    @torch.no_grad()
    def initialize(self, batch: Batch) -> None:
        r"""Start a new machine at the data's log-odds, one count added to each side, which are also the base of annealing.

        These are the visible biases; where the machine is centred, they are so at hidden units of one half, and the hidden
        biases are such that these are undecided at the mean of the data, $b = \operatorname{logit} \mu - W^\top
        \tfrac12$ and $c = -W \mu$. A machine whose biases are not all zero keeps them.
        """
        if self.visible_bias.any() or self.hidden_bias.any():
            return
        ones = batch.x.flatten(1).sum(0)
        self.base_bias.copy_(torch.log((ones + 1) / (len(batch) - ones + 1)))
        self.visible_bias.copy_(self.base_bias)
        if self.centered:
            self.visible_bias -= self.weight.sum(0) / 2
            self.hidden_bias -= self.weight @ (ones / len(batch))

    # --------------------------------------------------------------------------------------------------------- contracts

    def _capabilities(self) -> frozenset[type]:
        """Return what a machine of this size can do."""
        visible, hidden = self.weight.shape[1], self.weight.shape[0]
        lacking = {Density} if min(visible, hidden) > _ENUMERABLE else set()
        return super()._capabilities() - lacking - ({Enumerable} if visible > _ENUMERABLE else set())

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        v = x.flatten(1)
        return -(v @ self.visible_bias) - F.softplus(self._hidden_inputs(v)).sum(-1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        if Density not in self._capabilities():
            raise CapabilityError(
                f"RBM.log_prob: expected a layer of at most {_ENUMERABLE} units, which can be listed; got "
                f"{self.weight.shape[1]} visible and {self.weight.shape[0]} hidden units. Use energy and log_partition."
            )
        return -self._energy(x, context) - self._exact_log_partition()

    def _log_partition(self, context: Tensor | None, num_particles: int) -> LogPartition:
        if Density in self._capabilities():
            value = self._exact_log_partition()
            return LogPartition(value, torch.zeros_like(value), Exact("log_partition"), "enumeration")
        return anneal(self.annealing_path(), num_chains=num_particles, num_steps=self.temperatures)

    def annealing_path(self) -> RBMPath:
        """Return the path from the base rates to this machine, for annealed importance sampling."""
        weight, visible_bias, hidden_bias = self._parameters_now()
        return RBMPath(weight, visible_bias, hidden_bias, self.base_bias)

    def enumerate_support(self) -> Tensor:
        """Return every configuration of the visible units, `(2^V, *event_shape)`.

        Raises:
            CapabilityError: there are too many.
        """
        visible = self.weight.shape[1]
        if visible > _ENUMERABLE:
            raise CapabilityError(
                f"RBM.enumerate_support: expected at most {_ENUMERABLE} visible units; got {visible}. Draw samples instead."
            )
        numbers = torch.arange(1 << visible, device=self.weight.device)
        return bits(numbers, visible).to(self.weight.dtype).reshape(-1, *self.event_shape)

    # ------------------------------------------------------------------------------------------------------- the sampler

    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return chains that start at the events `x`."""
        return {"x": x}

    @torch.no_grad()
    def step(
        self, state: Mapping[str, Tensor], context: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Draw all hidden units given the visible ones, then all visible units given those."""
        x = state["x"]
        hidden = bernoulli(self._hidden_inputs(x.flatten(1)).sigmoid_())
        visible = bernoulli(torch.addmm(self.visible_bias, hidden, self.weight).sigmoid_())
        return {"x": visible.view_as(x)}, {}

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        weight, visible_bias, hidden_bias = self._parameters_now()
        if weight.shape[0] <= min(_ENUMERABLE, weight.shape[1]):
            _, v = draw_exactly(n, weight, hidden_bias, visible_bias)
        elif weight.shape[1] <= _ENUMERABLE:
            v, _ = draw_exactly(n, weight.T, visible_bias, hidden_bias)
        else:
            v = bernoulli(self.base_bias.sigmoid().expand(n, -1))
            for _ in range(self.burn_in):
                v = self.step({"x": v})[0]["x"]
        return v.reshape(n, *self.event_shape)

    def layer_means(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return the visible units, and the probabilities of the hidden ones given them, by the names of their biases."""
        v = x.flatten(1)
        return {"visible_bias": v, "hidden_bias": torch.sigmoid(self._hidden_inputs(v))}

    # ---------------------------------------------------------------------------------------------------------- helpers

    def _hidden_inputs(self, v: Tensor) -> Tensor:
        return linear(v, self.weight, self.hidden_bias)

    def _parameters_now(self) -> _Parameters:
        return self.weight.detach(), self.visible_bias.detach(), self.hidden_bias.detach()

    def _exact_log_partition(self) -> Tensor:
        """Return log Z, remembered as long as the parameters are equal where no gradient is needed."""
        parameters = (self.weight, self.visible_bias, self.hidden_bias)
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in parameters):
            return _enumerated(*parameters)
        if not (self._known and all(map(_same, self._known[0][0], parameters))):
            weight, visible_bias, hidden_bias = self._parameters_now()
            total = _enumerated(weight, visible_bias, hidden_bias)
            self._known[:] = [((weight.clone(), visible_bias.clone(), hidden_bias.clone()), total)]
        return self._known[0][1]


def _enumerated(weight: Tensor, visible_bias: Tensor, hidden_bias: Tensor) -> Tensor:
    """Return log Z by listing the smaller layer."""
    if weight.shape[0] <= weight.shape[1]:
        return log_partition_by_enumeration(weight, hidden_bias, visible_bias)
    return log_partition_by_enumeration(weight.T, visible_bias, hidden_bias)


def _same(one: Tensor, other: Tensor) -> bool:
    return one.device == other.device and one.dtype == other.dtype and torch.equal(one, other)

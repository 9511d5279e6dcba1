"""What the models of this family share: a law for each entry, an order, and biases that start at the data's marginals."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen import Autoregressive, Batch, ConfigurationError, Sampler
from probgen_autoregressive.laws import EntryLaw, law_for

__all__ = ["ORDERS", "EntryByEntry", "positions_of"]

ORDERS = ("natural", "random")
"""Orders of the entries by name: as they lie in the flattened event, or shuffled."""


class EntryByEntry(nn.Module, Autoregressive, Sampler, abc.ABC):
    """An autoregressive model whose network returns the parameters of each entry's law, for all entries at once.

    Args:
        event_shape: Shape of an event, of any number of axes; it is flattened.
        context_shape: Shape of a context, flattened too and joined to the inputs; None when not conditional.
        support: Binary, categorical or real.
        components: Number of Gaussians in the conditional of a real entry.

    A subclass says what its network returns, which biases are those of its outputs, and how it draws.
    """

    law: EntryLaw

    def __init__(
        self, *, event_shape: Sequence[int], context_shape: Sequence[int] | None, support: Constraint, components: int
    ) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.support = support
        self.law = law_for(support, components=components, owner=type(self).__name__)
        self.entries = prod(self.event_shape)
        self.context_size = 0 if self.context_shape is None else prod(self.context_shape)

    @property
    @abc.abstractmethod
    def output_bias(self) -> Tensor:
        """The bias of each entry's parameters, `(D, P)`, in the order of the event."""

    @abc.abstractmethod
    def _parameters_of(self, features: Tensor, context: Tensor | None) -> Tensor:
        """Return each entry's parameters: `(N, D, F), (N, C) | None -> (N, D, P)`."""

    @torch.no_grad()
    def initialize(self, batch: Batch) -> None:
        """Start the output biases at the marginals of the data, unless they were trained already.

        The network then need not learn how common each value is, which in sparse data is most of what there is to know.
        """
        if not self.output_bias.any():
            self.output_bias.copy_(self.law.marginal(batch.x.to(self.output_bias.dtype).reshape(-1, self.entries)))

    def _log_prob_terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        flat = x.reshape(-1, self.entries)
        return self.law.log_prob(flat, self._parameters_of(self._encoded(flat), self._vectors(context)))

    def _encoded(self, flat: Tensor) -> Tensor:
        return self.law.encode(flat, self.output_bias.dtype)

    def _vectors(self, context: Tensor | None) -> Tensor | None:
        """Return contexts as vectors in the network's type, `(N, *context_shape) -> (N, C)`."""
        return None if context is None else context.reshape(-1, self.context_size).to(self.output_bias.dtype)


def positions_of(order: str, entries: int, *, seed: int, owner: str) -> Tensor:
    """Return at which position each entry is drawn, `(D,)` of int64; a random order follows from `seed`.

    Raises:
        ConfigurationError: the order's name is unknown.
    """
    if order not in ORDERS:
        raise ConfigurationError(f"{owner}: expected an order among {', '.join(ORDERS)}; got {order!r}.")
    return (
        torch.arange(entries)
        if order == "natural"
        else torch.randperm(entries, generator=torch.Generator().manual_seed(seed))
    )

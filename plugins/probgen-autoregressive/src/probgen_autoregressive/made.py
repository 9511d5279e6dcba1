"""MADE, the masked autoencoder for distribution estimation."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen import Autoregressive, CapabilityError, ConfigurationError
from probgen_autoregressive.base import ORDERS, EntryByEntry, positions_of
from probgen_autoregressive.incremental import draw_entry_by_entry
from probgen_autoregressive.mask_sampling import MaskEnsemble
from probgen_autoregressive.masked import MaskedNetwork

__all__ = ["MADE", "MASK_ORDERS"]

MASK_ORDERS = (*ORDERS, "shuffled")
"""Orders by name; under `"shuffled"` every mask has a random one of its own."""


class MADE(EntryByEntry, MaskEnsemble):
    r"""Masked autoencoder: one network returns all conditionals in one pass, its weights masked so that none sees ahead.

    $$\log p_m(x \mid c) = \sum_d \log p\big(x_d \mid f^{(m)}_d(x, c)\big)$$

    where $f^{(m)}_d$ has no path from $x_d$ or any entry after it. With $M$ masks over the same weights the model is, unless
    `average` says otherwise, their even mixture, which is normalised:

    $$p(x \mid c) = \frac{1}{M} \sum_{m=1}^{M} p_m(x \mid c)$$

    Masks differ in their hidden connections, and with `order="shuffled"` also in the order of the entries; the model is then
    no product of conditionals in one order, and not `Autoregressive`.

    Args:
        event_shape: Shape of an event; it is flattened.
        context_shape: Shape of a context, which is joined to the inputs; None when not conditional.
        support: Binary, categorical or real.
        hidden: Width of each hidden layer; none for a linear map.
        activation: Name of the activation between layers.
        masks: How many masks share the weights, $M$. Several are trained one at a time by `MaskSampling`.
        order: `"natural"`, `"random"`, or `"shuffled"` for a random order of each mask's own.
        mask_seed: Of random orders, and of the hidden connections where there are several masks.
        average: Whether several masks are averaged in scoring and drawing, at $M$ times the price of a score; else the first
            one alone is the model.
        direct: Whether weights also lead from the entries straight to later outputs, which start at zero. An output that
            few hidden units may serve, one of the first entries, then sees all that it may.
        components: Number of Gaussians in the conditional of a real entry.
        dropout: Share of hidden units dropped in training; scores are random meanwhile.

    Shapes:
        log_prob: `(..., *event_shape), (..., *context_shape) -> (...)`.
        log_prob_terms: likewise, `(..., D)`.

    Raises:
        ConfigurationError: an option is unknown or out of range.
        CapabilityError: the support is none of the three.

    Example:
        >>> from torch.distributions import constraints
        >>> made = MADE(event_shape=(2, 3), context_shape=None, support=constraints.boolean, hidden=(16,), masks=4)
        >>> made.log_prob(made.sample((5,))).shape
        torch.Size([5])

    References:
        Germain, Gregor, Murray & Larochelle (2015), arXiv:1502.03509.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        hidden: Sequence[int] = (500,),
        activation: str = "tanh",
        masks: int = 1,
        order: str = "natural",
        mask_seed: int = 0,
        average: bool = True,
        direct: bool = True,
        components: int = 10,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(event_shape=event_shape, context_shape=context_shape, support=support, components=components)
        _check(hidden, masks, order, dropout)
        self.num_masks = masks
        self.average = average
        self._one_order = order != "shuffled" or masks == 1 or not average
        self.network = MaskedNetwork(
            _positions(order, masks, self.entries, mask_seed),
            features=self.law.features,
            parameters=self.law.parameters,
            context_size=self.context_size,
            hidden=hidden,
            activation=activation,
            dropout=dropout,
            direct=direct,
            seed=mask_seed,
        )

    @property
    def order(self) -> Tensor:
        """The entries in the order in which they are drawn.

        Raises:
            CapabilityError: the masks that are averaged have orders of their own.
        """
        self._require_one_order("order")
        return self.network.positions[0].argsort()

    @property
    def output_bias(self) -> Tensor:
        """The bias of each entry's parameters, `(D, P)`."""
        return self.network.output_bias.view(self.entries, -1)

    def _capabilities(self) -> frozenset[type]:
        held = super()._capabilities()
        if not self._one_order:
            held -= {Autoregressive}
        return held if self.num_masks > 1 else held - {MaskEnsemble}

    def _parameters_of(self, features: Tensor, context: Tensor | None, *, mask: int | Tensor = 0) -> Tensor:
        return self.network(features, context, mask=mask)

    @property
    def _scoring_masks(self) -> range:
        return range(self.num_masks if self.average else 1)

    def _log_prob_under(self, mask: int | Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        return self._terms_under(mask, x, context).sum(-1)

    def _terms_under(self, mask: int | Tensor, x: Tensor, context: Tensor | None) -> Tensor:
        flat = x.reshape(-1, self.entries)
        return self.law.log_prob(flat, self._parameters_of(self._encoded(flat), self._vectors(context), mask=mask))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        scores = torch.stack([self._log_prob_under(mask, x, context) for mask in self._scoring_masks])
        return scores.logsumexp(0) - math.log(len(scores))

    def _log_prob_terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        r"""Return the conditionals of the mixture: ratios of the probabilities that it gives to the first entries.

        $$\log p(x_{o_d} \mid x_{o_1}, \dots) = \log \sum_m p_m(x_{o_1}, \dots, x_{o_d})
          - \log \sum_m p_m(x_{o_1}, \dots, x_{o_{d-1}})$$
        """
        order = self.order
        by_mask = torch.stack([self._terms_under(mask, x, context) for mask in self._scoring_masks])
        if len(by_mask) == 1:
            return by_mask[0]
        prefixes = by_mask[..., order].cumsum(-1).logsumexp(0)
        before = torch.nn.functional.pad(prefixes[..., :-1], (1, 0), value=math.log(len(by_mask)))
        return (prefixes - before)[..., self.network.positions[0]]

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        vectors, masks = self._vectors(context), self._scoring_masks
        if len(masks) == 1:
            return draw_entry_by_entry(self.network, self.law, n, vectors).reshape(n, *self.event_shape)
        draws = self.output_bias.new_empty(n, self.entries)
        component = torch.randint(len(masks), (n,), device=draws.device)
        for mask in masks:
            rows = (component == mask).nonzero().squeeze(1)
            if len(rows):
                of_rows = None if vectors is None else vectors[rows]
                draws[rows] = draw_entry_by_entry(self.network, self.law, len(rows), of_rows, mask=mask)
        return draws.reshape(n, *self.event_shape)

    def _require_one_order(self, method: str) -> None:
        if not self._one_order:
            raise CapabilityError(
                f"MADE.{method}: expected masks with one order of the entries; got {self.num_masks} that are averaged, each "
                "with its own. Use order='natural' or 'random', or average=False."
            )


def _positions(order: str, masks: int, entries: int, seed: int) -> Tensor:
    """Return the position of each entry under each mask, `(M, D)`."""
    if order == "shuffled":
        generator = torch.Generator().manual_seed(seed)
        return torch.stack([torch.randperm(entries, generator=generator) for _ in range(masks)])
    return positions_of(order, entries, seed=seed, owner="MADE").expand(masks, -1).clone()


def _check(hidden: Sequence[int], masks: int, order: str, dropout: float) -> None:
    if any(width < 1 for width in hidden):
        raise ConfigurationError(f"MADE: expected hidden sizes of at least 1; got {tuple(hidden)}.")
    if masks < 1:
        raise ConfigurationError(f"MADE: expected masks of at least 1; got {masks}.")
    if order not in MASK_ORDERS:
        raise ConfigurationError(f"MADE: expected an order among {', '.join(MASK_ORDERS)}; got {order!r}.")
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"MADE: expected dropout in [0, 1); got {dropout}.")

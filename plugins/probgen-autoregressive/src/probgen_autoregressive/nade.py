"""NADE, the neural autoregressive distribution estimator."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen import ConfigurationError
from probgen.nn import linear
from probgen_autoregressive.base import EntryByEntry, positions_of
from probgen_autoregressive.running import RUNNING_ACTIVATIONS, running_outputs

__all__ = ["NADE"]


class NADE(EntryByEntry):
    r"""Neural autoregressive distribution estimator: conditionals that share one hidden layer, accumulated entry by entry.

    $$h_d = g\Big(c + U k + \sum_{j < d} W_j x_{o_j}\Big), \qquad x_{o_d} \sim p(\,\cdot \mid b_d + V_d h_d)$$

    with the context $k$. The weights $W_j$ of an entry are the same in all conditionals that it enters, so all $D$ of them
    together cost $O(D H)$, to score and to draw; drawing costs the same for each entry, however many are there already.

    Args:
        event_shape: Shape of an event; it is flattened.
        context_shape: Shape of a context, which enters the hidden layer; None when not conditional.
        support: Binary (NADE), categorical, or real (RNADE).
        hidden: Number of hidden units, $H$.
        activation: $g$: `"sigmoid"`, `"tanh"` or `"relu"`.
        order: `"natural"`, or `"random"`.
        order_seed: Of the random order.
        components: Number of Gaussians in the conditional of a real entry.

    Shapes:
        log_prob: `(..., *event_shape), (..., *context_shape) -> (...)`.
        log_prob_terms: likewise, `(..., D)`.

    Raises:
        ConfigurationError: an option is unknown or out of range.
        CapabilityError: the support is none of the three.

    Example:
        >>> from torch.distributions import constraints
        >>> nade = NADE(event_shape=(2, 3), context_shape=None, support=constraints.boolean, hidden=8)
        >>> nade.log_prob(nade.sample((5,))).shape
        torch.Size([5])

    References:
        Larochelle & Murray (2011), "The neural autoregressive distribution estimator". Uria, Murray & Larochelle (2013),
        arXiv:1306.0186.
    """

    positions: Tensor

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        hidden: int = 500,
        activation: str = "sigmoid",
        order: str = "natural",
        order_seed: int = 0,
        components: int = 10,
    ) -> None:
        super().__init__(event_shape=event_shape, context_shape=context_shape, support=support, components=components)
        if hidden < 1:
            raise ConfigurationError(f"NADE: expected hidden of at least 1; got {hidden}.")
        if activation not in RUNNING_ACTIVATIONS:
            known = ", ".join(RUNNING_ACTIVATIONS)
            raise ConfigurationError(f"NADE: expected an activation among {known}; got {activation!r}.")
        self.activation = activation
        self._natural = order == "natural"
        self.register_buffer("positions", positions_of(order, self.entries, seed=order_seed, owner="NADE"), persistent=False)
        self.inward = nn.Parameter(torch.empty(self.entries, self.law.features, hidden))
        self.outward = nn.Parameter(torch.empty(self.entries, self.law.parameters, hidden))
        self.hidden_bias = nn.Parameter(torch.zeros(hidden))
        self.bias = nn.Parameter(torch.zeros(self.entries, self.law.parameters))
        self.from_context = nn.Parameter(torch.empty(hidden, self.context_size)) if self.context_size else None
        self._draw_weights()

    @property
    def order(self) -> Tensor:
        """The entries in the order in which they are drawn."""
        return self.positions.argsort()

    @property
    def output_bias(self) -> Tensor:
        """The bias of each entry's parameters, `(D, P)`."""
        return self.bias

    def _draw_weights(self) -> None:
        """Draw the weights as Glorot does, the inputs being all entries and the context, the outputs all parameters."""
        for weights in (self.inward, self.outward):
            nn.init.xavier_uniform_(weights.data.view(-1, weights.shape[-1]))
        if self.from_context is not None:
            nn.init.xavier_uniform_(self.from_context)

    def _parameters_of(self, features: Tensor, context: Tensor | None) -> Tensor:
        start = self._start(len(features), context)
        if self._natural:
            return running_outputs(features, self.inward, self.outward, start, activation=self.activation) + self.bias
        order = self.order
        ordered = features[:, order], self.inward[order], self.outward[order]
        return running_outputs(*ordered, start, activation=self.activation)[:, self.positions] + self.bias

    def _start(self, n: int, context: Tensor | None) -> Tensor:
        """Return the pre-activations before any entry, `(n, H)`."""
        if context is None or self.from_context is None:
            return self.hidden_bias.expand(n, -1)
        return linear(context, self.from_context, self.hidden_bias)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        activate = RUNNING_ACTIVATIONS[self.activation].value
        running = self._start(n, self._vectors(context)).clone()
        hidden, parameters = torch.empty_like(running), running.new_empty(n, self.law.parameters)
        draws: list[Tensor] = []
        order = self.order
        weights = zip(self.inward[order], self.outward[order].transpose(1, 2), self.bias[order], strict=True)
        noise = self.law.noise((self.entries, n), like=running)
        for (inward, outward, bias), each in zip(weights, noise, strict=True):
            torch.addmm(bias, activate(running, out=hidden), outward, out=parameters)
            draws.append(self.law.draw(parameters, each))
            running.addmm_(self._encoded(draws[-1]), inward)
        return torch.stack(draws, 1)[:, self.positions].reshape(n, *self.event_shape)

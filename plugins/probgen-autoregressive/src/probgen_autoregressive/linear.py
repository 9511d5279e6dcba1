"""Fully visible belief nets: each entry depends linearly on those before it."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen.supports import support_name
from probgen_autoregressive.base import EntryByEntry, positions_of
from probgen_autoregressive.incremental import draw_entry_by_entry
from probgen_autoregressive.masked import MaskedNetwork

__all__ = ["FVBN"]

_LOG_SCALE = 1
"""Which of a Gaussian's two parameters is its log-scale."""


class FVBN(EntryByEntry):
    r"""Fully visible belief net: logistic, softmax or Gaussian regression of each entry on those before it.

    $$x_{o_d} \sim p\Big(\,\cdot \;\Big|\; b_d + \sum_{j < d} A_{dj} x_{o_j} + C_d k\Big)$$

    with the context $k$. A Gaussian's mean is linear in the entries before it and its scale depends on the context alone, so
    that without one the family is that of all multivariate normal distributions. The log-likelihood of binary and
    categorical data is concave in the weights: there are no bad local optima.

    Args:
        event_shape: Shape of an event; it is flattened.
        context_shape: Shape of a context; None when not conditional.
        support: Binary, categorical or real.
        order: `"natural"`, or `"random"`.
        order_seed: Of the random order.

    Shapes:
        log_prob: `(..., *event_shape), (..., *context_shape) -> (...)`.
        log_prob_terms: likewise, `(..., D)`.

    Raises:
        ConfigurationError: the order is unknown.
        CapabilityError: the support is none of the three.

    Example:
        >>> import torch
        >>> from torch.distributions import constraints
        >>> net = FVBN(event_shape=(4,), context_shape=None, support=constraints.boolean)
        >>> net.log_prob_terms(torch.zeros(2, 4)).exp().tolist()
        [[0.5, 0.5, 0.5, 0.5], [0.5, 0.5, 0.5, 0.5]]

    References:
        Frey (1998), Graphical Models for Machine Learning and Digital Communication. Neal (1992), "Connectionist learning of
        belief networks".
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        order: str = "natural",
        order_seed: int = 0,
    ) -> None:
        super().__init__(event_shape=event_shape, context_shape=context_shape, support=support, components=1)
        self.network = MaskedNetwork(
            positions_of(order, self.entries, seed=order_seed, owner="FVBN")[None],
            features=self.law.features,
            parameters=self.law.parameters,
            context_size=self.context_size,
            blind=(_LOG_SCALE,) if support_name(support) == "real" else (),
        )
        nn.init.zeros_(self.network.layers[0].get_parameter("weight"))  # a regression starts at the marginals

    @property
    def order(self) -> Tensor:
        """The entries in the order in which they are drawn."""
        return self.network.positions[0].argsort()

    @property
    def output_bias(self) -> Tensor:
        """The bias of each entry's parameters, `(D, P)`."""
        return self.network.output_bias.view(self.entries, -1)

    def _parameters_of(self, features: Tensor, context: Tensor | None) -> Tensor:
        return self.network(features, context)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        draws = draw_entry_by_entry(self.network, self.law, n, self._vectors(context))
        return draws.reshape(n, *self.event_shape)

"""The inverse autoregressive flow."""

from __future__ import annotations

from typing import final

from torch import Tensor

from probgen_flows.autoregressive_flow import AutoregressiveFlow
from probgen_flows.flow import LogDeterminant

__all__ = ["IAF"]


@final
class IAF(AutoregressiveFlow):
    r"""Inverse autoregressive flow: each number of an event is affine in its own noise, given the noise before it.

    $$x_d = (z_d - m_d(z_{<d}, c))\, e^{-a_d(z_{<d}, c)}, \qquad
      \log p(x \mid c) = \log \mathcal{N}(z; 0, I) + \sum_d a_d(z_{<d}, c)$$

    for one layer; further ones take the numbers in turns from first to last and from last to first.

    Use it when drawing must be fast: `sample`, `rsample` and `rsample_and_log_prob` take one pass, as a posterior in
    variational inference wants. Scoring an event of somebody else's solves for its noise by a fixed-point iteration, exact
    to the last bit, in at most $D$ passes and usually far fewer; all $D$ where gradients are wanted. `MAF` is the reverse:
    with the same weights, one's `transform` is the other's `inverse` (in the units of the model).

    Args:
        event_shape: Shape of an event.
        context_shape: Shape of a context, which joins the input of every network and moves its outputs; None when not
            conditional.
        support: The reals.
        transforms: Number of layers.
        hidden: Width of each hidden layer of a layer's network.
        activation: Name of the activation: `tanh`, `relu`, `gelu`, …

    Shapes:
        rsample_and_log_prob: `sample_shape, (*batch, *context_shape) -> (..., *event_shape), (...)`.

    Raises:
        SupportError: the support is not the reals.
        ConfigurationError: a size is below 1, or the activation is unknown.

    Example:
        >>> draws, scores = IAF(event_shape=(3,)).rsample_and_log_prob((5,))
        >>> draws.shape, scores.shape
        (torch.Size([5, 3]), torch.Size([5]))

    References:
        Kingma et al. (2016), arXiv:1606.04934.
    """

    def _to_noise(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        return self.layers.inverse(x, context)

    def _to_events(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        return self.layers(z, context)

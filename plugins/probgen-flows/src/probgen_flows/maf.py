"""The masked autoregressive flow."""

from __future__ import annotations

from typing import final

from torch import Tensor

from probgen_flows.autoregressive_flow import AutoregressiveFlow
from probgen_flows.flow import LogDeterminant

__all__ = ["MAF"]


@final
class MAF(AutoregressiveFlow):
    r"""Masked autoregressive flow: each number of an event is affine in noise given the ones before it.

    $$z_d = (x_d - m_d(x_{<d}, c))\, e^{-a_d(x_{<d}, c)}, \qquad
      \log p(x \mid c) = \log \mathcal{N}(z; 0, I) - \sum_d a_d(x_{<d}, c)$$

    for one layer; further ones take the numbers in turns from first to last and from last to first.

    Use it when scoring must be fast: one pass. Sampling solves for the event by a fixed-point iteration, exact to the last
    bit, in at most $D$ passes and usually far fewer; `rsample` takes all $D$, and remembers them for gradients. `IAF` is the
    reverse.

    Args:
        event_shape: Shape of an event.
        context_shape: Shape of a context, which joins the input of every network and moves its outputs; None when not
            conditional.
        support: The reals.
        transforms: Number of layers.
        hidden: Width of each hidden layer of a layer's network.
        activation: Name of the activation: `tanh`, `relu`, `gelu`, …

    Shapes:
        log_prob: `(..., *event_shape), (..., *context_shape) -> (...)`.

    Raises:
        SupportError: the support is not the reals.
        ConfigurationError: a size is below 1, or the activation is unknown.

    Example:
        >>> import torch
        >>> flow = MAF(event_shape=(3,))
        >>> flow.log_prob(torch.zeros(5, 3)).shape, flow.sample((4,)).shape
        (torch.Size([5]), torch.Size([4, 3]))

    References:
        Papamakarios, Pavlakou & Murray (2017), arXiv:1705.07057.
    """

    def _to_noise(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        return self.layers(x, context)

    def _to_events(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        return self.layers.inverse(z, context)

"""The real-valued non-volume-preserving flow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen import ShapeError
from probgen.nn import MLP
from probgen_flows.affine import affine, affine_inverse, quieten, shift_and_log_scale, total
from probgen_flows.flow import Flow, LogDeterminant

__all__ = ["RealNVP"]


@final
class RealNVP(Flow):
    r"""Real NVP: each layer shifts and scales one half of an event by what the other half says.

    $$z_A = x_A, \qquad z_B = (x_B - m(x_A, c))\, e^{-a(x_A, c)}, \qquad
      \log\left|\det \partial z / \partial x\right| = -\sum_{d \in B} a_d(x_A, c)$$

    The halves are the numbers at even and at odd places, and change their roles from layer to layer. Use it when both
    scoring and drawing must be fast: each takes one pass.

    Args:
        event_shape: Shape of an event of at least two numbers.
        context_shape: Shape of a context, which joins the input of every network; None when not conditional.
        support: The reals.
        transforms: Number of layers; two change every number once.
        hidden: Width of each hidden layer of a layer's network.
        activation: Name of the activation: `tanh`, `relu`, `gelu`, …

    Shapes:
        log_prob: `(..., *event_shape), (..., *context_shape) -> (...)`.

    Raises:
        ShapeError: an event has fewer than two numbers.
        SupportError: the support is not the reals.
        ConfigurationError: a size is below 1, or the activation is unknown.

    Example:
        >>> flow = RealNVP(event_shape=(1, 4, 4), context_shape=(10,))
        >>> flow.sample((5,), torch.eye(10)).shape
        torch.Size([5, 10, 1, 4, 4])

    References:
        Dinh, Sohl-Dickstein & Bengio (2017), arXiv:1605.08803.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None = None,
        support: Constraint = constraints.real,
        transforms: int = 8,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
    ) -> None:
        super().__init__(
            event_shape=event_shape, context_shape=context_shape, support=support, transforms=transforms, hidden=hidden
        )
        if self.features < 2:
            raise ShapeError(
                f"RealNVP: expected events of at least two numbers; got shape {tuple(self.event_shape)}. Use flows/maf."
            )
        sizes = ((self.features + 1) // 2, self.features // 2)
        self.conditioners = nn.ModuleList()
        for index in range(transforms):
            given, moved = sizes[index % 2], sizes[1 - index % 2]
            network = MLP((given + self.context_features, *hidden, 2 * moved), activation=activation)
            quieten(network[-1])  # pyright: ignore[reportArgumentType]  # an MLP ends with a linear layer
            self.conditioners.append(network)

    def _to_noise(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        even, odd = x[:, 0::2], x[:, 1::2]
        log_scales: list[Tensor] = []
        for index, network in enumerate(self.conditioners):
            given, moved = (even, odd) if index % 2 == 0 else (odd, even)
            shift, log_scale = _parameters(network, given, context)
            moved = affine(moved, shift, log_scale)
            even, odd = (given, moved) if index % 2 == 0 else (moved, given)
            log_scales.append(log_scale)
        return _interleaved(even, odd), lambda: -total(log_scales)

    def _to_events(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, LogDeterminant]:
        even, odd = z[:, 0::2], z[:, 1::2]
        log_scales: list[Tensor] = []
        for index, network in reversed(list(enumerate(self.conditioners))):
            given, moved = (even, odd) if index % 2 == 0 else (odd, even)
            shift, log_scale = _parameters(network, given, context)
            moved = affine_inverse(moved, shift, log_scale)
            even, odd = (given, moved) if index % 2 == 0 else (moved, given)
            log_scales.append(log_scale)
        return _interleaved(even, odd), lambda: total(log_scales)


def _parameters(network: nn.Module, given: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    return shift_and_log_scale(network(given if context is None else torch.cat([given, context], 1)))


def _interleaved(even: Tensor, odd: Tensor) -> Tensor:
    """Return the numbers at even and at odd places in one row, `(N, E), (N, O) -> (N, E + O)`."""
    if even.shape == odd.shape:
        return torch.stack([even, odd], 2).flatten(1)
    return torch.cat([torch.stack([even[:, :-1], odd], 2).flatten(1), even[:, -1:]], 1)

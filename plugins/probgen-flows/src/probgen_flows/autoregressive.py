"""Masked affine layers and their inversion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from probgen_flows.affine import affine, affine_inverse, total
from probgen_flows.flow import LogDeterminant
from probgen_flows.masked import MaskedConditioner

__all__ = ["AutoregressiveLayer", "AutoregressiveLayers", "invert"]


class AutoregressiveLayer(nn.Module):
    r"""Each feature is shifted and scaled by what the features before it say.

    $$z_d = (x_d - m_d(x_{<d}, c))\, e^{-a_d(x_{<d}, c)}$$

    `forward` takes one pass of the network, `inverse` as many as a fixed-point iteration needs.

    Args:
        features: Number $D$ of features.
        context_features: Number $C$ of entries of a context; 0 for none.
        hidden: Width of each hidden layer.
        activation: Name of the activation.
        reverse: Whether the last feature comes first.
    """

    def __init__(
        self, features: int, *, context_features: int, hidden: Sequence[int], activation: str, reverse: bool
    ) -> None:
        super().__init__()
        self.conditioner = MaskedConditioner(
            features, context_features=context_features, hidden=hidden, activation=activation, reverse=reverse
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Return $z$ and $a(x, c)$, minus the sum of which is $\log|\det|$: `(N, D), (N, C) -> (N, D), (N, D)`."""
        shift, log_scale = self.conditioner.at(context)(x)
        return affine(x, shift, log_scale), log_scale

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Return $x$ and $a(x, c)$, the sum of which is $\log|\det|$: `(N, D), (N, C) -> (N, D), (N, D)`."""
        return invert(self.conditioner.at(context), z)


class AutoregressiveLayers(nn.ModuleList):
    """Layers that take the features in turns from first to last and from last to first.

    Reversing the masks rather than the features moves no data.

    Args:
        transforms: Number of layers.
        features: Number $D$ of features.
        context_features: Number $C$ of entries of a context; 0 for none.
        hidden: Width of each hidden layer.
        activation: Name of the activation.
    """

    def __init__(
        self, transforms: int, features: int, *, context_features: int, hidden: Sequence[int], activation: str
    ) -> None:
        sizes = {"context_features": context_features, "hidden": hidden, "activation": activation}
        super().__init__(AutoregressiveLayer(features, **sizes, reverse=index % 2 == 1) for index in range(transforms))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, LogDeterminant]:
        r"""Return $z$ and what computes $\log|\det \partial z / \partial x|$, a pass of each network."""
        log_scales: list[Tensor] = []
        for layer in self:
            x, log_scale = layer(x, context)
            log_scales.append(log_scale)
        return x, lambda: -total(log_scales)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, LogDeterminant]:
        r"""Return $x$ and what computes $\log|\det \partial x / \partial z|$, a fixed-point iteration of each network."""
        log_scales: list[Tensor] = []
        for layer in reversed(cast("Sequence[AutoregressiveLayer]", self)):
            z, log_scale = layer.inverse(z, context)
            log_scales.append(log_scale)
        return z, lambda: total(log_scales)


def invert(parameters: Callable[[Tensor], tuple[Tensor, Tensor]], z: Tensor) -> tuple[Tensor, Tensor]:
    r"""Solve $x = m(x) + z\, e^{a(x)}$, where the parameters of each feature depend on those before it alone.

    Iterating the right-hand side settles the features one after the other, so $D$ iterations from anywhere are exact. Most
    features hardly depend on most others, and then far fewer suffice: once an iterate equals the one before, bit for bit,
    so will all that follow.

    Without gradients the iteration stops there. With them nothing may depend on a tensor's value, so there are $D$
    iterations; their derivatives, of any order, settle as their values do, and are those of the solution.

    Args:
        parameters: Gives $m(x)$ and $a(x)$, `(N, D) -> (N, D), (N, D)`.
        z: The noise, `(N, D)`.

    Returns:
        $x$ and $a(x)$, each `(N, D)`.
    """
    # Features that are not settled yet may be anything; they must stay finite, for a masked weight times inf is NaN.
    bound = torch.finfo(z.dtype).max ** 0.5
    x, log_scale = z, z
    for _ in range(z.shape[1]):
        shift, log_scale = parameters(x)
        previous, x = x, affine_inverse(z, shift, log_scale).clamp(-bound, bound)
        if not torch.is_grad_enabled() and torch.equal(x, previous):
            break
    return x, log_scale  # nothing depends on the feature that the last pass settled

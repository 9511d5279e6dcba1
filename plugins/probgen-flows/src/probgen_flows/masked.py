"""Networks whose outputs for one feature see only the features before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import torch
from torch import Tensor, nn

from probgen.nn import Linear, activation_layer, linear
from probgen_flows.affine import quieten, shift_and_log_scale

__all__ = ["MaskedConditioner", "MaskedLinear"]


class MaskedLinear(nn.Linear):
    """A linear layer some of whose weights are zero for good.

    Args:
        mask: True where an output may depend on an input, `(out, in)`.

    Weights start as Glorot's, and biases at zero.
    """

    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        outputs, inputs = mask.shape
        super().__init__(inputs, outputs)
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)  # a function of the sizes alone

    def reset_parameters(self) -> None:
        """Draw the weight and clear the bias."""
        nn.init.xavier_uniform_(self.weight)
        nn.init.zeros_(self.bias)

    def masked_weight(self) -> Tensor:
        """Return the weight with zeros where it is masked."""
        return self.weight * self.mask

    def forward(self, input: Tensor) -> Tensor:
        """Return the affine map of the last axis, `(..., in) -> (..., out)`."""
        return linear(input, self.masked_weight(), self.bias)


class MaskedConditioner(nn.Module):
    r"""A masked network that gives each feature a shift and a log-scale, given the features before it and the context.

    Feature $d$ has degree $d$ in its order, a hidden unit some degree $k$; a unit sees features and units of a degree up to
    its own, and the outputs for $d$ see units of a degree below $d$. Hidden degrees go round 1 to $D - 1$; with a context
    also 0, so that the first feature has units that see the context alone. These are few, so the context also reaches every
    output by a linear shortcut: a posterior whose context is the features of an encoder needs it.

    Args:
        features: Number $D$ of features.
        context_features: Number $C$ of entries of a context; 0 for none.
        hidden: Width of each hidden layer.
        activation: Name of the activation.
        reverse: Whether the last feature comes first.

    Example:
        >>> conditioner = MaskedConditioner(3, context_features=2, hidden=(8,), activation="tanh", reverse=False)
        >>> shift, log_scale = conditioner.at(torch.zeros(5, 2))(torch.zeros(5, 3))
        >>> shift.shape, log_scale.shape
        (torch.Size([5, 3]), torch.Size([5, 3]))

    References:
        Germain et al. (2015), arXiv:1502.03509.
    """

    def __init__(
        self, features: int, *, context_features: int, hidden: Sequence[int], activation: str, reverse: bool
    ) -> None:
        super().__init__()
        order = torch.arange(1, features + 1)
        order = order.flip(0) if reverse else order
        lowest = 0 if context_features or features == 1 else 1
        degrees = [torch.cat([order, torch.zeros(context_features, dtype=order.dtype)])]
        degrees += [torch.arange(width) % max(features - lowest, 1) + lowest for width in hidden]
        masks = [above[:, None] >= below for below, above in pairwise(degrees)]
        masks.append(order.repeat(2)[:, None] > degrees[-1])
        self.features = features
        layers = [MaskedLinear(mask) for mask in masks]
        quieten(layers[-1])
        if not masks[0].any():  # a number without a context: there is nothing to see, and nothing to train there
            layers[0].weight.requires_grad = False
        self.layers = nn.ModuleList(layers)
        self.shortcut = Linear(context_features, 2 * features, bias=False) if context_features else None
        if self.shortcut is not None:
            quieten(self.shortcut)
        self.activation = activation_layer(activation, write_over=True)

    def at(self, context: Tensor | None) -> Callable[[Tensor], tuple[Tensor, Tensor]]:
        """Return the network at a context `(N, C)`, as a function of the features `(N, D)`.

        What does not depend on the features is computed here, once: an inversion calls the function many times.
        """
        layers = cast("Sequence[MaskedLinear]", self.layers)
        weights = [layer.masked_weight() for layer in layers]
        biases: list[Tensor] = [layer.bias for layer in layers]
        if context is not None and self.shortcut is not None:
            biases[0] = linear(context, weights[0][:, self.features :], biases[0])
            weights[0] = weights[0][:, : self.features]
            biases[-1] = biases[-1] + self.shortcut(context)

        def parameters(x: Tensor) -> tuple[Tensor, Tensor]:
            units = _mapped(x, weights[0], biases[0])
            for weight, bias in zip(weights[1:], biases[1:], strict=True):
                units = _mapped(self.activation(units), weight, bias)
            return shift_and_log_scale(units)

        return parameters


def _mapped(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Return the affine map of rows, with one bias `(out,)` for all or one `(N, out)` for each."""
    return linear(x, weight, bias) if bias.ndim == 1 else linear(x, weight) + bias

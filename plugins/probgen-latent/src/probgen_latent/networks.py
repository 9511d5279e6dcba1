"""The two networks of an autoencoder: from events to features, and from codes to the parameters of every entry."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen.nn import MLP, ConvDecoder, ConvEncoder
from probgen.supports import levels, support_name

__all__ = ["DecoderNetwork", "EncoderNetwork"]


class EncoderNetwork(nn.Module):
    r"""Turns an event, with its context, into features.

    Levels of categorical entries are put on $[-1, 1]$ first; other entries go in as they are.

    Args:
        event_shape: Shape of an event; `(channels, height, width)` for convolutions.
        context_size: Number of entries of a context; 0 without one.
        support: The values of an entry.
        hidden: Width of each hidden layer; the last is that of the features.
        architecture: `"mlp"`, or `"conv"` for images.
        activation: Name of the activation.
        dropout: Share of hidden entries dropped in training (MLP only).

    Shapes:
        forward: `(N, *event_shape), (N, *context_shape) -> (N, hidden[-1])`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_size: int,
        support: Constraint,
        hidden: Sequence[int],
        architecture: str,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self._top = levels(support) - 1 if support_name(support) == "categorical" else None
        self._event_size, self._context_size = prod(event_shape), context_size
        self._convolutional = architecture == "conv"
        if self._convolutional:
            self.body = ConvEncoder(event_shape, features=hidden[-1], activation=activation, extra=context_size)
        else:
            sizes = (self._event_size + context_size, *hidden)
            self.body = MLP(sizes, activation=activation, dropout=dropout, activate_last=True)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the features of a flat batch."""
        if self._top is not None:
            x = x.to(torch.get_default_dtype()) if not x.is_floating_point() else x
            x = x * (2.0 / self._top) - 1.0
        extra = None if context is None else context.reshape(len(x), self._context_size).to(x.dtype)
        if self._convolutional:
            return self.body(x, extra)
        flat = x.reshape(len(x), self._event_size)
        return self.body(flat if extra is None else torch.cat([flat, extra], -1))


class DecoderNetwork(nn.Module):
    """Turns a code into an array of parameters for every entry of an event.

    Args:
        features: Width of a code, the context's included.
        output_shape: `(parameters, *event_shape)`; the event is an image for convolutions.
        hidden: Width of each hidden layer, the encoder's reversed (MLP only).
        architecture: `"mlp"`, or `"conv"` for images.
        activation: Name of the activation.
        dropout: Share of hidden entries dropped in training (MLP only).

    Shapes:
        forward: `(..., features) -> (..., *output_shape)`.
    """

    def __init__(
        self,
        *,
        features: int,
        output_shape: Sequence[int],
        hidden: Sequence[int],
        architecture: str,
        activation: str,
        dropout: float,
    ) -> None:
        super().__init__()
        self.output_shape = tuple(output_shape)
        self._convolutional = architecture == "conv"
        if self._convolutional:
            parameters, channels, *sizes = output_shape
            self.body = ConvDecoder((parameters * channels, *sizes), features=features, activation=activation)
        else:
            self.body = MLP((features, *hidden, prod(output_shape)), activation=activation, dropout=dropout)

    def forward(self, code: Tensor) -> Tensor:
        """Return the parameters of every entry."""
        return self.body(code).reshape(*code.shape[:-1], *self.output_shape)

    def output_biases(self) -> Tensor:
        """Return the last layer's biases, `(parameters, *event)`; of size 1 along axes on which entries share theirs."""
        biases = list(self.body.modules())[-1].get_parameter("bias")
        return biases.view(*self.output_shape[:2], 1, 1) if self._convolutional else biases.view(self.output_shape)

    def alike(self, x: Tensor) -> Tensor:
        """Return events as examples of what one bias is for: pixels of a channel where they share it, `(N, *event)` else."""
        return x.movedim(-3, -1).flatten(0, -2)[..., None, None] if self._convolutional else x

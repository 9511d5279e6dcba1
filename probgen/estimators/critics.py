"""Critics that adversarial training builds for itself where it is given none."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor, nn

from probgen.nn import MLP, ConvDecoder, ConvEncoder, Linear

__all__ = ["AutoencodingCritic", "Critic"]

_HIDDEN = (128, 128, 128)
_CODE = 32
_SMALLEST_SIDE = 4
"""Of a picture that strided convolutions can still take."""


class Critic(nn.Module):
    """Scores events: a perceptron for vectors, convolutions for images; without batch statistics.

    Args:
        event_shape: Shape of an event; `(channels, height, width)` is taken for an image.
        context_shape: Shape of a context, or None.
        hidden: Width of each hidden layer of a perceptron, which then sees images as well; None for three of 128, and
            convolutions for images.

    Shapes:
        forward: `(N, *event_shape), (N, *context_shape) -> (N,)`.

    Example:
        >>> Critic((1, 28, 28), context_shape=(10,))(torch.zeros(3, 1, 28, 28), torch.zeros(3, 10)).shape
        torch.Size([3])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        context_shape: Sequence[int] | None = None,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.features = _Features(event_shape, context_shape, hidden)
        self.head = Linear(self.features.size, 1)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return a score for each event."""
        return self.head(self.features(x, context)).squeeze(-1)


class AutoencodingCritic(nn.Module):
    """Reconstructs events from short codes, for games in which the critic's error is its score.

    Args:
        event_shape: Shape of an event; `(channels, height, width)` is taken for an image.
        context_shape: Shape of a context, or None.
        hidden: Width of each hidden layer before the code, and from the last to the first behind it; as for `Critic`.

    Shapes:
        forward: `(N, *event_shape), (N, *context_shape) -> (N, *event_shape)`.

    Example:
        >>> AutoencodingCritic((2,))(torch.zeros(3, 2)).shape
        torch.Size([3, 2])
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        *,
        context_shape: Sequence[int] | None = None,
        hidden: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self._event_shape = tuple(event_shape)
        code = min(_CODE, max(1, prod(event_shape) // 2))  # shorter than an event: else it may learn to copy anything
        self.features = _Features(event_shape, context_shape, hidden)
        self.encoder = Linear(self.features.size, code)
        known = code + _size(context_shape)
        self.decoder = (
            ConvDecoder(event_shape, features=known, activation="leaky-relu")
            if self.features.convolutional
            else MLP((known, *reversed(hidden or _HIDDEN), prod(event_shape)), activation="leaky-relu")
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the reconstruction of each event."""
        code = self.encoder(self.features(x, context))
        if context is not None:
            code = torch.cat([code, context.reshape(len(x), -1).to(code.dtype)], 1)
        return self.decoder(code).reshape(len(x), *self._event_shape)


class _Features(nn.Module):
    """What both critics see of an event and its context, `(N, size)`."""

    def __init__(
        self, event_shape: Sequence[int], context_shape: Sequence[int] | None, hidden: Sequence[int] | None
    ) -> None:
        super().__init__()
        extra = _size(context_shape)
        widths = hidden or _HIDDEN
        self.size = widths[-1]
        self.convolutional = hidden is None and _is_image(event_shape)
        if self.convolutional:
            self.body = ConvEncoder(event_shape, features=self.size, activation="leaky-relu", extra=extra)
        else:
            self.body = MLP((prod(event_shape) + extra, *widths), activation="leaky-relu", activate_last=True)
            _spread_biases(self.body)

    def forward(self, x: Tensor, context: Tensor | None) -> Tensor:
        extra = None if context is None else context.reshape(len(x), -1).to(x.dtype)
        if self.convolutional:
            return self.body(x, extra)
        rows = x.reshape(len(x), -1)
        return self.body(rows if extra is None else torch.cat([rows, extra], 1))


@torch.no_grad()
def _spread_biases(network: nn.Module) -> None:
    """Draw biases: without them every kink goes through the origin, and events on a ray from there are not told apart."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear):
            limit = layer.in_features**-0.5
            layer.bias.uniform_(-limit, limit)


def _is_image(event_shape: Sequence[int]) -> bool:
    return len(event_shape) == 3 and min(event_shape[1:]) >= _SMALLEST_SIDE


def _size(context_shape: Sequence[int] | None) -> int:
    return 0 if context_shape is None else prod(context_shape)

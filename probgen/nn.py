"""Network pieces that the families share, and the one place where linear layers are computed.

Networks here act on the last axes and keep whatever stands before them: `(..., in) -> (..., out)`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from probgen.errors import ConfigurationError, ShapeError, suggest

__all__ = ["ACTIVATIONS", "MLP", "ConvDecoder", "ConvEncoder", "Linear", "activation_layer", "linear", "soft_limit"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "elu": nn.ELU,
    "gelu": nn.GELU,
    "leaky-relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
"""Activations by their short names."""

_SMALLEST_IMAGE = 4

_Layer = TypeVar("_Layer", bound=nn.Linear | nn.Conv2d | nn.ConvTranspose2d)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    r"""Return $x W^\top + b$, `(..., in), (out, in), (out,) -> (..., out)`.

    Every linear layer of the families goes through here, so that the kernel is one decision.
    """
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    r"""`nn.Linear` through the dispatch point `linear`, with Glorot's initialisation and a zero bias.

    $$W_{ij} \sim \mathcal{U}(-a, a), \qquad a = \sqrt{6 / (\text{in} + \text{out})}$$

    References:
        Glorot & Bengio (2010), "Understanding the difficulty of training deep feedforward neural networks".
    """

    def reset_parameters(self) -> None:
        """Draw the weight and clear the bias."""
        _glorot(self)

    def forward(self, input: Tensor) -> Tensor:
        """Return the affine map of the last axis, `(..., in) -> (..., out)`."""
        return linear(input, self.weight, self.bias)


class MLP(nn.Sequential):
    """A multilayer perceptron: linear layers with an activation between them, and none after the last.

    Args:
        sizes: Width of the input, of each hidden layer and of the output.
        activation: Name of the activation, one of `ACTIVATIONS`.
        dropout: Share of each hidden layer's entries that are dropped in training.
        activate_last: Whether the output goes through the activation (and dropout) as well, as features do.

    Shapes:
        forward: `(..., sizes[0]) -> (..., sizes[-1])`.

    Raises:
        ConfigurationError: there are fewer than two sizes, or the activation is unknown.

    Example:
        >>> MLP((8, 16, 3))(torch.zeros(2, 5, 8)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self, sizes: Sequence[int], *, activation: str = "tanh", dropout: float = 0.0, activate_last: bool = False
    ) -> None:
        if len(sizes) < 2 or min(sizes) < 1:
            raise ConfigurationError(f"MLP: expected two sizes or more, each at least 1; got {tuple(sizes)}.")
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(sizes)):
            layers.append(Linear(inputs, outputs))
            if activate_last or index < len(sizes) - 2:
                layers.append(activation_layer(activation, write_over=True))
                if dropout:
                    layers.append(nn.Dropout(dropout))
        super().__init__(*layers)


class ConvEncoder(nn.Module):
    """Strided convolutions that turn an image into a vector of features.

    Each layer halves height and width, rounding down.

    Args:
        image_shape: `(channels, height, width)`; height and width at least 4.
        features: Width of the output.
        channels: Output channels of each layer.
        activation: Name of the activation, one of `ACTIVATIONS`.
        extra: Width of a vector that joins the convolutions' output before the last layer; 0 for none.

    Shapes:
        forward: `(..., *image_shape), (..., extra) -> (..., features)`.

    Raises:
        ShapeError: `image_shape` is no image, or too small an image.

    Example:
        >>> ConvEncoder((1, 9, 7), features=16)(torch.zeros(3, 1, 9, 7)).shape
        torch.Size([3, 16])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        *,
        features: int,
        channels: Sequence[int] = (32, 64),
        activation: str = "relu",
        extra: int = 0,
    ) -> None:
        super().__init__()
        inputs, height, width = _image(image_shape, type(self).__name__)
        layers: list[nn.Module] = []
        for outputs in channels:
            layers += [
                _glorot(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)),
                activation_layer(activation, write_over=True),
            ]
            inputs, height, width = outputs, height // 2, width // 2
        self.convolutions = nn.Sequential(*layers)
        self.head = nn.Sequential(
            Linear(inputs * height * width + extra, features), activation_layer(activation, write_over=True)
        )

    def forward(self, image: Tensor, extra: Tensor | None = None) -> Tensor:
        """Return the features of images with any leading dimensions."""
        codes = over_leading(self.convolutions, image, 3).flatten(-3)
        return self.head(codes if extra is None else torch.cat([codes, extra], -1))


class ConvDecoder(nn.Module):
    """Transposed convolutions that turn a vector into an image, the mirror of `ConvEncoder`.

    Args:
        image_shape: `(channels, height, width)` of the output; height and width at least 4.
        features: Width of the input.
        channels: Channels of each layer's input, outermost last: those of the encoder, reversed.
        activation: Name of the activation, one of `ACTIVATIONS`.

    Shapes:
        forward: `(..., features) -> (..., *image_shape)`.

    Raises:
        ShapeError: `image_shape` is no image, or too small an image.

    Example:
        >>> ConvDecoder((1, 9, 7), features=16)(torch.zeros(2, 3, 16)).shape
        torch.Size([2, 3, 1, 9, 7])
    """

    def __init__(
        self,
        image_shape: Sequence[int],
        *,
        features: int,
        channels: Sequence[int] = (64, 32),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        outputs, height, width = _image(image_shape, type(self).__name__)
        sizes = [(height, width)]
        for _ in channels:
            sizes.append((sizes[-1][0] // 2, sizes[-1][1] // 2))
        self._smallest = (channels[0], *sizes[-1])
        first = Linear(features, channels[0] * sizes[-1][0] * sizes[-1][1])
        self.head = nn.Sequential(first, activation_layer(activation, write_over=True))
        layers: list[nn.Module] = []
        for (inputs, next_channels), (tall, wide) in zip(pairwise((*channels, outputs)), sizes[-2::-1], strict=True):
            # The encoder halves odd sizes downwards; the padding puts the lost row or column back.
            odd = (tall % 2, wide % 2)
            layers.append(_glorot(nn.ConvTranspose2d(inputs, next_channels, 4, stride=2, padding=1, output_padding=odd)))
            layers.append(activation_layer(activation, write_over=True))
        self.convolutions = nn.Sequential(*layers[:-1])

    def forward(self, code: Tensor) -> Tensor:
        """Return the images of codes with any leading dimensions."""
        return over_leading(self.convolutions, self.head(code).unflatten(-1, self._smallest), 3)


def over_leading(network: Callable[[Tensor], Tensor], x: Tensor, event_dims: int) -> Tensor:
    """Apply a network that takes one batch dimension to `x` with any number of them before its last `event_dims` axes."""
    lead = x.shape[: x.ndim - event_dims]
    if len(lead) == 1:
        return network(x)
    result = network(x.reshape(-1, *x.shape[len(lead) :]))
    return result.reshape(*lead, *result.shape[1:])


def activation_layer(name: str, *, write_over: bool = False) -> nn.Module:
    """Return the activation called `name`.

    Args:
        name: One of `ACTIVATIONS`.
        write_over: Whether it may write over what it is given where no gradient is recorded: after layers whose results
            nothing else looks at.

    Raises:
        ConfigurationError: there is none of this name.
    """
    if name not in ACTIVATIONS:
        raise ConfigurationError(
            f"activation_layer: expected an activation's name; got {name!r}. {suggest(name, ACTIVATIONS)}"
        )
    return (_WRITING_OVER.get(name, ACTIVATIONS[name]) if write_over else ACTIVATIONS[name])()


class _ELU(nn.ELU):
    def forward(self, input: Tensor) -> Tensor:
        return F.elu(input, self.alpha, inplace=not torch.is_grad_enabled())


class _LeakyReLU(nn.LeakyReLU):
    def forward(self, input: Tensor) -> Tensor:
        return F.leaky_relu(input, self.negative_slope, inplace=not torch.is_grad_enabled())


class _ReLU(nn.ReLU):
    def forward(self, input: Tensor) -> Tensor:
        return F.relu(input, inplace=not torch.is_grad_enabled())


_WRITING_OVER: dict[str, type[nn.Module]] = {"elu": _ELU, "leaky-relu": _LeakyReLU, "relu": _ReLU}
"""Activations that write over what they are given where no gradient is recorded."""


def soft_limit(x: Tensor, limit: float) -> Tensor:
    r"""Return $x$ bent smoothly into $(-\ell, \ell)$, $\ell \tanh(x / \ell)$: close to $x$ where it is small.

    Log-scales pass through it, so that no variance collapses or explodes and the gradient never vanishes altogether.
    """
    return limit * (x / limit).tanh_()


def _image(shape: Sequence[int], where: str) -> tuple[int, int, int]:
    if len(shape) != 3 or min(shape[1:]) < _SMALLEST_IMAGE or shape[0] < 1:
        raise ShapeError(
            f"{where}: expected an image shape (channels, height, width) of sides of at least {_SMALLEST_IMAGE}; got "
            f"{tuple(shape)}. Use architecture='mlp' for other events."
        )
    channels, height, width = shape
    return channels, height, width


def _glorot(layer: _Layer) -> _Layer:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer

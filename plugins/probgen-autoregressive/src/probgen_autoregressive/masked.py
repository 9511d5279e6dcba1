"""Masked networks: which unit may see which entries is a number, its degree, and a mask is a comparison of two."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from probgen.nn import Linear, activation_layer, linear

__all__ = ["MaskedNetwork", "spread_degrees"]


class MaskedNetwork(nn.Module):
    r"""A multilayer perceptron whose outputs for an entry see only the entries at earlier positions.

    Every unit has a *degree*, the number of first entries that it may see. The entry at position $p = 0, 1, \dots$ has
    degree $p + 1$ as an input and $p$ as an output; the context has degree 0; hidden units have any from 0 to $D - 1$. A
    unit is connected to those below of at most its own degree. What no path connects cannot leak.

    Masks follow from the arguments alone, so a network that is made again for saved weights has the masks that they had. A
    single mask is kept; of several, which would take $M$ times the memory of the weights, each is made when it is used.

    Args:
        positions: Position of each entry under each mask, `(M, D)` of int64.
        features: Numbers that an entry is as an input, $F$.
        parameters: Numbers that are returned for an entry, $P$.
        context_size: Numbers in a context, $C$.
        hidden: Width of each hidden layer; none for a linear map.
        activation: Name of the activation between layers.
        dropout: Share of each hidden layer's units that are dropped in training.
        direct: Whether masked weights, zero at the start, also lead from the inputs straight to the outputs.
        seed: Of the degrees of the hidden units where there are several masks.
        blind: Which of an entry's parameters see the context only, as numbers from 0 to $P - 1$.

    Shapes:
        forward: `(N, D, F), (N, C) | None -> (N, D, P)` under one mask.
    """

    positions: Tensor
    unit_degrees: Tensor

    def __init__(
        self,
        positions: Tensor,
        *,
        features: int,
        parameters: int,
        context_size: int,
        hidden: Sequence[int] = (),
        activation: str = "relu",
        dropout: float = 0.0,
        direct: bool = False,
        blind: Sequence[int] = (),
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.num_masks, self.entries = positions.shape
        self.features, self.parameters_per_entry, self.context_size = features, parameters, context_size
        self.blind = tuple(blind)
        self.widths = tuple(hidden)
        inputs = context_size + self.entries * features
        outputs = self.entries * parameters
        self.register_buffer("positions", positions, persistent=False)
        units = self._hidden_degrees(torch.Generator().manual_seed(seed))
        self.register_buffer("unit_degrees", units, persistent=False)
        self.layers = nn.ModuleList(Linear(*sizes) for sizes in pairwise((inputs, *hidden, outputs)))
        self.direct = Linear(inputs, outputs, bias=False) if direct and hidden else None
        if self.direct is not None:
            nn.init.zeros_(self.direct.get_parameter("weight"))
        self.activation = activation_layer(activation, write_over=True)
        self.dropout = nn.Dropout(dropout)
        self._kept = self.num_masks == 1
        for name, mask in enumerate(self._masks_of(0)) if self._kept else ():
            self.register_buffer(f"mask_{name}", mask, persistent=False)

    @property
    def output_bias(self) -> nn.Parameter:
        """The biases of all outputs, `(D P,)`, those of an entry side by side."""
        return self.layers[-1].get_parameter("bias")

    def degrees(self, mask: int | Tensor) -> list[Tensor]:
        """Return the degrees of the inputs, of each hidden layer and of the outputs under a mask."""
        positions = _row(self.positions, mask)
        entering = (positions + 1).repeat_interleave(self.features)
        outputs = positions.repeat_interleave(self.parameters_per_entry).reshape(self.entries, -1)
        if self.blind:
            outputs[:, list(self.blind)] = 0
        units = _row(self.unit_degrees, mask).split(self.widths)
        return [torch.cat([entering.new_zeros(self.context_size), entering]), *units, outputs.flatten()]

    def forward(self, features: Tensor, context: Tensor | None = None, *, mask: int | Tensor = 0) -> Tensor:
        """Return each entry's parameters under a mask, whose number may be a tensor."""
        weights = self.masked_weights(mask)
        inputs = features.flatten(1) if context is None else torch.cat([context, features.flatten(1)], 1)
        hidden = inputs
        for index, (layer, weight) in enumerate(zip(self.layers, weights, strict=False)):
            if index:
                hidden = self.dropout(self.activation(hidden))
            hidden = linear(hidden, weight, layer.get_parameter("bias"))
        if self.direct is not None:
            hidden = hidden + linear(inputs, weights[-1])
        return hidden.reshape(len(features), self.entries, self.parameters_per_entry)

    def masked_weights(self, mask: int | Tensor) -> list[Tensor]:
        """Return the weights of each layer, then the direct ones, with zeros where a unit may not see one below it."""
        layers = [*self.layers, *([] if self.direct is None else [self.direct])]
        kept = [self.get_buffer(f"mask_{name}") for name in range(len(layers))] if self._kept else self._masks_of(mask)
        return [layer.get_parameter("weight") * each for layer, each in zip(layers, kept, strict=True)]

    def _masks_of(self, mask: int | Tensor) -> list[Tensor]:
        """Return 1 where a unit may see one below it and 0 elsewhere, for each layer and then the direct connections."""
        degrees, dtype = self.degrees(mask), self.output_bias.dtype
        pairs = [*pairwise(degrees), *([] if self.direct is None else [(degrees[0], degrees[-1])])]
        return [(own[:, None] >= below).to(dtype) for below, own in pairs]

    def _hidden_degrees(self, generator: torch.Generator) -> Tensor:
        """Return the degrees of all hidden units under each mask, `(M, H)`: in order under an only one, else shuffled.

        Units of degree 0 see nothing but the context, and those of degree D would be seen by no output.
        """
        highest = self.entries - 1
        lowest = 0 if self.context_size else min(1, highest)
        layers = [torch.empty(self.num_masks, 0, dtype=torch.int64)]
        for width in self.widths:
            even = spread_degrees(width, lowest, highest)
            shuffled = [even[torch.randperm(width, generator=generator)] for _ in range(self.num_masks)]
            layers.append(even[None] if self.num_masks == 1 else torch.stack(shuffled))
        return torch.cat(layers, 1)


def spread_degrees(width: int, lowest: int, highest: int) -> Tensor:
    """Return degrees from lowest to highest, each as often as the others as nearly as can be, in ascending order.

    Example:
        >>> spread_degrees(5, 1, 3).tolist()
        [1, 1, 2, 2, 3]
    """
    count = highest - lowest + 1
    return lowest + torch.arange(width) * count // width


def _row(table: Tensor, number: int | Tensor) -> Tensor:
    """Return a row of a table; where a tensor holds its number, without reading that, so that a graph can do it."""
    return table.index_select(0, number.reshape(1)).squeeze(0) if isinstance(number, Tensor) else table[number]

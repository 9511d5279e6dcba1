"""Drawing from a masked network at the price of one pass: every unit is computed once, as soon as it can be.

A unit of degree $d$ is final when $d$ entries are there. With the units of each layer sorted by degree, those that become
final at a step lie side by side, and so do all that they may see: a step is one small matrix product for each layer, and
all $D$ steps together do the work of one pass through the network, where $D$ passes are the obvious way.

Steps come in blocks. What all earlier blocks give to the units of a block is one large product for each layer, and a step
adds only what is new since its block began, which the processor's cache holds. Values lie as `(units, n)`, so that the units
of a step are one piece of memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from probgen_autoregressive.laws import EntryLaw
from probgen_autoregressive.masked import MaskedNetwork

__all__ = ["draw_entry_by_entry"]

_BLOCK = 16


def draw_entry_by_entry(network: MaskedNetwork, law: EntryLaw, n: int, context: Tensor | None, *, mask: int = 0) -> Tensor:
    """Return draws under one mask: `n, (n, C) | None -> (n, D)`, in the order of the event.

    The result is what `D` calls of the network give, up to rounding.
    """
    ordered = _OrderedNetwork(network, mask)
    values = ordered.start(n, context)
    noise = law.noise((network.entries, n), like=values[0])
    draws: list[Tensor] = []
    for first in range(0, network.entries, _BLOCK):
        steps = range(first, min(first + _BLOCK, network.entries))
        block = _Block(ordered, values, steps)
        for step, position in enumerate(steps):
            draws.append(law.draw_to(block.features(step), block.parameters(step), noise[position]))
    return torch.stack(draws, 1)[:, network.positions[mask]]


class _OrderedNetwork:
    """The weights of a masked network with the units of each layer in ascending order of degree.

    Attributes:
        starts: `starts[l][d]` values of layer `l`, the inputs being layer 0, are known before step `d` begins; those up to
            `starts[l][d + 1]` become known in it.
    """

    def __init__(self, network: MaskedNetwork, mask: int) -> None:
        degrees, weights = network.degrees(mask), network.masked_weights(mask)
        orders = [*(layer.argsort(stable=True) for layer in degrees[:-1]), _outputs_by_position(network, mask)]
        moved = [None if bool((order.diff() == 1).all()) else order for order in orders]
        biases = [layer.get_parameter("bias").unsqueeze(1) for layer in network.layers]
        self.activate = _in_place(network.activation)
        self.weights = [
            _taken(weight, rows, columns) for weight, (columns, rows) in zip(weights, pairwise(moved), strict=False)
        ]
        self.biases = [_taken(bias, rows) for bias, rows in zip(biases, moved[1:], strict=True)]
        self.direct = None if network.direct is None else _taken(weights[-1], moved[-1], moved[0])
        steps = range(network.entries + 1)
        below = torch.arange(-1, network.entries, device=degrees[0].device)
        self.starts = [
            [network.context_size + network.features * step for step in steps],
            *(torch.searchsorted(layer.sort().values, below, right=True).tolist() for layer in degrees[1:-1]),
            [network.parameters_per_entry * step for step in steps],
        ]

    def start(self, n: int, context: Tensor | None) -> list[Tensor]:
        """Return room for the values of the inputs and of each hidden layer, `(units, n)`, the context filled in.

        The room is cleared: products may run over units that are not known yet, whose weights are zero. What stands there
        has to be finite.
        """
        values = [self.biases[0].new_zeros(weight.shape[1], n) for weight in self.weights]
        if context is not None:
            values[0][: context.shape[1]] = context.t()
        return values


class _Block:
    """Consecutive steps: what everything older than the block gives to its units, and views of what each step adds."""

    def __init__(self, ordered: _OrderedNetwork, values: list[Tensor], steps: range) -> None:
        self._activate = ordered.activate
        spans = [slice(layer[steps.start], layer[steps.stop]) for layer in ordered.starts]
        self._sizes = [[layer[step + 1] - layer[step] for step in steps] for layer in ordered.starts]
        self._fresh = [layer[span] for layer, span in zip(values, spans, strict=False)]
        self._inputs = self._fresh[0].split(self._sizes[0])
        self._sums: list[Sequence[Tensor]] = []
        self._weights: list[Sequence[Tensor]] = []
        for index, (weight, bias) in enumerate(zip(ordered.weights, ordered.biases, strict=True)):
            rows, old = spans[index + 1], spans[index].start
            room = self._fresh[index + 1] if index + 1 < len(values) else None  # sums lie where their units will
            sums = torch.addmm(bias[rows], weight[rows, :old], values[index][:old], out=room)
            if ordered.direct is not None and index == len(ordered.weights) - 1:
                sums.addmm_(ordered.direct[rows, : spans[0].start], values[0][: spans[0].start])
            self._sums.append(sums.split(self._sizes[index + 1]))
            self._weights.append(weight[rows, spans[index]].split(self._sizes[index + 1]))
        direct = None if ordered.direct is None else ordered.direct[spans[-1], spans[0]]
        self._direct = () if direct is None else direct.split(self._sizes[-1])

    def parameters(self, step: int) -> Tensor:
        """Compute the units that become known at a step of the block, and return the parameters of its entry, `(n, P)`."""
        for layer, (weights, sums) in enumerate(zip(self._weights[:-1], self._sums[:-1], strict=True)):
            if self._sizes[layer + 1][step]:
                self._activate(sums[step].addmm_(weights[step], self._fresh[layer]))
        result = self._sums[-1][step].addmm_(self._weights[-1][step], self._fresh[-1])
        if self._direct:
            result.addmm_(self._direct[step], self._fresh[0])
        return result.t()

    def features(self, step: int) -> Tensor:
        """Return where to write the features of the entry of a step, `(F, n)`."""
        return self._inputs[step]


def _in_place(activation: nn.Module) -> Callable[[Tensor], object]:
    """Return what replaces numbers by their activations."""
    for kind, function in ((nn.Tanh, torch.tanh_), (nn.ReLU, torch.relu_)):
        if isinstance(activation, kind):
            return function
    return lambda x: x.copy_(activation(x))


def _taken(matrix: Tensor, rows: Tensor | None, columns: Tensor | None = None) -> Tensor:
    """Return the given rows and columns in their order, or all as they are where None."""
    matrix = matrix if rows is None else matrix[rows]
    return matrix if columns is None else matrix[:, columns]


def _outputs_by_position(network: MaskedNetwork, mask: int) -> Tensor:
    """Return the outputs, those of the entry at the first position first."""
    width = network.parameters_per_entry
    first = network.positions[mask].argsort() * width
    return (first[:, None] + torch.arange(width, device=first.device)).flatten()

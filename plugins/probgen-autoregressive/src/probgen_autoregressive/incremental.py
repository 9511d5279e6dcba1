"""Drawing from a masked network at the price of one pass: every unit is computed once, as soon as it can be.

A unit of degree $d$ is final when $d$ entries are there. With the units of each layer sorted by degree, those that become
final at a step lie side by side, and so do all that they may see: a step is one small matrix product for each layer, and
all $D$ steps together do the work of one pass through the network, where $D$ passes are the obvious way.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor

from probgen_autoregressive.laws import EntryLaw
from probgen_autoregressive.masked import MaskedNetwork

__all__ = ["draw_entry_by_entry"]


def draw_entry_by_entry(network: MaskedNetwork, law: EntryLaw, n: int, context: Tensor | None, *, mask: int = 0) -> Tensor:
    """Return draws under one mask: `n, (n, C) | None -> (n, D)`, in the order of the event.

    The result is what `D` calls of the network give, up to rounding.
    """
    pass_ = _SortedPass(network, mask)
    values = pass_.start(n, context)
    draws = values[0].new_empty(n, network.entries)
    for position, entry in enumerate(network.positions[mask].argsort().tolist()):
        drawn = law.draw(pass_.parameters(values, position))
        draws[:, entry] = drawn
        pass_.enter(values, position, law.encode(drawn, draws.dtype))
    return draws


class _SortedPass:
    """The weights of a masked network with the units of each layer in ascending order of degree."""

    def __init__(self, network: MaskedNetwork, mask: int) -> None:
        self._network = network
        degrees, weights = network.degrees(mask), network.masked_weights(mask)
        by_degree = [layer.argsort(stable=True) for layer in degrees[:-1]]
        by_degree.append(_outputs_by_position(network, mask))
        self._weights = [
            weight[rows][:, columns] for weight, (columns, rows) in zip(weights, pairwise(by_degree), strict=False)
        ]
        self._biases = [layer.get_parameter("bias")[rows] for layer, rows in zip(network.layers, by_degree[1:], strict=True)]
        self._direct = None if network.direct is None else weights[-1][by_degree[-1]][:, by_degree[0]]
        steps = torch.arange(network.entries, device=degrees[0].device)
        # _known[l][d]: how many units of layer l have degree d or less, and can be computed before entry d is drawn.
        self._known = [torch.searchsorted(layer.sort().values, steps, right=True).tolist() for layer in degrees[:-1]]

    def start(self, n: int, context: Tensor | None) -> list[Tensor]:
        """Return room for the values of the inputs and of each hidden layer, the context filled in."""
        values = [self._biases[0].new_zeros(n, weight.shape[1]) for weight in self._weights]
        if context is not None:
            values[0][:, : context.shape[1]] = context
        return values

    def parameters(self, values: list[Tensor], position: int) -> Tensor:
        """Compute the units that `position` entries make final, and return the parameters of the next, `(n, P)`."""
        for layer in range(1, len(values)):
            known = self._known[layer]
            rows = slice(known[position - 1] if position else 0, known[position])
            if rows.start < rows.stop:
                values[layer][:, rows] = self._network.activation(self._product(values, layer - 1, rows, position))
        width = self._network.parameters_per_entry
        rows = slice(position * width, (position + 1) * width)
        result = self._product(values, len(values) - 1, rows, position)
        if self._direct is not None:
            known = self._known[0][position]
            result = result.addmm(values[0][:, :known], self._direct[rows, :known].t())
        return result

    def enter(self, values: list[Tensor], position: int, features: Tensor) -> None:
        """Write the features of the entry at `position`, `(n, F)`, to the inputs."""
        width = self._network.features
        first = self._network.context_size + position * width
        values[0][:, first : first + width] = features

    def _product(self, values: list[Tensor], layer: int, rows: slice, position: int) -> Tensor:
        known = self._known[layer][position]
        return torch.addmm(self._biases[layer][rows], values[layer][:, :known], self._weights[layer][rows, :known].t())


def _outputs_by_position(network: MaskedNetwork, mask: int) -> Tensor:
    """Return the outputs, those of the entry at the first position first."""
    width = network.parameters_per_entry
    first = network.positions[mask].argsort() * width
    return (first[:, None] + torch.arange(width, device=first.device)).flatten()

r"""The running hidden state: every conditional of a NADE in time $O(D H)$, forward and backward, without a graph.

Entries add their part to one accumulated state, and each output reads the state before its own entry joins:

$$a_1 = s, \qquad h_d = g(a_d), \qquad \theta_d = V_d h_d, \qquad a_{d+1} = a_d + W_d^\top f_d.$$

The gradient runs the loop the other way, with $\bar a_d$ accumulated from the last entry on:

$$\bar a_d = \bar a_{d+1} + V_d^\top \bar\theta_d \odot g'(a_d), \qquad
  \bar V_d = \bar\theta_d h_d^\top, \qquad \bar W_d = f_d \bar a_{d+1}^\top, \qquad \bar f_d = W_d \bar a_{d+1}.$$

Both loops take several entries at once. Within such a block the states differ from the one at its start by what the block's
own entries add, one product of matrices with the features below a diagonal; the gradient of the block's weights is the
transposed product. So a block is a handful of operations on arrays that stay in the processor's cache, made once. The
forward loop keeps the hidden units for the backward loop where they are few; where they would be many it keeps one state in
sixteen, and the backward loop computes the hidden units again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["RUNNING_ACTIVATIONS", "Activation", "running_outputs"]

_aten = torch.ops.aten
_KEPT = 16
"""Entries from one kept state to the next."""
_IN_CACHE = 2**20
"""Numbers that a block's states may be."""
_FEW = 2**24
"""Hidden units of all entries and examples that may be kept: more are computed again on the way back."""


class Activation(NamedTuple):
    """An activation that writes where it is told."""

    value: Callable[..., Tensor]
    """$g(a)$, of `(a, out=…)`; `out` may be left out."""
    pull: Callable[..., Tensor]
    r"""$\bar h \odot g'(a)$, written over $\bar h$, of `(\bar h, h)` with $h = g(a)$."""


def _relu(a: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.clamp_min(a, 0.0, out=out)


def _pull_relu(gradient: Tensor, h: Tensor) -> Tensor:
    return _aten.threshold_backward.grad_input(gradient, h, 0.0, grad_input=gradient)


def _pull_sigmoid(gradient: Tensor, h: Tensor) -> Tensor:
    return _aten.sigmoid_backward.grad_input(gradient, h, grad_input=gradient)


def _pull_tanh(gradient: Tensor, h: Tensor) -> Tensor:
    return _aten.tanh_backward.grad_input(gradient, h, grad_input=gradient)


RUNNING_ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(_relu, _pull_relu),
    "sigmoid": Activation(torch.sigmoid, _pull_sigmoid),
    "tanh": Activation(torch.tanh, _pull_tanh),
}
"""Activations by name."""


def running_outputs(features: Tensor, inward: Tensor, outward: Tensor, start: Tensor, *, activation: str) -> Tensor:
    r"""Return $\theta_{nd} = V_d\, g\big(s_n + \sum_{j < d} W_j^\top f_{nj}\big)$.

    Args:
        features: What each entry is to the network, $f$, `(N, D, F)`.
        inward: Weights from the entries to the hidden units, $W$, `(D, F, H)`.
        outward: Weights from the hidden units to the parameters of each entry, $V$, `(D, P, H)`.
        start: Pre-activations before the first entry, $s$, `(N, H)`.
        activation: Name of $g$, one of `RUNNING_ACTIVATIONS`.

    Shapes:
        returns: `(N, D, P)`. Second derivatives take the memory of all $N D H$ states, gradients that of $2^{24}$ at most,
            or of a sixteenth where that is more.
    """
    with torch.autocast(features.device.type, enabled=False):  # sums of many terms need the full type
        room = _FEW if torch.is_grad_enabled() else 0
        return _RunningOutputs.apply(features, inward, outward, start.to(inward.dtype), activation, room)


class _RunningOutputs(torch.autograd.Function):
    """`running_outputs`, with its gradient in closed form."""

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, inward: Tensor, outward: Tensor, start: Tensor, activation: str, room: int
    ) -> Tensor:
        entries = len(inward)
        keeps_units = entries * start.numel() <= room
        loop = _Loop(features, inward, start, RUNNING_ACTIVATIONS[activation])
        result = start.new_empty(entries, outward.shape[1], len(start))
        kept = start.new_empty(entries if keeps_units else -(-entries // _KEPT), *start.shape)
        running = start.clone(memory_format=torch.contiguous_format)
        for block in loop.blocks(0, entries):
            if not keeps_units and block.start % _KEPT == 0:
                kept[block.start // _KEPT].copy_(running)
            hidden = loop.hidden(block, running, out=kept[block] if keeps_units else None)
            torch.bmm(outward[block], hidden.mT, out=result[block])
            loop.advance(block, running)
        ctx.save_for_backward(features, inward, outward, start, kept)
        ctx.activation, ctx.keeps_units = activation, keeps_units
        return result.permute(2, 0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *given, kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is itself to be differentiated
            return *_by_autograd(given, gradients[0], ctx.needs_input_grad, ctx.activation), None, None
        features, inward, outward, start = given
        loop = _Loop(features, inward, start, RUNNING_ACTIVATIONS[ctx.activation])
        arriving = gradients[0].transpose(0, 1).contiguous()
        to_inward, to_outward = torch.empty_like(inward), torch.empty_like(outward)
        to_features = torch.empty_like(features) if ctx.needs_input_grad[0] else None
        later = torch.zeros_like(kept[0])  # gradient of the state after the block's last entry has joined
        for block, hidden in loop.kept_units(kept) if ctx.keeps_units else loop.units_from(kept):
            above = arriving[block]
            torch.bmm(above.mT, hidden, out=to_outward[block])
            pulled = loop.pulled(hidden, above, outward[block])
            if to_features is not None:
                to_features[:, block] = loop.to_features(block, pulled, later)
            loop.to_inward(block, pulled, later, out=to_inward[block])
            loop.leave(pulled, later)
        return to_features, to_inward, to_outward, later, None, None


class _Loop:
    """What both loops do with a block of entries, in arrays that are made once.

    Args:
        features: What each entry is to the network, `(N, D, F)`.
        inward: Weights from the entries to the hidden units, `(D, F, H)`.
        start: Pre-activations before the first entry, `(N, H)`: what is made is like it.
        activation: Of the hidden units.
    """

    def __init__(self, features: Tensor, inward: Tensor, start: Tensor, activation: Activation) -> None:
        (self._examples, self._entries, self._each), units = features.shape, inward.shape[-1]
        self._features, self._inward = features.flatten(1), inward.flatten(0, 1)
        self._activation = activation
        self._size = _block_size(self._entries, self._examples * units, self._each)
        below = start.new_ones(self._size, self._size).tril(-1)
        self._below = below.repeat_interleave(self._each, 1).unsqueeze(1)
        self._ones = start.new_ones(1, self._size)
        self._shape = (self._size, self._examples, units)
        self._start = start

    @functools.cached_property
    def _hidden(self) -> Tensor:
        return self._start.new_empty(self._shape)

    @functools.cached_property
    def _pulled(self) -> Tensor:
        return self._start.new_empty(self._shape)

    def blocks(self, first: int, end: int) -> list[slice]:
        """Return the blocks from one entry to another, in order."""
        return [slice(start, min(start + self._size, end)) for start in range(first, end, self._size)]

    def kept_units(self, kept: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield the blocks, the last one first, each with its hidden units, of those of all entries."""
        for block in reversed(self.blocks(0, self._entries)):
            yield block, kept[block]

    def units_from(self, states: Tensor) -> Iterator[tuple[slice, Tensor]]:
        """Yield the blocks, the last one first, each with its hidden units, computed from every sixteenth state."""
        for first, state in reversed(list(enumerate(states.unbind()))):
            blocks = self.blocks(first * _KEPT, min((first + 1) * _KEPT, self._entries))
            for block, running in reversed(self._states(blocks, state)):
                yield block, self.hidden(block, running)

    def _states(self, blocks: Sequence[slice], state: Tensor) -> list[tuple[slice, Tensor]]:
        """Return blocks with the state at the start of each; `state` is that of the first."""
        found = [(blocks[0], state)]
        for before, block in pairwise(blocks):
            part, into = self._of(before)
            found.append((block, torch.addmm(found[-1][1], part, into)))
        return found

    def advance(self, block: slice, running: Tensor) -> None:
        """Let a block's entries join the state."""
        running.addmm_(*self._of(block))

    def hidden(self, block: slice, running: Tensor, *, out: Tensor | None = None) -> Tensor:
        """Return the hidden units before each entry of a block, `(B, N, H)`, given the state at its start."""
        size = block.stop - block.start
        units = self._hidden[:size] if out is None else out
        if size == 1:
            self._activation.value(running, out=units[0])
            return units
        torch.mm(self._joined(block), self._of(block)[1], out=units.flatten(0, 1))
        return self._activation.value(units.add_(running), out=units)

    def pulled(self, hidden: Tensor, above: Tensor, outward: Tensor) -> Tensor:
        """Return the gradient of the states that the hidden units were computed from, `(B, N, H)`."""
        return self._activation.pull(torch.bmm(above, outward, out=self._pulled[: len(hidden)]), hidden)

    def to_inward(self, block: slice, pulled: Tensor, later: Tensor, *, out: Tensor) -> None:
        """Write the gradient of a block's weights, `(B, F, H)`."""
        gradient = torch.mm(self._of(block)[0].T, later, out=out.flatten(0, 1))
        if len(pulled) > 1:
            gradient.addmm_(self._joined(block).T, pulled.flatten(0, 1))

    def to_features(self, block: slice, pulled: Tensor, later: Tensor) -> Tensor:
        """Return the gradient of a block's features, `(N, B, F)`."""
        _, into = self._of(block)
        later_ones = self._below[: len(pulled), :, : len(into)] * (pulled @ into.T)
        return (later_ones.sum(0) + later @ into.T).unflatten(1, (len(pulled), self._each))

    def leave(self, pulled: Tensor, later: Tensor) -> None:
        """Add what a block pulls to the gradient of the later state: a sum, as the product that is fastest at it."""
        later.view(1, -1).addmm_(self._ones[:, : len(pulled)], pulled.view(len(pulled), -1))

    def _of(self, block: slice) -> tuple[Tensor, Tensor]:
        """Return a block's features, `(N, B F)`, and weights, `(B F, H)`."""
        columns = slice(block.start * self._each, block.stop * self._each)
        return self._features[:, columns], self._inward[columns]

    def _joined(self, block: slice) -> Tensor:
        """Return the block's features that have joined before each of its entries, `(B N, B F)`."""
        part, size = self._of(block)[0], block.stop - block.start
        return (self._below[:size, :, : part.shape[1]] * part).flatten(0, 1)


def _block_size(entries: int, state: int, each: int) -> int:
    """Return how many entries to take at once, a power of two: few where an entry is many features or its state is large.

    Within a block an entry's features meet all of the block's weights, so that the work grows with their number.
    """
    most = min(_KEPT // each, _IN_CACHE // max(state, 1), _KEPT, entries)
    return 1 << max(most, 1).bit_length() - 1


def _by_autograd(
    given: Sequence[Tensor], arriving: Tensor, needed: Sequence[bool], activation: str
) -> tuple[Tensor | None, ...]:
    """Return the gradients of the definition, as functions that autograd can differentiate again."""
    features, inward, outward, start = given
    parts = torch.einsum("ndf,dfh->ndh", features, inward)
    before = start.unsqueeze(1) + parts.cumsum(1) - parts
    outputs = torch.einsum("ndh,dph->ndp", RUNNING_ACTIVATIONS[activation].value(before), outward)
    wanted = [tensor for tensor, need in zip(given, needed, strict=False) if need]
    found = iter(torch.autograd.grad(outputs, wanted, arriving, create_graph=True))
    return tuple(next(found) if need else None for need in needed[: len(given)])

r"""The running hidden state: every conditional of a NADE in time $O(D H)$, forward and backward, without a graph.

Entries add their part to one accumulated state, and each output reads the state before its own entry joins:

$$a_1 = s, \qquad h_d = g(a_d), \qquad \theta_d = V_d h_d, \qquad a_{d+1} = a_d + W_d^\top f_d.$$

The gradient runs the loop the other way, with $\bar a_d$ accumulated from the last entry on:

$$\bar a_d = \bar a_{d+1} + V_d^\top \bar\theta_d \odot g'(a_d), \qquad
  \bar V_d = \bar\theta_d h_d^\top, \qquad \bar W_d = f_d \bar a_{d+1}^\top, \qquad \bar f_d = W_d \bar a_{d+1}.$$

The state of one entry, $N \times H$ numbers, stays in the processor's cache while the loop runs over the entries; autograd
would write a dozen fresh arrays of that size for each, and keep them. So both loops work in a few arrays that are made once,
and the backward one recomputes the states of a block of entries from the state that was kept at its start.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

__all__ = ["RUNNING_ACTIVATIONS", "Activation", "running_outputs"]

_BLOCK = 8


class Activation(NamedTuple):
    """An activation that writes where it is told."""

    value: Callable[..., Tensor]
    """$g(a)$, of `(a, out=…)`; `out` may be left out."""
    slope: Callable[..., Tensor]
    """$g'(a)$ as a function of $h = g(a)$, of `(h, out=…)`."""


def _relu(a: Tensor, out: Tensor | None = None) -> Tensor:
    return torch.clamp_min(a, 0.0, out=out)


def _sigmoid_slope(h: Tensor, out: Tensor) -> Tensor:
    return torch.addcmul(h, h, h, value=-1.0, out=out)


def _tanh_slope(h: Tensor, out: Tensor) -> Tensor:
    return torch.addcmul(h.new_ones(()), h, h, value=-1.0, out=out)


RUNNING_ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(_relu, torch.sign),
    "sigmoid": Activation(torch.sigmoid, _sigmoid_slope),
    "tanh": Activation(torch.tanh, _tanh_slope),
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
        returns: `(N, D, P)`. Second derivatives take the memory of all $N D H$ states.
    """
    with torch.autocast(features.device.type, enabled=False):  # sums of many terms need the full type
        return _RunningOutputs.apply(features, inward, outward, start.to(inward.dtype), activation)


class _RunningOutputs(torch.autograd.Function):
    """`running_outputs`, with its gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, inward: Tensor, outward: Tensor, start: Tensor, activation: str) -> Tensor:
        activate = RUNNING_ACTIVATIONS[activation].value
        by_entry = features.transpose(0, 1).contiguous()
        entries, examples, _ = by_entry.shape
        result = start.new_empty(entries, examples, outward.shape[1])
        kept = start.new_empty(-(-entries // _BLOCK), *start.shape)
        running, hidden = start.clone(), torch.empty_like(start, memory_format=torch.contiguous_format)
        each = zip(by_entry.unbind(), inward.unbind(), outward.transpose(1, 2).unbind(), result.unbind(), strict=True)
        for d, (part, into, out_of, outputs) in enumerate(each):
            if d % _BLOCK == 0:
                kept[d // _BLOCK].copy_(running)
            torch.mm(activate(running, out=hidden), out_of, out=outputs)
            running.addmm_(part, into)
        ctx.save_for_backward(features, inward, outward, start, kept)
        ctx.activation = activation
        return result.transpose(0, 1)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        *given, kept = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient is itself to be differentiated
            return *_by_autograd(given, gradients[0], ctx.needs_input_grad, ctx.activation), None
        features, inward, outward, _ = given
        activation = RUNNING_ACTIVATIONS[ctx.activation]
        by_entry = features.transpose(0, 1).contiguous()
        arriving = gradients[0].transpose(0, 1).contiguous()
        to_inward, to_outward = torch.empty_like(inward), torch.empty_like(outward)
        to_features = torch.empty_like(by_entry) if ctx.needs_input_grad[0] else None
        of_entries = _unbound(by_entry.mT, arriving, arriving.mT, outward, inward.mT, to_inward, to_outward, to_features)
        later = torch.zeros_like(kept[0])  # gradient of the state after the current entry has joined
        slope, pulled = torch.empty_like(later), torch.empty_like(later)
        hidden = later.new_empty(_BLOCK, *later.shape).unbind()
        for block, start in reversed(list(enumerate(kept.unbind()))):
            here = slice(block * _BLOCK, (block + 1) * _BLOCK)
            _fill_hidden(hidden, start, by_entry[here], inward[here], activation)
            for units, entry in reversed(list(zip(hidden, of_entries[here], strict=False))):
                feature, above, above_turned, out_of, into, inward_slot, outward_slot, feature_slot = entry
                if feature_slot is not None:
                    torch.mm(later, into, out=feature_slot)
                torch.mm(feature, later, out=inward_slot)
                torch.mm(above_turned, units, out=outward_slot)
                torch.mm(above, out_of, out=pulled)
                later.addcmul_(pulled, activation.slope(units, out=slope))
        return (None if to_features is None else to_features.transpose(0, 1)), to_inward, to_outward, later, None


def _unbound(*tensors: Tensor | None) -> list[tuple[Any, ...]]:
    """Return the tensors' parts along the first axis side by side, by one call for each tensor."""
    count = next(len(tensor) for tensor in tensors if tensor is not None)
    return list(zip(*([None] * count if tensor is None else tensor.unbind() for tensor in tensors), strict=True))


def _fill_hidden(hidden: Sequence[Tensor], start: Tensor, by_entry: Tensor, inward: Tensor, activation: Activation) -> None:
    """Write the hidden units before each entry of a block to `hidden`; the first state of the block is `start`."""
    running = start.clone()
    for part, into, units in zip(by_entry.unbind(), inward.unbind(), hidden, strict=False):
        activation.value(running, out=units)
        running.addmm_(part, into)


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

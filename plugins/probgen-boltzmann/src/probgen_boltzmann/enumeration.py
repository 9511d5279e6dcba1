r"""Boltzmann machines of two layers by enumeration: the log-partition, its gradient, and exact draws.

One layer, the *rows*, is listed; given a configuration of it the other, the *columns*, is independent and is summed out:

$$Z = \sum_{r \in \{0, 1\}^R} e^{r \cdot a} \prod_{c=1}^{C} \left(1 + e^{b_c + (r W)_c}\right)$$

for weights of shape `(R, C)`. The list is walked in chunks, and its inputs never exist at once.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from probgen.draws import bernoulli
from probgen.errors import CapabilityError
from probgen.nn import linear

__all__ = ["bits", "configuration_scores", "draw_exactly", "log_partition_by_enumeration"]

_CHUNK = 1 << 21  # entries of a chunk's inputs: 8 MiB in float32


def log_partition_by_enumeration(weight: Tensor, row_bias: Tensor, column_bias: Tensor) -> Tensor:
    r"""Return $\log Z$, a scalar, differentiable once; time grows like $2^R C$, memory like $2^R$.

    Shapes:
        `(R, C), (R,), (C,) -> ()`.

    Raises:
        CapabilityError: a second derivative is asked for.
    """
    return _LogPartition.apply(weight, row_bias, column_bias)  # pyright: ignore[reportReturnType]


def configuration_scores(weight: Tensor, row_bias: Tensor, column_bias: Tensor) -> Tensor:
    r"""Return $\log \sum_c e^{-E(r, c)}$ of every configuration of the rows in the order of `bits`, `(2^R,)` in float64."""
    scores = [
        (rows @ row_bias).double() + F.softplus(inputs).sum(-1).double() for _, rows, inputs in _chunks(weight, column_bias)
    ]
    return torch.cat(scores)


def draw_exactly(n: int, weight: Tensor, row_bias: Tensor, column_bias: Tensor) -> tuple[Tensor, Tensor]:
    """Return `n` independent draws of rows and columns, `(n, R)` and `(n, C)`."""
    scores = configuration_scores(weight, row_bias, column_bias)
    if n == 0:
        return weight.new_zeros(0, weight.shape[0]), weight.new_zeros(0, weight.shape[1])
    rows = bits(torch.multinomial(scores.softmax(0), n, replacement=True), len(row_bias)).to(weight)
    probabilities = torch.sigmoid(linear(rows, weight.T, column_bias))
    return rows, bernoulli(probabilities)


def bits(numbers: Tensor, width: int) -> Tensor:
    """Return the binary digits of whole numbers, the lowest first.

    Shapes:
        `(N,) -> (N, width)` of int64.

    Example:
        >>> bits(torch.tensor([1, 6]), 3).tolist()
        [[1, 0, 0], [0, 1, 1]]
    """
    return numbers[:, None].bitwise_right_shift(torch.arange(width, device=numbers.device)) & 1


def _chunks(weight: Tensor, column_bias: Tensor) -> Iterator[tuple[slice, Tensor, Tensor]]:
    """Yield the configurations of the rows a chunk at a time: where they stand, they themselves, the columns' inputs."""
    height, width = weight.shape
    count, step = 1 << height, max(1, _CHUNK // max(width, height))
    for start in range(0, count, step):
        where = slice(start, min(start + step, count))
        rows = bits(torch.arange(where.start, where.stop, device=weight.device), height).to(weight)
        yield where, rows, linear(rows, weight.T, column_bias)


class _LogPartition(torch.autograd.Function):
    """Sums in chunks, and forms the gradient in a second pass: autograd would keep every chunk."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, row_bias: Tensor, column_bias: Tensor) -> Tensor:
        scores = configuration_scores(weight, row_bias, column_bias)
        total = scores.logsumexp(0)
        ctx.save_for_backward(weight, column_bias, scores - total)
        return total.to(weight.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        if torch.is_grad_enabled():  # create_graph=True: a second derivative would silently lack this term
            raise CapabilityError(
                "log_partition_by_enumeration: expected to be differentiated once; got create_graph=True. "
                "Leave it out: this gradient has no derivative of its own."
            )
        weight, column_bias, log_probabilities = ctx.saved_tensors
        weight_gradient, column_gradient = torch.zeros_like(weight), torch.zeros_like(column_bias)
        row_gradient = torch.zeros_like(weight[:, 0])
        for where, rows, inputs in _chunks(weight, column_bias):
            probabilities = log_probabilities[where].exp().to(weight)
            columns = torch.sigmoid(inputs)
            weighted = rows * probabilities[:, None]
            weight_gradient.addmm_(weighted.T, columns)
            row_gradient += weighted.sum(0)
            column_gradient.addmv_(columns.T, probabilities)
        (scale,) = gradients
        return scale * weight_gradient, scale * row_gradient, scale * column_gradient

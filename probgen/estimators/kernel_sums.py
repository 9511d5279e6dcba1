"""Sums of a kernel over all pairs of events, by blocks of rows, whose gradient is formed on the way.

Autograd would keep the whole Gram matrix, and several copies of it, for the backward pass. Here a block of its rows exists
at a time, and with the sum goes the gradient, which is no larger than the events.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from probgen.estimators.kernels import Kernel

__all__ = ["sum_across", "sum_at", "sum_within"]


def sum_across(kernel: Kernel, x: Tensor, y: Tensor, *, block_size: int) -> Tensor:
    r"""Return $\sum_{i, j} k(x_i, y_j)$, `(M, D), (N, D) -> ()`, with gradients for both."""
    return _Across.apply(x, y, kernel, block_size)  # pyright: ignore[reportReturnType]


def sum_within(kernel: Kernel, x: Tensor, *, block_size: int) -> Tensor:
    r"""Return $\sum_{i \neq j} k(x_i, x_j)$, `(N, D) -> ()`, with its gradient."""
    return _Within.apply(x, kernel, block_size)  # pyright: ignore[reportReturnType]


def sum_at(kernel: Kernel, squared: Tensor) -> Tensor:
    r"""Return $\sum_i \varphi(s_i)$ over squared distances, with its gradient."""
    return _At.apply(squared, kernel)  # pyright: ignore[reportReturnType]


class _Across(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, kernel: Kernel, block_size: int) -> Tensor:
        shift = y.mean(0)  # distances stay, and expanding them as squares loses fewer digits near the origin
        x, y = x - shift, y - shift
        to_x, to_y = (
            torch.zeros_like(events) if wanted else None
            for events, wanted in zip((x, y), ctx.needs_input_grad[:2], strict=True)
        )
        total = x.new_zeros(())
        for rows in _blocks(len(x), block_size):
            squared = _squared_distances(x[rows], y)
            if to_x is None and to_y is None:
                total += kernel.values(squared).sum()
                continue
            values, slopes = kernel.values_and_slopes(squared)
            total += values.sum()
            if to_x is not None:
                to_x[rows] = _pull(x[rows], slopes, y)
            if to_y is not None:
                to_y += _pull(y, slopes.T, x[rows])
        ctx.save_for_backward(to_x, to_y)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        to_x, to_y = ctx.saved_tensors
        return None if to_x is None else grad * to_x, None if to_y is None else grad * to_y, None, None


class _Within(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, kernel: Kernel, block_size: int) -> Tensor:
        x = x - x.mean(0)
        pulls = torch.zeros_like(x) if ctx.needs_input_grad[0] else None
        total = x.new_zeros(())
        for rows in _blocks(len(x), block_size):
            # The Gram matrix is symmetric: blocks below the diagonal are those above, counted twice.
            later = slice(rows.start, len(x))
            width = rows.stop - rows.start
            squared = _squared_distances(x[rows], x[later])
            values, slopes = kernel.values_and_slopes(squared) if pulls is not None else (kernel.values(squared), None)
            values.fill_diagonal_(0)
            total += 2 * values.sum() - values[:, :width].sum()
            if pulls is not None and slopes is not None:
                slopes.fill_diagonal_(0)
                pulls[rows] += 2 * _pull(x[rows], slopes, x[later])
                pulls[rows.stop :] += 2 * _pull(x[rows.stop :], slopes[:, width:].T, x[rows])
        ctx.save_for_backward(pulls)
        return total

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, None, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (pulls,) = ctx.saved_tensors
        return None if pulls is None else grad * pulls, None, None


class _At(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, squared: Tensor, kernel: Kernel) -> Tensor:
        values, slopes = kernel.values_and_slopes(squared)
        ctx.save_for_backward(slopes)
        return values.sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        (slopes,) = ctx.saved_tensors
        return grad * slopes, None


def _blocks(count: int, block_size: int) -> Iterator[slice]:
    for start in range(0, count, block_size):
        yield slice(start, min(start + block_size, count))


def _squared_distances(x: Tensor, y: Tensor) -> Tensor:
    """Return the squared distances of all pairs by one matrix product, `(M, D), (N, D) -> (M, N)`."""
    products = torch.addmm(y.square().sum(1), x, y.T, alpha=-2)
    return products.add_(x.square().sum(1, keepdim=True)).clamp_(min=0)


def _pull(x: Tensor, slopes: Tensor, y: Tensor) -> Tensor:
    r"""Return $\sum_j \varphi'_{ij} \, \partial \lVert x_i - y_j \rVert^2 / \partial x_i$ for each $i$, `(M, D)`."""
    return 2 * torch.addmm(x * slopes.sum(1, keepdim=True), slopes, y, alpha=-1)

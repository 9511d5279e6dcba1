"""What every model has, and how batches become flat and whole again.

Shapes are those of `torch.distributions`: `sample_shape + batch_shape + event_shape`. The batch dimensions of `x` and
`context` broadcast against each other from the right; nothing else broadcasts. All of that happens here, once, so that the
author of a model writes only for a flat batch `(N, *event_shape)` and every message about shapes is the same everywhere.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self, TypeVar

import torch
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen.errors import ShapeError

__all__ = ["Model", "batch_shape_of"]

Result = TypeVar("Result")


class Model(abc.ABC):
    """What densities, samplers and latent-variable models share: the shape of an event, of a context, and a support.

    Attributes:
        event_shape: Shape of one event; `()` for a scalar.
        context_shape: Shape of one context, or None for a model that is not conditional.
        support: The values that an event may take, a `torch.distributions` constraint over its entries.
        provenance: How `probgen.build` made the model (its registered name, options and shapes), so that a run folder can
            make it again; None for a model made by hand.

    Subclasses are usually `torch.nn.Module`s as well, with the module first: `class MAF(nn.Module, Density, Sampler)`.
    """

    event_shape: torch.Size
    context_shape: torch.Size | None
    support: Constraint
    provenance: Any = None

    def __init_subclass__(cls, *, contract: bool = False, **kwargs: Any) -> None:
        """Note whether the new class is a contract (`class Density(Model, contract=True)`): a capability by itself."""
        super().__init_subclass__(**kwargs)
        cls._is_contract = contract

    @classmethod
    def build(
        cls,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        **options: Any,
    ) -> Self:
        """Bind a model of this class to data, or to its slot in another model.

        The three shapes come from the data or from the outer model, so a user never types a size that those know. A class
        whose constructor takes others than `event_shape`, `context_shape`, `support` and its options overrides this.
        """
        return cls(event_shape=event_shape, context_shape=context_shape, support=support, **options)  # pyright: ignore[reportCallIssue]

    def initialize(self, batch: Any) -> None:
        """Prepare whatever depends on the data, before optimisers exist; does nothing unless overridden.

        The trainer calls this once, with the first training `Batch`, and again with the same batch before it restores a
        checkpoint: actnorm scales, visible biases and the lazily built parameters of Pyro's autoguides belong here.
        """

    def _capabilities(self) -> frozenset[type]:
        """Return what this instance can do: its class's contracts. A wrapper computes it from its parts instead."""
        return frozenset(cls for cls in type(self).__mro__ if cls.__dict__.get("_is_contract", False))

    # ---------------------------------------------------------------------------------------- shapes, once for everyone

    def _flat_events(self, x: Tensor, context: Tensor | None, method: str) -> tuple[Tensor, Tensor | None, torch.Size]:
        """Check `x` and `context`, broadcast their batch dimensions and flatten them to one."""
        where = f"{type(self).__name__}.{method}"
        x_batch = batch_shape_of(x, self.event_shape, where, "x")
        context_batch = self._context_batch(context, where)
        shape = _broadcast(x_batch, context_batch, where)
        flat_x = x.expand((*shape, *self.event_shape)).reshape((count(shape), *self.event_shape))
        return flat_x, self._flat_context(context, shape), shape

    def _context_batch(self, context: Tensor | None, where: str) -> torch.Size:
        """Return the batch shape of `context`, or raise when it is missing, superfluous or misshapen."""
        if self.context_shape is None:
            if context is not None:
                raise ShapeError(
                    f"{where}: expected no context; got one of shape {tuple(context.shape)}. "
                    "Leave it out: this model is not conditional."
                )
            return torch.Size()
        if context is None:
            raise ShapeError(
                f"{where}: expected a context of shape (..., {_inner(self.context_shape)}); got None. "
                "This model is conditional: pass context=…"
            )
        return batch_shape_of(context, self.context_shape, where, "context")

    def _scored(
        self, score: Callable[[Tensor, Tensor | None], Result], x: Tensor, context: Tensor | None, method: str
    ) -> Result:
        """Return `score(x, context)`; where torch refuses numbers of another type than the weights, say so."""
        try:
            return score(x, context)
        except RuntimeError as error:
            own = _floating_type(self)
            for name, value in (("x", x), ("context", context)):
                if own is not None and value is not None and value.is_floating_point() and value.dtype != own:
                    raise ShapeError(
                        f"{type(self).__name__}.{method}: expected {name} of {own}, as its weights; got {value.dtype}. "
                        f"Use {name}.to({own}), or model.to({value.dtype})."
                    ) from error
            raise

    def _flat_context(self, context: Tensor | None, shape: torch.Size) -> Tensor | None:
        """Return `context` expanded to the batch `shape` and flattened."""
        if context is None or self.context_shape is None:
            return None
        return context.expand((*shape, *self.context_shape)).reshape((count(shape), *self.context_shape))


def _floating_type(model: object) -> torch.dtype | None:
    """Return the type of the model's weights; None where it has none."""
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    return next((each.dtype for each in parameters if each.is_floating_point()), None)


def batch_shape_of(value: Tensor, inner_shape: torch.Size, where: str, name: str) -> torch.Size:
    """Return what stands before `inner_shape` in the shape of `value`.

    Raises:
        ShapeError: the last axes of `value` are not `inner_shape`.

    Example:
        >>> batch_shape_of(torch.zeros(4, 5, 2), torch.Size([2]), "Example.log_prob", "x")
        torch.Size([4, 5])
    """
    if not isinstance(value, Tensor):
        raise ShapeError(f"{where}: expected {name} to be a tensor; got {type(value).__name__}. Use torch.as_tensor.")
    split = value.ndim - len(inner_shape)
    if split < 0 or value.shape[split:] != inner_shape:
        raise ShapeError(
            f"{where}: expected {name} of shape (..., {_inner(inner_shape)}); got {tuple(value.shape)}. "
            f"Make its shape end in {tuple(inner_shape)}."
        )
    return value.shape[:split]


def _broadcast(x_batch: torch.Size, context_batch: torch.Size, where: str) -> torch.Size:
    if x_batch == context_batch or not context_batch:
        return x_batch
    try:
        return torch.broadcast_shapes(x_batch, context_batch)
    except RuntimeError as error:
        raise ShapeError(
            f"{where}: expected batch shapes of x and context that broadcast; got {tuple(x_batch)} and "
            f"{tuple(context_batch)}. Batch dimensions align from the right."
        ) from error


def _inner(shape: torch.Size) -> str:
    return ", ".join(map(str, shape))


def count(shape: Sequence[int]) -> int:
    """Return how many entries a shape has: 1 for the empty shape."""
    return math.prod(shape)


def device_of(model: object) -> torch.device:
    """Return the device where `model` computes: that of its first parameter or buffer, the CPU when it has none."""
    if isinstance(model, nn.Module):
        for tensor in model.parameters():
            return tensor.device
        for tensor in model.buffers():
            return tensor.device
    return torch.device("cpu")


@contextmanager
def evaluating(model: object) -> Iterator[None]:
    """Put `model` in evaluation mode inside the block, and each of its modules back into its own afterwards."""
    modes = [(module, module.training) for module in model.modules()] if isinstance(model, nn.Module) else []
    try:
        for module, _ in modes:
            module.training = False
        yield
    finally:
        for module, training in modes:
            module.training = training

"""The batch: what one step of training or scoring sees of the data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType

import torch
from torch import Tensor

from probgen.errors import ShapeError

__all__ = ["Batch"]


@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    r"""$N$ examples, with whatever they are conditioned on. Frozen: a step never changes its batch.

    Args:
        x: The examples, `(N, *event_shape)`.
        context: What each example is conditioned on (labels are context), `(N, *context_shape)`, or None.
        mask: True where an entry of a padded sequence is real, `(N, length)`, or None.
        index: Each example's position in its data set, `(N,)` of int64, or None.
        named: Further tensors by name: the unpaired sources of a CycleGAN, say. Their first axis need not be `N`.

    Raises:
        ShapeError: `context`, `mask` or `index` has another first axis than `x`.

    Example:
        >>> batch = Batch(torch.zeros(5, 2), context=torch.arange(5))
        >>> len(batch), batch[1:3].context.tolist()
        (5, [1, 2])
    """

    x: Tensor
    context: Tensor | None = None
    mask: Tensor | None = None
    index: Tensor | None = None
    named: Mapping[str, Tensor] = dataclasses.field(default_factory=lambda: MappingProxyType({}))

    def __post_init__(self) -> None:
        if self.x.ndim == 0:
            raise ShapeError("Batch: expected x with a batch axis; got a scalar. Use x.unsqueeze(0) for one example.")
        for name in ("context", "mask", "index"):
            value = getattr(self, name)
            if value is not None and (value.ndim == 0 or value.shape[0] != len(self)):
                raise ShapeError(
                    f"Batch: expected {name} with first axis {len(self)}, as x; got shape {tuple(value.shape)}. "
                    f"Give one {name} row for each example."
                )

    def __len__(self) -> int:
        """Return $N$, the number of examples."""
        return self.x.shape[0]

    def __getitem__(self, rows: slice | Tensor) -> Batch:
        """Return the batch of the given rows; `named` tensors stay whole."""
        return dataclasses.replace(self, **self._changed(lambda tensor: tensor[rows]))

    def to(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Batch:
        """Return the batch on `device`, its floating-point tensors as `dtype`; itself if all of them are that already."""

        def move(tensor: Tensor) -> Tensor:
            return tensor.to(device=device, dtype=dtype if tensor.is_floating_point() else None)

        fields = self._changed(move)
        named = {name: move(value) for name, value in self.named.items()}
        unmoved = all(value is getattr(self, name) for name, value in fields.items())
        if unmoved and all(value is self.named[name] for name, value in named.items()):
            return self
        return dataclasses.replace(self, **fields, named=named)

    def _changed(self, change: Callable[[Tensor], Tensor]) -> dict[str, Tensor | None]:
        values = ((name, getattr(self, name)) for name in ("x", "context", "mask", "index"))
        return {name: None if value is None else change(value) for name, value in values}

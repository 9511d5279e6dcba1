"""A `Split`: the examples of one part of the data, as batches."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import final

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.data.lenses import Lens
from probgen.data.noise import uniform
from probgen.errors import ConfigurationError

__all__ = ["Split"]


@final
class Split:
    """The examples of one split of a view; `View.split` makes it.

    A batch is a pure function of its arguments. Where the view is random, the noise of an example depends on (seed, epoch,
    index) and not on the batch it is in, the order of the calls or the process.

    Attributes:
        name: `train`, `valid` or `test`.
    """

    def __init__(
        self, name: str, raw: Tensor, lens: Lens, *, labels: Tensor | None = None, num_labels: int | None = None
    ) -> None:
        self.name = name
        self._values = lens.prepare(raw)
        self._lens = lens
        self._labels = labels
        self._num_labels = num_labels
        self._entries = math.prod(raw.shape[1:])
        self._stream = zlib.crc32(name.encode())  # the splits' first examples do not share their noise

    def __len__(self) -> int:
        """Return how many examples there are."""
        return self._values.shape[0]

    def batch(self, index: Tensor, *, seed: int = 0, epoch: int = 0) -> Batch:
        """Return the examples at `index`, `(N,)` of int64, in that order.

        Args:
            index: Positions in the split; an example may occur twice.
            seed: Of the noise of a random view.
            epoch: Renews the noise of the training split; the other splits always are as in epoch 0.
        """
        rows = self._values.index_select(0, index)
        noise = None
        if self._lens.random:
            epoch = epoch if self.name == "train" else 0
            noise = uniform(seed ^ self._stream, epoch, index, self._entries, bits=self._lens.noise_bits()).view(rows.shape)
        return Batch(self._lens.apply(rows, noise), context=self._context(index), index=index)

    def batches(self, batch_size: int, *, seed: int = 0, epoch: int = 0) -> Iterator[Batch]:
        """Yield all examples in order, `batch_size` at a time; the last batch may be smaller.

        Raises:
            ConfigurationError: `batch_size` is below one.
        """
        if batch_size < 1:
            raise ConfigurationError(f"Split.batches: expected batch_size of at least 1; got {batch_size}. Try 100.")
        for start in range(0, len(self), batch_size):
            yield self.batch(torch.arange(start, min(start + batch_size, len(self))), seed=seed, epoch=epoch)

    def all(self, *, seed: int = 0, epoch: int = 0) -> Batch:
        """Return every example as one batch."""
        return self.batch(torch.arange(len(self)), seed=seed, epoch=epoch)

    def _context(self, index: Tensor) -> Tensor | None:
        if self._labels is None or self._num_labels is None:
            return None
        labels = self._labels.index_select(0, index)
        context = torch.zeros(len(labels), self._num_labels)
        return context.scatter_(1, labels.unsqueeze(-1), 1.0)

"""What is being judged: a model, the data that it is judged on, and how much work may go into it."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.data.view import View
from probgen.errors import ConfigurationError, ShapeError
from probgen.shapes import device_of, evaluating
from probgen.streams import preserved_streams, seeded_streams, stream_seed

__all__ = ["Subject", "undisturbed"]


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Subject:
    """A model in front of its data. Every measurement goes through the data in batches, on random streams of its own.

    Args:
        model: The model, of any capability.
        view: The data as the model sees them.
        split: The split that is held out.
        seed: Of all randomness.
        num_particles: $k$, for importance sampling.
        num_samples: How many draws the two-sample tests see.
        batch_size: How many examples are scored, or drawn, at once.
        max_examples: Score a random subset of this size; None for all examples.

    Raises:
        ConfigurationError: a size is below one.
        ShapeError: the model's events or contexts are not the view's.
        DataError: the data have no such split.
    """

    model: Any
    view: View
    split: str = "test"
    seed: int = 0
    num_particles: int = 500
    num_samples: int = 1000
    batch_size: int = 250
    max_examples: int | None = None

    def __post_init__(self) -> None:
        for name in ("num_particles", "num_samples", "batch_size", "max_examples"):
            size = getattr(self, name)
            if size is not None and size < 1:
                raise ConfigurationError(
                    f"evaluate: expected {name} of at least 1; got {size}. Leave it out for the default."
                )
        for name in ("event_shape", "context_shape"):
            of_model, of_view = getattr(self.model, name), getattr(self.view, name)
            if of_model != of_view:
                raise ShapeError(
                    f"evaluate: expected data of {name} {_words(of_model)}, as the model; got {_words(of_view)} from view "
                    f"{self.view.name!r} of {self.view.source.name}. Give the data that the model was built for."
                )
        self.view.split(self.split)

    @functools.cached_property
    def rows(self) -> Tensor:
        """The positions of the examples that are judged, in ascending order."""
        size = len(self.view.split(self.split))
        if self.max_examples is None or self.max_examples >= size:
            return torch.arange(size)
        return self.choice("examples", size, self.max_examples).sort().values

    def generator(self, purpose: str) -> torch.Generator:
        """Return the stream for `purpose`, on the CPU."""
        return torch.Generator().manual_seed(self.derived_seed(purpose))

    def derived_seed(self, purpose: str) -> int:
        """Return a seed for `purpose`, for what takes a number rather than a stream."""
        return stream_seed(self.seed, f"evaluation/{purpose}")

    def choice(self, purpose: str, size: int, most: int) -> Tensor:
        """Return up to `most` different numbers below `size`, in random order."""
        return torch.randperm(size, generator=self.generator(purpose))[:most]

    def batches(self, split: str, rows: Tensor) -> Iterator[Batch]:
        """Yield the examples at `rows`, a batch at a time, where the model computes and in its precision."""
        examples = self.view.split(split)
        device, dtype = device_of(self.model), _floating_type(self.model)
        for index in rows.split(self.batch_size):
            yield examples.batch(index, seed=self.derived_seed("view")).to(device, dtype)

    def per_example(self, purpose: str, score: Callable[[Batch], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """Return the scores of the judged examples, each `(N,)` in double precision on the CPU.

        Only one batch and its scores' intermediate results exist at a time.

        Args:
            purpose: Names the random stream that `score` draws from.
            score: Returns one or more numbers for each example of a batch.
        """
        with seeded_streams(self.seed, f"evaluation/{purpose}"):
            parts = [
                tuple(scores.detach().to("cpu", torch.float64) for scores in score(batch))
                for batch in self.batches(self.split, self.rows)
            ]
        return tuple(torch.cat(column) for column in zip(*parts, strict=True))


@contextmanager
def undisturbed(model: Any) -> Iterator[None]:
    """Put `model` in evaluation mode without gradients, and leave it and torch's random streams as they were."""
    with evaluating(model), torch.no_grad(), preserved_streams():
        yield


def _floating_type(model: Any) -> torch.dtype | None:
    """Return the precision that `model` computes in; None, which leaves the data's own, where it has no parameter."""
    parameters = model.parameters() if isinstance(model, nn.Module) else ()
    return next((parameter.dtype for parameter in parameters if parameter.is_floating_point()), None)


def _words(shape: torch.Size | None) -> str:
    return "None" if shape is None else str(tuple(shape))

"""The second noun: a `Sampler` can draw."""

from __future__ import annotations

import abc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from probgen.errors import ShapeError
from probgen.shapes import Model, count, device_of

__all__ = ["Sampler", "using_generator"]


class Sampler(Model, contract=True):
    """Something that draws independent events.

    Implementing a sampler:
        - set `event_shape`, `context_shape` and `support`, as for a `Density`;
        - write `_sample(n, context)`, which returns `(n, *event_shape)`; when the model is conditional, `context` is
          `(n, *context_shape)`, one row for each draw. Draw with ordinary torch operations; `generator` works by itself.

    Shapes:
        sample: `sample_shape, (*batch, *context_shape) -> (*sample_shape, *batch, *event_shape)`.

    Example:
        >>> from probgen import as_model
        >>> die = as_model(torch.distributions.Categorical(torch.ones(6)))
        >>> die.sample((4,), generator=torch.Generator().manual_seed(0)).shape
        torch.Size([4])
    """

    @torch.no_grad()
    def sample(
        self,
        sample_shape: Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return draws of shape `sample_shape + batch_shape + event_shape`, without gradients.

        Args:
            sample_shape: How many draws to make for each context.
            context: What to condition on, `(*batch_shape, *context_shape)`; None for a model that is not conditional.
            generator: Where the randomness comes from. The global stream is then left as it was; without one it is used.

        Raises:
            ShapeError: a context is missing, superfluous or misshapen, or `sample_shape` is not a shape.
        """
        n, flat_context, shape = self._flat_draws(sample_shape, context, "sample")
        with using_generator(generator, None if generator is None else device_of(self)):
            draws = self._sample(n, flat_context)
        return draws.reshape((*shape, *self.event_shape))

    @abc.abstractmethod
    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        """Draw a flat batch: `n, (n, *context_shape) | None -> (n, *event_shape)`."""

    def _flat_draws(
        self, sample_shape: Sequence[int], context: Tensor | None, method: str
    ) -> tuple[int, Tensor | None, torch.Size]:
        """Check the arguments of a draw; return how many there are in all, the context of each, and the batch shape."""
        where = f"{type(self).__name__}.{method}"
        if isinstance(sample_shape, int) or any(size < 0 for size in sample_shape):
            raise ShapeError(f"{where}: expected sample_shape as a tuple of sizes; got {sample_shape!r}. Use (n,).")
        shape = torch.Size(sample_shape) + self._context_batch(context, where)
        return count(shape), self._flat_context(context, shape), shape


@contextmanager
def using_generator(generator: torch.Generator | None, device: torch.device | None = None) -> Iterator[None]:
    """Draw from `generator` inside the block, whatever code does the drawing, then put the global stream back.

    Most random functions of torch take a generator, but those of `torch.distributions` and Pyro do not. So the global stream
    of the generator's device is replaced by the generator's state and restored afterwards; the generator moves on as if it
    had been passed along.
    """
    if generator is None:
        yield
        return
    on_gpu = generator.device.type == "cuda" or (device is not None and device.type == "cuda")
    if on_gpu and generator.device.type != "cuda":
        raise ShapeError(
            f"sample: expected a generator on {device}; got one on {generator.device}. "
            "Make it with torch.Generator(device=…)."
        )
    stream = torch.cuda.default_generators[generator.device.index or 0] if on_gpu else torch.default_generator
    before = stream.get_state()
    stream.set_state(generator.get_state())
    try:
        yield
    finally:
        generator.set_state(stream.get_state())
        stream.set_state(before)

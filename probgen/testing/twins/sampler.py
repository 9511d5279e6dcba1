"""Samplers with mistakes that show without knowing their law."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from probgen.testing.twins.originals import Coins, Gaussian

__all__ = [
    "DrawsNaN",
    "DrawsOncePerContext",
    "DrawsOneForAll",
    "DrawsProbabilities",
    "HasAGeneratorOfItsOwn",
    "IgnoresTheGenerator",
    "KeepsGradients",
    "MovesTheGlobalStream",
    "PutsTheBatchFirst",
    "RepeatsHalf",
    "StartsAfresh",
    "TakesANumber",
]


class _Drawing(Gaussian):
    """A Gaussian whose `sample` is written by hand."""

    def __init__(self, *, context: int | None = None) -> None:
        super().__init__(context=context)

    def sample(
        self,
        sample_shape: Sequence[int] = (),
        context: Tensor | None = None,
        *,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Return draws."""
        return self._altered(sample_shape, context, generator)

    def _altered(self, shape: Sequence[int], context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return super().sample(shape, context, generator=generator)


class PutsTheBatchFirst(_Drawing):
    """Returns the batch of contexts before the sample shape."""

    def __init__(self) -> None:
        super().__init__(context=1)

    def _altered(self, shape: Sequence[int], context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        draws = super()._altered(shape, context, generator)
        for _ in shape:
            draws = draws.movedim(0, -2)
        return draws


class KeepsGradients(_Drawing):
    """Calls `rsample` for `sample`."""

    def _altered(self, shape: Sequence[int], context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        draws = super()._altered(shape, context, generator)
        return draws + self.loc - self.loc.detach()


class TakesANumber(_Drawing):
    """Takes `sample(3)` for `sample((3,))`."""

    def _altered(self, shape: Sequence[int], context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return super()._altered((shape,) if isinstance(shape, int) else shape, context, generator)


class DrawsOncePerContext(_Drawing):
    """Ignores the sample shape when there is a context."""

    def __init__(self) -> None:
        super().__init__(context=1)

    def _altered(self, shape: Sequence[int], context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return super()._altered((), context, generator)


class DrawsProbabilities(Coins):
    """Returns the mean for the bits."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self.logits.sigmoid().expand(n, -1)


class DrawsNaN(Gaussian):
    """Takes the logarithm of a uniform variable that is sometimes negative."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return super()._rsample(n, context) + 0 * (torch.rand(n, 1, dtype=self.loc.dtype) - 0.02).log()


class IgnoresTheGenerator(_Drawing):
    """Draws from the global stream all the time."""

    def _altered(self, shape: Sequence[int], context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        return super()._altered(shape, context, None)


class HasAGeneratorOfItsOwn(Coins):
    """Draws from a stream that was started when the model was made."""

    def __init__(self) -> None:
        super().__init__()
        self.seed = 0

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        self.seed += 1
        stream = torch.Generator().manual_seed(self.seed)
        return torch.bernoulli(self.logits.sigmoid().expand(n, -1), generator=stream)


class MovesTheGlobalStream(_Drawing):
    """Takes the seed of its draws from the generator and plants it in the global stream."""

    def _altered(self, shape: Sequence[int], context: Tensor | None, generator: torch.Generator | None) -> Tensor:
        if generator is not None:
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        return super()._altered(shape, context, None)


class StartsAfresh(Coins):
    """Draws from a stream that starts at zero for each call."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        stream = torch.Generator().manual_seed(0)
        return torch.bernoulli(self.logits.sigmoid().expand(n, -1), generator=stream)


class DrawsOneForAll(Gaussian):
    """Draws one event and repeats it for the whole batch."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return super()._rsample(1, None if context is None else context[:1]).expand(n, -1)


class RepeatsHalf(Gaussian):
    """Draws half of a batch and repeats it."""

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        draws = super()._rsample(n, context)
        return torch.cat([draws[: (n + 1) // 2], draws[: n // 2]])

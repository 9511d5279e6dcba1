"""One model, and another given it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import Reparameterized, require
from probgen.compose.parts import held_by_all, joined, same_support
from probgen.density import Density
from probgen.errors import ShapeError
from probgen.sampler import Sampler
from probgen.shapes import count

__all__ = ["Chain"]


class Chain(nn.Module, Density, Reparameterized):
    r"""A joint model by the chain rule: $p(a, b \mid c) = p(a \mid c)\, p(b \mid a, c)$.

    An event is the two of them, flattened, side by side: `(A + B,)`. Chains of chains make longer ones. Has those of
    `Density`, `Sampler` and `Reparameterized` that both have.

    Args:
        first: A model or distribution of $a$, conditional on $c$ or not.
        second: A model of $b$, conditional on $a$; where `first` is conditional, on $a$ and $c$, flattened, side by side.

    Shapes:
        log_prob: `(..., A + B), (..., *context_shape) -> (...)`.

    Raises:
        ShapeError: the context of `second` is not what it would be given.

    Example:
        >>> from torch.distributions import Bernoulli, Normal
        >>> from probgen.compose import Conditional, Standardized
        >>> kind = torch.distributions.OneHotCategorical(torch.tensor([0.8, 0.2]))
        >>> joint = Chain(kind, Conditional(Normal(0.0, 1.0), Normal(5.0, 1.0)))
        >>> joint.event_shape, joint.sample((4,)).shape
        (torch.Size([3]), torch.Size([4, 3]))
    """

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__()
        self.first: Any = as_model(first)
        self.second: Any = as_model(second)
        self._a, self._b = (count(part.event_shape) for part in (self.first, self.second))
        self.context_shape = self.first.context_shape
        plain = self.context_shape is None
        wanted = self.first.event_shape if plain else torch.Size([self._a + count(self.context_shape or ())])
        if self.second.context_shape != wanted:
            raise ShapeError(
                f"Chain: expected a second model of contexts {tuple(wanted)}, what it is given; got one of contexts "
                f"{self.second.context_shape and tuple(self.second.context_shape)}. Build it for those."
            )
        self.event_shape = torch.Size([self._a + self._b])
        self.support = (
            self.first.support
            if same_support(self.first.support, self.second.support)
            else constraints.cat([_entries(self.first), _entries(self.second)], -1, [self._a, self._b])
        )

    def initialize(self, batch: Batch) -> None:
        """Let both models prepare themselves for their parts of the data."""
        a, b = self._split(batch.x)
        self.first.initialize(Batch(a, context=batch.context))
        self.second.initialize(Batch(b, context=self._given(a, batch.context)))

    def _capabilities(self) -> frozenset[type]:
        return held_by_all((Density, Sampler, Reparameterized), [self.first, self.second])

    def _checked(self, capability: type, method: str) -> None:
        for part in (self.first, self.second):
            require(part, capability, for_what=f"Chain.{method}")

    def _split(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b = x.split([self._a, self._b], -1)
        return a.reshape(len(x), *self.first.event_shape), b.reshape(len(x), *self.second.event_shape)

    def _given(self, a: Tensor, context: Tensor | None) -> Tensor:
        if context is None or self.context_shape is None:
            return a
        return joined(a, len(self.first.event_shape), context, len(self.context_shape))

    def _together(self, a: Tensor, b: Tensor) -> Tensor:
        return joined(a, len(self.first.event_shape), b, len(self.second.event_shape))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        self._checked(Density, "log_prob")
        a, b = self._split(x)
        return self.first.log_prob(a, context) + self.second.log_prob(b, self._given(a, context))

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        self._checked(Sampler, "sample")
        a = self.first.sample((n,) if context is None else (), context)
        return self._together(a, self.second.sample((), self._given(a, context)))

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        self._checked(Reparameterized, "rsample")
        a = self.first.rsample((n,) if context is None else (), context)
        return self._together(a, self.second.rsample((), self._given(a, context)))

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        self._checked(Reparameterized, "rsample_and_log_prob")
        a, score_a = self.first.rsample_and_log_prob((n,) if context is None else (), context)
        b, score_b = self.second.rsample_and_log_prob((), self._given(a, context))
        return self._together(a, b), score_a + score_b


def _entries(part: Any) -> Any:
    """Return the constraint of one entry; what binds several entries together (a one-hot vector) is left to the model."""
    return part.support if part.support.event_dim == 0 else constraints.real

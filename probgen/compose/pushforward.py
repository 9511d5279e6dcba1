"""A base seen through an invertible map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import Invertible, Reparameterized, capabilities, require
from probgen.density import Density
from probgen.errors import ShapeError
from probgen.sampler import Sampler

__all__ = ["Pushforward"]


class Pushforward(nn.Module, Density, Reparameterized):
    r"""The law of $x = f^{-1}(z; c)$ where $z$ follows a base.

    $$\log p(x \mid c) = \log p_0(f(x; c) \mid c) + \log\left|\det \frac{\partial f}{\partial x}\right|$$

    The map of any flow with any base: a mixture, a heavy-tailed law, another flow. Has those of `Density`, `Sampler` and
    `Reparameterized` that the base has.

    Args:
        base: A model or distribution of $z$. One that is conditional gets the same context.
        bijection: An `Invertible` $f$, of the same event shape; its own density, where it has one, plays no part.

    Shapes:
        log_prob: `(..., *event_shape), (..., *context_shape) -> (...)`.

    Raises:
        ShapeError: the shapes of base and bijection differ.
        CapabilityError: the bijection is not `Invertible`.

    References:
        Tabak & Vanden-Eijnden (2010). Density estimation by dual ascent of the log-likelihood.
    """

    def __init__(self, base: Any, bijection: Any) -> None:
        super().__init__()
        self.base: Any = as_model(base)
        self.bijection: Any = bijection
        require(bijection, Invertible, for_what="Pushforward")
        contexts = {part.context_shape for part in (self.base, bijection)} - {None}
        if self.base.event_shape != bijection.event_shape or len(contexts) > 1:
            raise ShapeError(
                f"Pushforward: expected a base and a bijection of one event shape, and of one context shape where both are "
                f"conditional; got {tuple(self.base.event_shape)} given {self.base.context_shape} and "
                f"{tuple(bijection.event_shape)} given {bijection.context_shape}. Make them alike."
            )
        self.event_shape = bijection.event_shape
        self.context_shape = next(iter(contexts), None)
        self.support = bijection.support

    def initialize(self, batch: Batch) -> None:
        """Let the bijection prepare itself for the data, then the base for what it makes of them."""
        context = self._for(self.bijection, batch.context)
        self.bijection.initialize(Batch(batch.x, context=context))
        with torch.no_grad():
            z, _ = self.bijection.transform(batch.x, context)
        self.base.initialize(Batch(z, context=self._for(self.base, batch.context)))

    def _for(self, part: Any, context: Tensor | None) -> Tensor | None:
        return None if part.context_shape is None else context

    def _capabilities(self) -> frozenset[type]:
        return capabilities(self.base) & {Density, Sampler, Reparameterized}

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        require(self.base, Density, for_what="Pushforward.log_prob")
        z, log_det = self.bijection.transform(x, self._for(self.bijection, context))
        return self.base.log_prob(z, self._for(self.base, context)) + log_det

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        require(self.base, Sampler, for_what="Pushforward.sample")
        own = self._for(self.base, context)
        return self._pushed(self.base.sample((n,) if own is None else (), own), context)[0]

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        require(self.base, Reparameterized, for_what="Pushforward.rsample")
        own = self._for(self.base, context)
        return self._pushed(self.base.rsample((n,) if own is None else (), own), context)[0]

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        require(self.base, Density, Reparameterized, for_what="Pushforward.rsample_and_log_prob")
        own = self._for(self.base, context)
        z, scores = self.base.rsample_and_log_prob((n,) if own is None else (), own)
        x, log_det = self._pushed(z, context)
        return x, scores - log_det

    def _pushed(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.bijection.inverse(z, self._for(self.bijection, context))

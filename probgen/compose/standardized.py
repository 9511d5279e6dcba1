"""A model of shifted and scaled values."""

from __future__ import annotations

from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import BoundedLikelihood, Invertible, Reparameterized, require
from probgen.claims import Claim
from probgen.compose.parts import held_by_all, same_support
from probgen.density import Density
from probgen.errors import ConfigurationError, SupportError
from probgen.sampler import Sampler

__all__ = ["Standardized"]

_OFFERED = (Density, Sampler, Reparameterized, Invertible, BoundedLikelihood)


class Standardized(nn.Module, Density, Reparameterized, Invertible, BoundedLikelihood):
    r"""A model of $v = (x - m) / s$ as a model of $x$.

    $$\log p(x \mid c) = \log p_v\left(\frac{x - m}{s} \,\middle|\, c\right) - \sum_d \log s_d$$

    Has those of `Density`, `Sampler`, `Reparameterized`, `Invertible` and `BoundedLikelihood` that the model has.

    Args:
        model: A model of real values, or a distribution of torch or Pyro.
        shift: $m$, a number or of the event's shape.
        scale: $s > 0$, likewise.

    Shapes:
        log_prob: as the model's.

    Raises:
        SupportError: the model's events are not real.
        ConfigurationError: a scale is not positive, or the two do not fit an event.

    Example:
        >>> from torch.distributions import Normal
        >>> heights = Standardized(Normal(0.0, 1.0), shift=170.0, scale=10.0)
        >>> torch.isclose(heights.log_prob(torch.tensor(180.0)), Normal(170.0, 10.0).log_prob(torch.tensor(180.0)))
        tensor(True)
    """

    def __init__(self, model: Any, *, shift: Tensor | float, scale: Tensor | float) -> None:
        super().__init__()
        self.model: Any = as_model(model)
        if not same_support(self.model.support, constraints.real):
            raise SupportError(
                f"Standardized: expected a model of real values; got the support {self.model.support}. Transform it first."
            )
        self.event_shape, self.context_shape = self.model.event_shape, self.model.context_shape
        self.support = self.model.support
        self.shift: Tensor
        self.scale: Tensor
        self.register_buffer("shift", self._fitting(shift, "shift"))
        self.register_buffer("scale", self._fitting(scale, "scale"))
        if not bool((self.scale > 0).all()):
            raise ConfigurationError(f"Standardized: expected a scale above 0; got {scale}. Leave out what is constant.")

    @classmethod
    def of(cls, model: Any, x: Tensor) -> Self:
        """Return `model` for events like `x`, `(N, *event_shape)`, shifted by their mean and scaled by their deviation."""
        return cls(model, shift=x.mean(0), scale=x.std(0).clamp_min(torch.finfo(x.dtype).eps))

    def initialize(self, batch: Batch) -> None:
        """Let the model prepare itself for the values that it will see."""
        self.model.initialize(Batch(self._inward(batch.x), context=batch.context))

    @property
    def bound_claim(self) -> Claim:
        """What the model's own bound claims."""
        return self.model.bound_claim

    def _fitting(self, value: Tensor | float, name: str) -> Tensor:
        tensor = torch.as_tensor(value, dtype=torch.get_default_dtype()) if not isinstance(value, Tensor) else value.detach()
        try:
            return tensor.expand(self.event_shape).clone()
        except RuntimeError as error:
            raise ConfigurationError(
                f"Standardized: expected a {name} for events {tuple(self.event_shape)}; got one of shape "
                f"{tuple(tensor.shape)}. Give a number, or one for each entry."
            ) from error

    def _capabilities(self) -> frozenset[type]:
        return held_by_all(_OFFERED, [self.model])

    def _inward(self, x: Tensor) -> Tensor:
        return (x - self.shift) / self.scale

    def _outward(self, v: Tensor) -> Tensor:
        return v * self.scale + self.shift

    def _log_det(self) -> Tensor:
        return -self.scale.log().sum()

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        require(self.model, Density, for_what="Standardized.log_prob")
        return self.model.log_prob(self._inward(x), context) + self._log_det()

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        require(self.model, BoundedLikelihood, for_what="Standardized.log_prob_bound")
        return self.model.log_prob_bound(self._inward(x), context) + self._log_det()

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        require(self.model, Sampler, for_what="Standardized.sample")
        return self._outward(self.model.sample(() if context is not None else (n,), context))

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        require(self.model, Reparameterized, for_what="Standardized.rsample")
        return self._outward(self.model.rsample(() if context is not None else (n,), context))

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        require(self.model, Reparameterized, for_what="Standardized.rsample_and_log_prob")
        draws, scores = self.model.rsample_and_log_prob(() if context is not None else (n,), context)
        return self._outward(draws), scores + self._log_det()

    def _transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        require(self.model, Invertible, for_what="Standardized.transform")
        z, log_det = self.model.transform(self._inward(x), context)
        return z, log_det + self._log_det()

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        require(self.model, Invertible, for_what="Standardized.inverse")
        v, log_det = self.model.inverse(z, context)
        return self._outward(v), log_det - self._log_det()

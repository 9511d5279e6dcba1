"""Discrete values as cells of a continuous model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import BoundedLikelihood, Reparameterized, require
from probgen.claims import LowerBound
from probgen.density import Density
from probgen.errors import ConfigurationError, ShapeError, SupportError
from probgen.sampler import Sampler
from probgen.shapes import count
from probgen.supports import categorical

__all__ = ["Dequantized"]


class Dequantized(nn.Module, BoundedLikelihood, Sampler):
    r"""A model of levels $x \in \{0, \dots, L - 1\}^D$ whose probabilities are the volumes of cells of a continuous model.

    $$P(x \mid c) = \int_{[0, 1)^D} p(x + u \mid c)\,\mathrm{d}u, \qquad
      \log P(x \mid c) \ge \mathbb{E}_{q(u \mid x)}\left[\log p(x + u \mid c) - \log q(u \mid x)\right]$$

    The noise $q$ is uniform, or a model that learns where in its cell an event should lie, which tightens the bound.
    What the model puts outside all cells is lost, and the bound holds all the same. Wrap the model in `Standardized` to let
    it see values of the size that it likes.

    Args:
        model: A `Density` of real values, or a distribution.
        levels: $L$.
        noise: A model of $u$ in the unit interval, `Reparameterized` and a `Density`, conditional on the flattened event
            scaled to $[0, 1]$; None for uniform noise.

    Shapes:
        log_prob_bound: `(..., *event_shape), (..., *context_shape) -> (...)`, one draw of the bound.

    Raises:
        SupportError: the model's events are not real, or the noise is not in the unit interval.
        ShapeError: the noise has another event shape than the model, or other contexts than flattened events.
        ConfigurationError: there are fewer than two levels.

    Example:
        >>> from torch.distributions import Normal
        >>> die = Dequantized(Normal(3.0, 2.0), levels=6)
        >>> die.sample((100,)).unique().max() <= 5
        tensor(True)

    References:
        Theis, van den Oord & Bethge (2016), arXiv:1511.01844. Ho et al. (2019), arXiv:1902.00275, for learned noise.
    """

    def __init__(self, model: Any, *, levels: int, noise: Any = None) -> None:
        super().__init__()
        self.model: Any = as_model(model)
        require(self.model, Density, for_what="Dequantized")
        if self.model.support is not constraints.real:
            raise SupportError(
                f"Dequantized: expected a model of real values; got the support {self.model.support}. Choose another."
            )
        if levels < 2:
            raise ConfigurationError(f"Dequantized: expected at least 2 levels; got {levels}. A constant needs no model.")
        self.levels = levels
        self.event_shape, self.context_shape = self.model.event_shape, self.model.context_shape
        self.support = constraints.boolean if levels == 2 else categorical(levels)
        self.noise = noise if noise is None else self._checked(noise)

    @property
    def bound_claim(self) -> LowerBound:
        """A draw of the bound."""
        return LowerBound("log_prob")

    def initialize(self, batch: Batch) -> None:
        """Let the model prepare itself for dequantised events, and the noise for uniform ones."""
        u = torch.rand_like(batch.x, dtype=torch.get_default_dtype())
        self.model.initialize(Batch(batch.x + u, context=batch.context))
        if self.noise is not None:
            self.noise.initialize(Batch(u, context=self._scaled(batch.x)))

    def _checked(self, noise: Any) -> Any:
        require(noise, Density, Reparameterized, for_what="Dequantized (noise)")
        wanted = torch.Size([count(self.event_shape)])
        if noise.event_shape != self.event_shape or noise.context_shape != wanted:
            raise ShapeError(
                f"Dequantized: expected noise of events {tuple(self.event_shape)} given contexts {tuple(wanted)}; got "
                f"{tuple(noise.event_shape)} given {noise.context_shape and tuple(noise.context_shape)}. Build it so."
            )
        if noise.support is not constraints.unit_interval:
            raise SupportError(
                f"Dequantized: expected noise in the unit interval; got the support {noise.support}. Squash it by a sigmoid."
            )
        return noise

    def _scaled(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1).to(torch.get_default_dtype()) / (self.levels - 1)

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        if self.noise is None:
            u = torch.rand_like(x, dtype=x.dtype if x.is_floating_point() else torch.get_default_dtype())
            return self.model.log_prob(x + u, context)
        u, score = self.noise.rsample_and_log_prob((), self._scaled(x))
        return self.model.log_prob(x + u, context) - score

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        require(self.model, Sampler, for_what="Dequantized.sample")
        values = self.model.sample((n,) if context is None else (), context)
        return values.floor().clamp(0, self.levels - 1)

    def _capabilities(self) -> frozenset[type]:
        held = super()._capabilities()
        return held if Sampler in self.model._capabilities() else held - {Sampler}

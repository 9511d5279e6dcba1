"""Discrete values as cells of a continuous model."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import BoundedLikelihood, Reparameterized, require
from probgen.claims import LowerBound
from probgen.compose.cells import Cells, Placement
from probgen.compose.parts import same_support
from probgen.density import Density
from probgen.errors import ConfigurationError, ShapeError, SupportError
from probgen.latent import LatentVariable
from probgen.pyro_bridge.programs import PLATE, generate, infer
from probgen.sampler import Sampler
from probgen.shapes import count
from probgen.supports import categorical

__all__ = ["Dequantized"]


class Dequantized(nn.Module, LatentVariable, BoundedLikelihood, Sampler):
    r"""A model of levels $x \in \{0, \dots, L - 1\}^D$ whose probabilities are the volumes of cells of a continuous model.

    $$P(x \mid c) = \int_{[0, 1)^D} p(x + u \mid c)\,\mathrm{d}u, \qquad
      \log P(x \mid c) \ge \mathbb{E}_{q(u \mid x)}\left[\log p(x + u \mid c) - \log q(u \mid x)\right]$$

    The noise $q$ is uniform, or a model that learns where in its cell an event should lie, which tightens the bound.
    What the model puts outside all cells is lost, and the bound holds all the same. Wrap the model in `Standardized` to let
    it see values of the size that it likes.

    The position $x + u$ is a latent, which the level follows from, so whatever trains and judges a `LatentVariable` does
    so here: `ELBO` maximises the bound above, which with uniform noise is maximum likelihood of dequantised data, and `IWAE`
    a tighter one. `evaluate` gives the bound and IS-k.

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

    particles: Literal["fold", "plate", "loop"] = "plate"
    batch_plate = PLATE
    inference = ("noise.*",)

    def __init__(self, model: Any, *, levels: int, noise: Any = None) -> None:
        super().__init__()
        self.continuous: Any = as_model(model)
        require(self.continuous, Density, for_what="Dequantized")
        if not same_support(self.continuous.support, constraints.real):
            raise SupportError(
                f"Dequantized: expected a model of real values; got the support {self.continuous.support}. Choose another."
            )
        if levels < 2:
            raise ConfigurationError(f"Dequantized: expected at least 2 levels; got {levels}. A constant needs no model.")
        self.levels = levels
        self.event_shape, self.context_shape = self.continuous.event_shape, self.continuous.context_shape
        self.support = constraints.boolean if levels == 2 else categorical(levels)
        self.noise = noise if noise is None else self._checked(noise)
        self._cells = Cells(self.event_shape, levels=levels)
        self._placement = Placement(self.event_shape, levels=levels, noise=self.noise)

    @property
    def bound_claim(self) -> LowerBound:
        """A draw of the bound."""
        return LowerBound("log_prob")

    def initialize(self, batch: Batch) -> None:
        """Let the model prepare itself for dequantised events, and the noise for uniform ones."""
        u = torch.rand_like(batch.x, dtype=torch.get_default_dtype())
        self.continuous.initialize(Batch(batch.x + u, context=batch.context))
        if self.noise is not None:
            self.noise.initialize(Batch(u, context=self._placement.scaled(batch.x)))

    def model(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw a position from the continuous model and observe the level whose cell it lies in."""
        generate(self.continuous, self._cells, x, lambda position: position, context)

    def guide(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw a position in the cell of the event."""
        infer(self._placement, x)

    def _checked(self, noise: Any) -> Any:
        require(noise, Density, Reparameterized, for_what="Dequantized (noise)")
        wanted = torch.Size([count(self.event_shape)])
        if noise.event_shape != self.event_shape or noise.context_shape != wanted:
            raise ShapeError(
                f"Dequantized: expected noise of events {tuple(self.event_shape)} given contexts {tuple(wanted)}; got "
                f"{tuple(noise.event_shape)} given {noise.context_shape and tuple(noise.context_shape)}. Build it so."
            )
        if not same_support(noise.support, constraints.unit_interval):
            raise SupportError(
                f"Dequantized: expected noise in the unit interval; got the support {noise.support}. Squash it by a sigmoid."
            )
        return noise

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        position, score = self._placement.rsample_and_log_prob((), x)
        return self.continuous.log_prob(position, context) - score

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        require(self.continuous, Sampler, for_what="Dequantized.sample")
        return self._cells.holding(self.continuous.sample((n,) if context is None else (), context))

    def _capabilities(self) -> frozenset[type]:
        held = super()._capabilities()
        return held if Sampler in self.continuous._capabilities() else held - {Sampler}

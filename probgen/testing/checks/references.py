r"""Simple laws to hold a sampler and a density against where neither sums nor integrals can be had.

For any law $r$ that can be drawn from and scored, and a sampler that follows the density $p$,

$$\mathbb{E}_{x \sim p}\left[\frac{r(x)}{p(x) + r(x)}\right] = \mathbb{E}_{y \sim r}\left[\frac{p(y)}{p(y) + r(y)}\right]$$

since both sides are $\int p r / (p + r)$. The quantities are bounded, need no gradient, and work on every support; the
nearer $r$ is to $p$, the more they see.

References: Gutmann & Hyvärinen (2012). Noise-contrastive estimation of unnormalized statistical models.
"""

from __future__ import annotations

import abc
import math
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Transform, biject_to, constraints

from probgen.errors import SupportError
from probgen.supports import levels
from probgen.testing.checks.inputs import entry_of
from probgen.testing.trial import NotApplicable

__all__ = ["Reference", "references_near"]

_STRETCHES = (0.7, 1.0, 1.5)
_SHIFT = 0.7
_SMOOTHING = 0.02


class Reference(abc.ABC):
    """A law over events that is easy to draw from and to score."""

    @abc.abstractmethod
    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        """Return `n` draws, `(n, *event_shape)`."""

    @abc.abstractmethod
    def log_prob(self, x: Tensor) -> Tensor:
        """Return the logarithm of the density or mass of each event, `(n,)`."""


def references_near(model: Any, pilot: Tensor, generator: torch.Generator) -> list[Reference]:
    """Return laws on the support of `model` near some of its draws, `(m, *event_shape)`.

    Raises:
        NotApplicable: no simple law is known on this support.
    """
    entry = entry_of(model.support)
    if not entry.is_discrete:
        return _normals(entry, pilot, generator)
    try:
        choices = levels(model.support)
    except SupportError:
        choices = None
    if choices is None and isinstance(entry, type(constraints.nonnegative_integer)):
        choices = int(pilot.max()) + 1
    if choices is None:
        raise NotApplicable(f"there is no simple law on {model.support} to compare with")
    return _tables(choices, pilot, generator)


class _MappedNormal(Reference):
    """A normal variable that a bijection takes to the support."""

    def __init__(self, transform: Transform, shape: torch.Size, mean: Tensor, factor: Tensor) -> None:
        self._transform = transform
        self._shape = shape
        self._normal = torch.distributions.MultivariateNormal(mean, scale_tril=factor, validate_args=False)
        self._mean, self._factor = mean, factor

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        noise = torch.randn(n, len(self._mean), generator=generator, dtype=self._mean.dtype)
        real = (self._mean + noise @ self._factor.T).reshape(n, *self._shape)
        return self._transform(real)  # pyright: ignore[reportReturnType]

    def log_prob(self, x: Tensor) -> Tensor:
        real: Tensor = self._transform.inv(x)  # pyright: ignore[reportAssignmentType]
        stretch: Tensor = self._transform.log_abs_det_jacobian(real, x)  # pyright: ignore[reportAssignmentType]
        return self._normal.log_prob(real.reshape(len(x), -1)) - stretch.reshape(len(x), -1).sum(1)


def _normals(entry: constraints.Constraint, pilot: Tensor, generator: torch.Generator) -> list[Reference]:
    try:
        transform = biject_to(entry)
    except NotImplementedError as error:
        raise NotApplicable(f"there is no simple law on {entry} to compare with") from error
    mapped: Tensor = transform.inv(pilot.to(torch.float64))  # pyright: ignore[reportAssignmentType]
    real = mapped.reshape(len(pilot), -1)
    if not real.isfinite().all():
        raise NotApplicable(f"some of its draws lie at the ends of {entry}")
    mean, deviations = real.mean(0), real - real.mean(0)
    covariance = deviations.T @ deviations / len(real)
    covariance += 1e-3 * torch.diag(covariance.diagonal().clamp(min=1e-12))
    factor = torch.linalg.cholesky(covariance)
    places = [(mean, stretch * factor) for stretch in _STRETCHES]
    for _ in range(2):
        along = torch.randn(len(mean), generator=generator, dtype=mean.dtype)
        places.append((mean + _SHIFT * factor @ (along / along.norm()), factor))
    return [_MappedNormal(transform, mapped.shape[1:], *place) for place in places]


class _Tables(Reference):
    """A mixture of laws of independent entries.

    Args:
        shape: Of an event.
        tables: Probabilities of the values of each entry, `(parts, entries, values)`; the parts are equally probable.
    """

    def __init__(self, shape: torch.Size, tables: Tensor) -> None:
        self._shape, self._tables = shape, tables

    def draw(self, n: int, generator: torch.Generator) -> Tensor:
        parts, _, values = self._tables.shape
        chosen = self._tables[torch.randint(parts, (n,), generator=generator)]
        drawn = torch.multinomial(chosen.reshape(-1, values), 1, generator=generator)
        return drawn.reshape(n, *self._shape).to(torch.float64)

    def log_prob(self, x: Tensor) -> Tensor:
        parts, entries, values = self._tables.shape
        index = x.reshape(len(x), 1, entries, 1).long()
        known = index.clamp(0, values - 1)
        scores = self._tables.log().expand(len(x), -1, -1, -1).gather(3, known.expand(-1, parts, -1, -1))
        scores = scores.masked_fill(index != known, -math.inf)
        return scores.sum((2, 3)).logsumexp(1) - math.log(parts)


def _tables(choices: int, pilot: Tensor, generator: torch.Generator) -> list[Reference]:
    """Return the pilot's marginals, those mixed with uniform ones, and mixtures of the marginals of two halves of it."""
    flat = pilot.reshape(len(pilot), -1).long()
    indicators = torch.nn.functional.one_hot(flat, choices).to(torch.float64)

    def marginals(part: Tensor) -> Tensor:
        return (1 - _SMOOTHING) * part.mean(0) + _SMOOTHING / choices

    whole = marginals(indicators)
    tables = [whole[None], (0.5 * whole + 0.5 / choices)[None]]
    for _ in range(3):
        feature = flat.to(torch.float64) @ torch.randn(flat.shape[1], generator=generator, dtype=torch.float64)
        above = feature > feature.median()
        if above.any():
            tables.append(torch.stack([marginals(indicators[above]), marginals(indicators[~above])]))
    return [_Tables(pilot.shape[1:], table) for table in tables]

"""Does a sampler draw from the density that it is said to draw from?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.adapters import as_model
from probgen.capabilities import Enumerable, capabilities, require
from probgen.density import Density
from probgen.errors import CapabilityError, SupportError
from probgen.sampler import Sampler
from probgen.shapes import device_of
from probgen.supports import inside, levels
from probgen.testing.cumulative import Cumulative, integrate
from probgen.testing.multinomial import CategoryEvidence
from probgen.testing.seeds import derive_seed
from probgen.testing.sequential import Finding, accumulate
from probgen.testing.verdict import Outcome, Tier, Verdict

__all__ = ["BandEvidence", "assert_samples_match", "decide_samples"]

_LARGEST_ENUMERATION = 4096
_TAIL = 1e-3
_CELLS = 16
_MASS_ERROR = 1e-6
_PILOT = 512
_RARE = 1e-9
"""Events less probable than this are counted together, with what lies outside the support."""


def assert_samples_match(sampler: Any, density: Any, *, name: str = "samples follow the density", **options: Any) -> Verdict:
    """Assert that `sampler` draws from `density`.

    Takes what `decide_samples` takes, and returns its verdict when that is a pass.

    Raises:
        AssertionError: it does not, but for a chance of `alpha`.
        Inconclusive: the draws did not decide.

    Example:
        >>> normal = torch.distributions.Normal
        >>> assert_samples_match(normal(0.0, 1.0), normal(0.0, 1.0), seed=0).outcome
        <Outcome.CONFORMS: 'CONFORMS'>
        >>> assert_samples_match(normal(0.0, 1.2), normal(0.0, 1.0), seed=0)
        Traceback (most recent call last):
        AssertionError: samples follow the density is FALSE: ...
    """
    return decide_samples(sampler, density, name=name, **options).require(name)


def decide_samples(
    sampler: Any,
    density: Any,
    *,
    context: Tensor | None = None,
    alpha: float = 1e-9,
    delta: float = 0.05,
    beta: float = 1e-3,
    max_samples: int = 2_000_000,
    name: str = "samples",
    seed: int | None = None,
) -> Verdict:
    r"""Decide whether `sampler` draws from `density`.

    Events that can be listed are counted. On the line, the probability integral transform $F(x)$ of the draws is tested for
    uniformity in two ways that share `alpha`: by counting it in 16 cells and two extreme ones of probability $10^{-3}$, and
    by the largest deviation of its distribution function (Massart's form of the Dvoretzky-Kiefer-Wolfowitz inequality).

    Args:
        sampler: A `Sampler`, or an object of `torch.distributions` or Pyro.
        density: A `Density`, or such an object: at most 4096 events, or one real entry.
        context: What both are conditioned on, `context_shape`.
        alpha: Probability of `FAILS` for a true claim.
        delta: The distance that a pass excludes: in total variation of the cells, and between distribution functions.
        beta: Probability of `CONFORMS` although one of these distances is `delta` or more.
        max_samples: Draws until the answer is that there is none; at least 1000.
        name: What is checked, for the seed.
        seed: Of the draws; by default derived from the session's entropy and `name`.

    Raises:
        CapabilityError: one of the two lacks its capability, or the events are neither few nor on a line.

    References:
        Massart (1990). The tight constant in the Dvoretzky-Kiefer-Wolfowitz inequality.
    """
    sampler, density = as_model(sampler), as_model(density)
    require(sampler, Sampler, for_what="decide_samples")
    require(density, Density, for_what="decide_samples")
    seed = derive_seed(name) if seed is None else seed

    def draw(n: int, call_seed: int) -> Tensor:
        generator = torch.Generator(device_of(sampler)).manual_seed(call_seed)
        return sampler.sample((n,), context, generator=generator).reshape(n, -1).cpu()

    rates = {"alpha": alpha, "beta": beta, "delta": delta, "max_samples": max_samples, "seed": seed}
    events = _events(density)
    if events is not None:
        return _decide_events(draw, density, events, context, rates)
    if math.prod(density.event_shape) == 1 and not density.support.is_discrete:
        return _decide_line(draw, density, context, rates)
    raise CapabilityError(
        f"decide_samples: expected at most {_LARGEST_ENUMERATION} events or a single real entry; got event_shape "
        f"{tuple(density.event_shape)} on {density.support}. Test an identity of expectations with decide_mean."
    )


class BandEvidence:
    """Evidence from the largest distance between the distribution function of the draws and the uniform one."""

    distance = "Kolmogorov distance"

    def __init__(self) -> None:
        self._sorted = np.zeros(0)

    def update(self, draws: np.ndarray) -> None:
        """Take further values in [0, 1] into account, `(n,)`."""
        self._sorted = np.sort(np.concatenate([self._sorted, draws]), kind="stable")

    def refutation(self, *, level: float, looks: int) -> Finding | None:
        """Return the place where the two are farthest apart once that is more than chance allows."""
        distance, place = self._farthest()
        if distance <= self._radius(level / looks):
            return None
        where = f"quantile {place:.3g}"
        return Finding(distance, where, f"the distribution functions are {distance:.3g} apart at the claimed {where}")

    def bound(self, *, level: float, looks: int) -> float:
        """Return a bound on the distance."""
        return self._farthest()[0] + self._radius(level / looks)

    def _farthest(self) -> tuple[float, float]:
        n = len(self._sorted)
        above, below = np.arange(1, n + 1) / n - self._sorted, self._sorted - np.arange(n) / n
        gap = np.maximum(above, below)
        return float(gap.max()), float(self._sorted[gap.argmax()])

    def _radius(self, level: float) -> float:
        return math.sqrt(math.log(2 / level) / (2 * len(self._sorted)))


class _LineEvidence:
    """Evidence from the cells that values in [0, 1] fall into."""

    distance = CategoryEvidence.distance

    def __init__(self) -> None:
        inner = np.linspace(_TAIL, 1 - _TAIL, _CELLS + 1)
        self._edges = np.concatenate([[0.0], inner, [1.0]])
        self._cells = CategoryEvidence(np.diff(self._edges), self._name)

    def update(self, draws: np.ndarray) -> None:
        """Count further values, `(n,)`."""
        self._cells.update(np.searchsorted(self._edges[1:-1], draws, side="right"))

    def refutation(self, *, level: float, looks: int) -> Finding | None:
        """Return the cell that is farthest off, if the counts refute the claim."""
        return self._cells.refutation(level=level, looks=looks)

    def bound(self, *, level: float, looks: int) -> float:
        """Return a bound on the total variation over the cells."""
        return self._cells.bound(level=level, looks=looks)

    def _name(self, index: int) -> str:
        return f"the range between quantiles {self._edges[index]:.3g} and {self._edges[index + 1]:.3g}"


def _events(density: Any) -> Tensor | None:
    """Return every event, flattened, `(S, D)`; None if they are too many or a continuum."""
    if Enumerable in capabilities(density):
        events = density.enumerate_support()
        return events.reshape(len(events), -1)
    entries = math.prod(density.event_shape)
    if isinstance(density.support, type(constraints.nonnegative_integer)) and entries == 1:
        return torch.arange(float(_LARGEST_ENUMERATION))[:, None]  # mass beyond shows as a sum below 1
    try:
        choices = levels(density.support)
    except SupportError:
        return None
    if choices**entries > _LARGEST_ENUMERATION:
        return None
    return torch.cartesian_prod(*[torch.arange(float(choices))] * entries).reshape(-1, entries)


def _decide_events(
    draw: Callable[[int, int], Tensor], density: Any, events: Tensor, context: Tensor | None, rates: dict[str, Any]
) -> Verdict:
    with torch.no_grad():
        scores = density.log_prob(events.reshape(-1, *density.event_shape), context)
    probabilities = scores.to(torch.float64).exp().cpu().numpy()
    if abs(probabilities.sum() - 1) > _MASS_ERROR:
        return _not_normalised(float(probabilities.sum()), rates)
    likely = np.flatnonzero(probabilities >= _RARE)
    keys, order = np.unique(_keys(events[likely]), return_index=True)

    def categories(n: int, seed: int) -> np.ndarray:
        drawn = _keys(draw(n, seed))
        place = np.searchsorted(keys, drawn).clip(max=len(keys) - 1)
        return np.where(keys[place] == drawn, order[place], len(likely))

    law = np.append(probabilities[likely], np.delete(probabilities, likely).sum())
    evidence = CategoryEvidence(
        law / law.sum(),
        lambda index: f"event {events[likely[index]].tolist()}" if index < len(likely) else "an event outside the support",
    )
    return accumulate(categories, [evidence], **rates)


def _keys(events: Tensor) -> np.ndarray:
    """Return one comparable number for each row: its bytes."""
    rows = np.ascontiguousarray(events.to("cpu", torch.float64).numpy() + 0.0)  # -0.0 becomes 0.0
    return rows.view(np.dtype((np.bytes_, rows.itemsize * rows.shape[1]))).reshape(-1)


def _decide_line(draw: Callable[[int, int], Tensor], density: Any, context: Tensor | None, rates: dict[str, Any]) -> Verdict:
    pilot = draw(_PILOT, derive_seed("pilot", entropy=rates["seed"])).to(torch.float64).reshape(-1).numpy()
    finite = pilot[np.isfinite(pilot)]
    near = np.quantile(finite, np.linspace(0, 1, 33)) if len(finite) else None
    cumulative = _cumulative(density, context, near)
    if abs(cumulative.mass - 1) > max(_MASS_ERROR, 100 * torch.finfo(_dtype(density)).eps):
        return _not_normalised(cumulative.mass, rates)

    def transformed(n: int, seed: int) -> np.ndarray:
        values = draw(n, seed).reshape(n, *density.event_shape)
        possible = inside(density.support, values, len(density.event_shape)) & values.isfinite().reshape(n, -1).all(-1)
        uniform = cumulative(values.to(torch.float64).reshape(-1).nan_to_num().cpu().numpy())
        return np.where(possible.cpu().numpy(), uniform, np.nan)

    def outside(uniform: np.ndarray) -> Finding | None:
        if not np.isnan(uniform).any():
            return None
        return Finding(1.0, "outside the support", f"a draw is not finite or lies outside {density.support}")

    return accumulate(transformed, [_LineEvidence(), BandEvidence()], ill_formed=outside, **rates)


def _cumulative(density: Any, context: Tensor | None, near: np.ndarray | None) -> Cumulative:
    dtype = _dtype(density)

    def values(points: np.ndarray) -> np.ndarray:
        x = torch.as_tensor(points, dtype=dtype).reshape(-1, *density.event_shape)
        with torch.no_grad():
            return density.log_prob(x, context).exp().to(torch.float64).cpu().numpy()

    return integrate(values, *_ends(density.support), near=near, precision=torch.finfo(dtype).eps)


def _dtype(density: Any) -> torch.dtype:
    """Return the precision that the density computes in."""
    tensors = density.parameters() if isinstance(density, nn.Module) else ()
    return next((tensor.dtype for tensor in tensors if tensor.is_floating_point()), torch.float64)


def _ends(support: Any) -> tuple[float, float]:
    """Return the ends of an interval."""
    while isinstance(support, type(constraints.independent(constraints.real, 1))):
        support = support.base_constraint
    low, high = getattr(support, "lower_bound", -math.inf), getattr(support, "upper_bound", math.inf)
    return float(low), float(high)


def _not_normalised(mass: float, rates: dict[str, Any]) -> Verdict:
    reason = f"the density sums to {mass:.9g} instead of 1, so there is no law to compare with"
    return Verdict(Outcome.INCONCLUSIVE, 0, rates["alpha"], math.inf, None, None, Tier.EXACT, reason, rates["seed"])

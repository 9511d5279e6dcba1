r"""Is the mean of a distribution what it is claimed to be? A sequential answer with stated error rates.

Draws are screened at growing sample sizes, at a level that is easily verified ($10^{-3}$). A suspicion names a direction,
and is confirmed twice on fresh draws along it before the claim is called false. Levels multiply: with at most 8 suspicions

$$\alpha = 10^{-3} \cdot 8 \cdot (3.5 \cdot 10^{-4})^2 = 10^{-9}$$

and what the confirmations find is free of the bias that searching for the largest deviation brings. A claim conforms when a
bias of $\Delta$ or more is excluded with confidence $1 - \beta$. When neither is reached, the answer is that there is none.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from probgen.errors import ConfigurationError, ShapeError
from probgen.testing.drawing import Drawn, Source
from probgen.testing.law import FiniteLaw
from probgen.testing.screen import Question, certified, screened, t_ratio
from probgen.testing.seeds import derive_seed
from probgen.testing.sums import Sums
from probgen.testing.verdict import Outcome, Tier, Verdict

__all__ = ["Levels", "assert_mean", "decide_mean", "look_sizes"]

_ATTEMPTS = 8
_FIRST_LOOK = 1000
_GROWTH = 1.5
_CONFIRMATION = 3
"""A confirmation takes this many times the draws that raised the suspicion."""


@dataclasses.dataclass(frozen=True)
class Levels:
    """How a false-alarm rate is divided among the rungs.

    Args:
        alpha: The whole: probability of refuting a true claim.

    Example:
        >>> levels = Levels(1e-9)
        >>> levels.screen, round(levels.confirmation, 6)
        (0.001, 0.000354)
    """

    alpha: float

    @property
    def screen(self) -> float:
        """Probability that a true claim is ever suspected; more than a thousandth only where `alpha` is above 1e-6."""
        return max(1e-3, math.sqrt(self.alpha))

    @property
    def confirmation(self) -> float:
        """Level of each of the two confirmations of a suspicion."""
        return math.sqrt(self.alpha / (_ATTEMPTS * self.screen))


def look_sizes(max_samples: int) -> list[int]:
    """Return how many draws there are in all at each look, from 1000 on by factors of 1.5.

    Example:
        >>> look_sizes(4000)
        [1000, 1500, 2250, 3375]
    """
    sizes = [_FIRST_LOOK]
    while (larger := math.ceil(_GROWTH * sizes[-1])) <= max_samples:
        sizes.append(larger)
    return sizes


def assert_mean(
    draw: Callable[[int, int], Any] | FiniteLaw,
    target: Any,
    *,
    delta: float,
    side: int = 0,
    alpha: float = 1e-9,
    beta: float = 1e-3,
    max_samples: int = 10_000_000,
    name: str = "mean",
    **options: Any,
) -> Verdict:
    """Assert that draws have the mean `target`, or lie on the claimed side of it.

    Takes what `decide_mean` takes, and returns its verdict when that is a pass.

    Raises:
        AssertionError: the claim is false, but for a chance of `alpha`.
        Inconclusive: `max_samples` draws did not decide.

    Example:
        >>> import torch
        >>> def draw(n, seed):
        ...     return torch.randn(n, 2, generator=torch.Generator().manual_seed(seed)) + 1
        >>> assert_mean(draw, [1.0, 1.0], delta=0.1, seed=0).samples
        2250
        >>> assert_mean(draw, [1.0, 0.8], delta=0.1, seed=0)
        Traceback (most recent call last):
        AssertionError: mean is FALSE: ...
    """
    verdict = decide_mean(
        draw, target, delta=delta, side=side, alpha=alpha, beta=beta, max_samples=max_samples, name=name, **options
    )
    return verdict.require(name)


def decide_mean(
    draw: Callable[[int, int], Any] | FiniteLaw,
    target: Any,
    *,
    delta: float,
    side: int = 0,
    alpha: float = 1e-9,
    beta: float = 1e-3,
    max_samples: int = 10_000_000,
    name: str = "mean",
    blocks: Mapping[str, slice] | None = None,
    by_block: bool = False,
    p_min: float = 1e-4,
    skewness: Any = None,
    seed: int | None = None,
) -> Verdict:
    """Decide whether draws have the mean `target`, or lie on the claimed side of it.

    Args:
        draw: `draw(n, seed)` returns `n` independent draws, `(n, d)` or, for a scalar, `(n,)`, that depend on `seed` alone.
            A `FiniteLaw` draws faster.
        target: The claimed mean, `(d,)` or a number.
        delta: The relative bias that a pass excludes: the norm of the bias over that of the target (over 1e-3 where the
            target is smaller). With a `side`, coordinate by coordinate.
        side: 0: the mean is the target. +1: no coordinate of it lies above (the target is an upper bound). -1: none below.
        alpha: Probability of `FAILS` for a true claim.
        beta: Probability of `CONFORMS` although the bias is `delta` or more.
        max_samples: Draws for the screen, at least 1000; each confirmation takes three times what the screen has taken.
        name: What is checked, for the seed and the message.
        blocks: Groups of coordinates, by name, whose means are screened together as well.
        by_block: A pass bounds the bias of each block relative to its own size too.
        p_min: The smallest probability of an outcome that the draws may not have shown, from `Moments.p_min` where it is
            known. Draws without spread say nothing about rarer outcomes.
        skewness: The draws' skewness, `(d,)`, from `Moments.skewness` where it is known; else it is estimated.
        seed: Of the draws; by default derived from the session's entropy and `name`.

    Raises:
        ConfigurationError: an option is out of range.
        ShapeError: draws, target or blocks do not fit each other.

    References:
        Gandy & Scott (2020), arXiv:2001.06465, for multiplying levels over fresh samples.
    """
    target = np.atleast_1d(np.asarray(target, dtype=float))
    _check_options(target, delta=delta, side=side, alpha=alpha, beta=beta, max_samples=max_samples, p_min=p_min)
    names = {**(blocks or {}), "the whole vector": slice(0, len(target))}
    seed = derive_seed(name) if seed is None else seed
    source = draw.source(target, seed=seed) if isinstance(draw, FiniteLaw) else Drawn(draw, target, seed=seed)
    climb = _Climb(
        source=source,
        names=names,
        delta=delta,
        levels=Levels(alpha),
        beta=beta,
        looks=look_sizes(max_samples),
        by_block=by_block,
        p_min=p_min,
        side=side,
        skewness=None if skewness is None else np.atleast_1d(np.asarray(skewness, dtype=float)),
    )
    return climb.run()


@dataclasses.dataclass
class _Climb:
    """One run of the ladder."""

    source: Source
    names: Mapping[str, slice]
    delta: float
    levels: Levels
    beta: float
    looks: list[int]
    by_block: bool
    p_min: float
    side: int
    skewness: np.ndarray | None

    def run(self) -> Verdict:
        sums: Sums | None = None
        attempts, bound = _ATTEMPTS, math.inf
        for size in self.looks:
            fresh = self.source.sums(size - (sums.n if sums else 0))
            if fresh is None:
                return self._fails(None, None, "a draw is not finite")
            sums = fresh if sums is None else sums + fresh
            question = self._question()
            if verdict := self._without_spread(sums, question):
                return verdict
            reading = screened(sums, question, level=self.levels.screen, looks=len(self.looks))
            if reading.excess > 1 and attempts:
                attempts -= 1
                if verdict := self._confirmed(sums.n, reading.direction, int(reading.place), question):
                    return verdict
            bound = self._bound(sums, question)
            if bound <= self.delta:
                return self._verdict(Outcome.CONFORMS, bound, None, None, f"a relative bias above {bound:.2g} is excluded")
        reason = f"{self.looks[-1]} draws exclude a relative bias above {bound:.2g}, not {self.delta:.2g}"
        return self._verdict(Outcome.INCONCLUSIVE, bound, None, None, reason)

    def _question(self) -> Question:
        return Question(
            target=self.source.target,
            blocks=tuple(self.names.values()),
            side=self.side,
            resolution=self.source.resolution,
            skewness=self.skewness,
        )

    def _bound(self, sums: Sums, question: Question) -> float:
        """Return the relative bias that is not excluded yet."""
        settled = sums.n >= math.log(1 / self.beta) / self.p_min
        constant = ~question.varies(sums) & (np.abs(sums.mean + question.target) > 0)
        if constant.any() and not settled:
            return math.inf  # a rare outcome may have stayed unseen where all draws are alike
        return float(certified(sums, question, level=self.beta, looks=len(self.looks), by_block=self.by_block))

    def _without_spread(self, sums: Sums, question: Question) -> Verdict | None:
        """Fail if a coordinate is always the same and wrong, once an unseen outcome is too improbable to explain it."""
        wrong = question.side * sums.mean if question.side else np.abs(sums.mean)
        constant = ~question.varies(sums) & (wrong > question.resolution * question.scale)
        if not constant.any() or sums.n < math.log(len(question.target) / self.levels.alpha) / self.p_min:
            return None
        worst = int(np.where(constant, wrong, 0.0).argmax())
        value = float((sums.mean + question.target)[worst])
        reason = f"all draws of it are {value:.6g} instead of {question.target[worst]:.6g}"
        return self._fails(float(wrong[worst]) / question.scale, self._place(worst), reason)

    def _confirmed(self, n: int, direction: np.ndarray, place: int, question: Question) -> Verdict | None:
        """Draw afresh, twice, along the direction of a suspicion; fail if both agree with it."""
        found: list[float] = []
        for _ in range(2):
            fresh = self.source.projected(_CONFIRMATION * n, direction)
            if fresh is None:
                return self._fails(None, None, "a draw is not finite")
            if not t_ratio(fresh, level=self.levels.confirmation) > 1:
                return None
            found.append(float(fresh.mean[0]))
        bias = sum(found) / len(found) / question.scale
        where = self._place(place)
        return self._fails(bias, where, f"the mean is off by {bias:.2%} of the target's size along {where}")

    def _place(self, place: int) -> str:
        """Return the name of a coordinate or of a block."""
        features = len(self.source.target)
        if place >= features:
            return list(self.names)[place - features]
        for name, block in self.names.items():
            if block.start <= place < block.stop and len(self.names) > 1:
                return f"{name}[{place - block.start}]"
        return f"coordinate {place}"

    def _fails(self, bias: float | None, direction: str | None, reason: str) -> Verdict:
        return self._verdict(Outcome.FAILS, math.inf, bias, direction, reason)

    def _verdict(self, outcome: Outcome, bound: float, bias: float | None, direction: str | None, reason: str) -> Verdict:
        return Verdict(
            outcome=outcome,
            samples=self.source.samples,
            level=self.levels.alpha,
            detectable=bound,
            bias=bias,
            direction=direction,
            tier=Tier.LADDER,
            reason=reason,
            seed=self.source.seed,
        )


def _check_options(
    target: np.ndarray, *, delta: float, side: int, alpha: float, beta: float, max_samples: int, p_min: float
) -> None:
    if target.ndim != 1 or not np.isfinite(target).all():
        raise ShapeError(f"decide_mean: expected a finite target (d,); got one of shape {target.shape}. Flatten it.")
    rates = {"alpha": (alpha, 0.05), "beta": (beta, 0.5), "p_min": (p_min, 1.0)}
    for name, (value, largest) in rates.items():
        if not 0 < value <= largest:
            raise ConfigurationError(f"decide_mean: expected {name} in (0, {largest}]; got {value}. It is a probability.")
    if not delta > 0:
        raise ConfigurationError(f"decide_mean: expected delta above 0; got {delta}. No sample shows that a bias is 0.")
    if side not in (-1, 0, 1):
        raise ConfigurationError(f"decide_mean: expected side -1, 0 or 1; got {side}. Use 0 for equality.")
    if max_samples < _FIRST_LOOK:
        raise ConfigurationError(
            f"decide_mean: expected max_samples of at least {_FIRST_LOOK}; got {max_samples}. Raise it."
        )

"""One run of a check: how hard it looks, where its randomness comes from, and how it words what it finds."""

from __future__ import annotations

import dataclasses
import enum
import math
from typing import TYPE_CHECKING

from probgen.testing.seeds import derive_seed
from probgen.testing.verdict import Outcome, Tier, Verdict

if TYPE_CHECKING:
    from probgen.testing.problem import Problem

__all__ = ["Judgement", "Level", "NotApplicable", "Trial", "conforms", "exactly", "fails", "undecided"]


class Level(enum.StrEnum):
    """How hard a check looks.

    Exact checks are the same at every level. Statistical ones exclude a relative bias, or a distance, of 20 %, 5 % or 1 %;
    whatever the level, a right subject is called wrong with probability 1e-9 a judgement at most.
    """

    QUICK = "quick"
    STANDARD = "standard"
    THOROUGH = "thorough"

    @property
    def delta(self) -> float:
        """The relative bias that a statistical pass excludes."""
        return {Level.QUICK: 0.2, Level.STANDARD: 0.05, Level.THOROUGH: 0.01}[self]

    @property
    def max_samples(self) -> int:
        """How many draws a statistical judgement may screen."""
        return {Level.QUICK: 200_000, Level.STANDARD: 2_000_000, Level.THOROUGH: 40_000_000}[self]


class NotApplicable(Exception):  # no error: a check says that it has nothing to say
    """A check does not concern this subject, for the reason given; it is then neither a pass nor a failure."""


@dataclasses.dataclass(frozen=True)
class Judgement:
    """One claim that a check looked at, and what became of it.

    Args:
        claim: In words: `"value unbiased for elbo, on sigmoid-belief-net"`.
        verdict: Whether it holds.
    """

    claim: str
    verdict: Verdict


@dataclasses.dataclass(frozen=True)
class Trial:
    """The circumstances of a check.

    Args:
        check: The check's name.
        subject: The subject's name.
        level: How hard to look.
        entropy: From which all seeds follow; None for the session's.
        problems: Problems to hold an estimator against, besides the kit's own.

    Example:
        >>> Trial("normalised", "acme/rocket", Level.QUICK, entropy=3).seed("first") == derive_seed(
        ...     "normalised", "acme/rocket", "first", entropy=3
        ... )
        True
    """

    check: str
    subject: str
    level: Level = Level.QUICK
    entropy: int | None = None
    problems: tuple[Problem, ...] = ()

    def seed(self, *parts: object) -> int:
        """Return the seed of the draws that `parts` describe."""
        return derive_seed(self.check, self.subject, *parts, entropy=self.entropy)


def conforms(reason: str, *, detectable: float = 0.0, samples: int = 0) -> Verdict:
    """Return a pass that nothing was left to chance in; a deviation above `detectable` would have been seen."""
    return Verdict(Outcome.CONFORMS, samples, 0.0, detectable, None, None, Tier.EXACT, reason)


def fails(reason: str, *, bias: float | None = None, where: str | None = None, samples: int = 0) -> Verdict:
    """Return a failure that no chance can explain."""
    return Verdict(Outcome.FAILS, samples, 0.0, math.inf, bias, where, Tier.EXACT, reason)


def undecided(reason: str) -> Verdict:
    """Return the answer that there is none: the check could not look."""
    return Verdict(Outcome.INCONCLUSIVE, 0, 0.0, math.inf, None, None, Tier.EXACT, reason)


def exactly(deviation: float, what: str, *, tolerance: float, samples: int = 0, where: str | None = None) -> Verdict:
    """Return a pass where `deviation`, found without chance, is at most `tolerance`, and a failure where it is not.

    Example:
        >>> exactly(3e-16, "the masses sum to one", tolerance=1e-9).outcome
        <Outcome.CONFORMS: 'CONFORMS'>
        >>> print(exactly(0.2, "the masses sum to one", tolerance=1e-9).reason)
        expected that the masses sum to one to 1e-09; off by 0.2
    """
    if deviation <= tolerance:  # not so for NaN
        return conforms(f"{what} (off by {deviation:.1e})", detectable=tolerance, samples=samples)
    return fails(
        f"expected that {what} to {tolerance:.0e}; off by {deviation:.2g}", bias=deviation, where=where, samples=samples
    )

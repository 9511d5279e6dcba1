"""What a check says."""

from __future__ import annotations

import dataclasses
import enum

from probgen.testing.failures import Inconclusive

__all__ = ["Outcome", "Tier", "Verdict"]


class Outcome(enum.StrEnum):
    """Whether a claim holds. Only `CONFORMS` is a pass."""

    CONFORMS = "CONFORMS"
    FAILS = "FAILS"
    INCONCLUSIVE = "INCONCLUSIVE"


class Tier(enum.StrEnum):
    """On what a verdict rests.

    `EXACT`: every outcome was enumerated; no false alarm is possible. `NONASYMPTOTIC`: the false-alarm rate holds for every
    number of draws and every distribution. `LADDER`: it holds for draws with a finite third moment, if there were enough.
    """

    EXACT = "exact"
    NONASYMPTOTIC = "nonasymptotic"
    LADDER = "ladder"


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The answer to one question about one distribution.

    Args:
        outcome: Whether the claim holds.
        samples: How many draws were made; in the exact tier, how many outcomes or quadrature nodes were gone through.
        level: Probability of `FAILS` although the claim holds; 0 where nothing is left to chance.
        detectable: The smallest deviation that `CONFORMS` excludes, with the confidence asked for: a bias relative to the
            target's size, or a distance between distributions. Infinite where nothing can be excluded.
        bias: The deviation found, in the same unit, measured on draws that did not raise the suspicion; None without one.
        direction: Where it was found: a coordinate, a block, a category.
        tier: On what the verdict rests.
        reason: Why, in words.
        seed: What to seed the draws with to see them again; None where there are none.
    """

    outcome: Outcome
    samples: int
    level: float
    detectable: float
    bias: float | None
    direction: str | None
    tier: Tier
    reason: str
    seed: int | None = None

    def __str__(self) -> str:
        chance = "" if self.tier is Tier.EXACT else f" after {self.samples} samples"
        level = "" if self.tier is Tier.EXACT else f", level {self.level:.0e}"
        text = f"{self.outcome}{chance} ({self.tier}{level}): {self.reason}"
        return text if self.seed is None else f"{text} [seed {self.seed}]"

    def require(self, what: str) -> Verdict:
        """Return the verdict if it is a pass.

        Args:
            what: The claim, for the message.

        Raises:
            AssertionError: the claim is refuted.
            Inconclusive: it is neither confirmed nor refuted.
        """
        if self.outcome is Outcome.FAILS:
            raise AssertionError(f"{what} is FALSE: {self}")
        if self.outcome is Outcome.INCONCLUSIVE:
            raise Inconclusive(f"{what} is undecided: {self}. Raise max_samples or delta.")
        return self

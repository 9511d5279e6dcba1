"""A sequential decision about a law, from evidence that accumulates with the draws."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from probgen.errors import ConfigurationError
from probgen.testing.ladder import look_sizes
from probgen.testing.seeds import derive_seed
from probgen.testing.verdict import Outcome, Tier, Verdict

__all__ = ["Evidence", "Finding", "accumulate"]


@dataclasses.dataclass(frozen=True)
class Finding:
    """What refutes a claim: how far off it is, where, and in words."""

    distance: float
    direction: str
    reason: str


class Evidence(Protocol):
    """One way to tell a law from the claimed one. Both of its statements hold at all looks together."""

    distance: str
    """The distance that it measures, in words."""

    def update(self, draws: np.ndarray) -> None:
        """Take further draws into account."""
        ...

    def refutation(self, *, level: float, looks: int) -> Finding | None:
        """Return what refutes the claim, wrongly with probability `level` at any of `looks`; None if nothing does."""
        ...

    def bound(self, *, level: float, looks: int) -> float:
        """Return a bound on the distance, wrong with probability `level` at any of `looks`."""
        ...


def accumulate(
    draw: Callable[[int, int], np.ndarray],
    evidence: Sequence[Evidence],
    *,
    alpha: float,
    beta: float,
    delta: float,
    max_samples: int,
    seed: int,
    ill_formed: Callable[[np.ndarray], Finding | None] = lambda draws: None,
) -> Verdict:
    """Draw until one kind of evidence refutes the claim, or all of them exclude a distance of `delta`.

    Args:
        draw: `draw(n, seed)` returns `n` independent draws.
        evidence: What judges them; `alpha` is divided among its kinds.
        alpha: Probability of `FAILS` for a true claim.
        beta: Probability of `CONFORMS` although a distance is `delta` or more.
        delta: The distance that a pass excludes.
        max_samples: Draws until the answer is that there is none.
        seed: What the draws follow from.
        ill_formed: Says what is wrong with draws that are no possible value at all; one such draw refutes the claim.

    Raises:
        ConfigurationError: a rate or the distance is out of range.
    """
    for name, value in {"alpha": alpha, "beta": beta, "delta": delta}.items():
        if not 0 < value < 1:
            raise ConfigurationError(f"accumulate: expected {name} between 0 and 1; got {value}. Give a fraction.")
    looks = look_sizes(max_samples)
    samples, bound = 0, math.inf

    def verdict(outcome: Outcome, reason: str, found: Finding | None = None) -> Verdict:
        limit = math.inf if found else bound
        distance, direction = (found.distance, found.direction) if found else (None, None)
        return Verdict(outcome, samples, alpha, limit, distance, direction, Tier.NONASYMPTOTIC, reason, seed)

    for number, size in enumerate(looks):
        draws = draw(size - samples, derive_seed("draws", number, entropy=seed))
        samples = size
        if found := ill_formed(draws):
            return verdict(Outcome.FAILS, found.reason, found)
        for part in evidence:
            part.update(draws)
            if found := part.refutation(level=alpha / len(evidence), looks=len(looks)):
                return verdict(Outcome.FAILS, found.reason, found)
        bound = max(part.bound(level=beta, looks=len(looks)) for part in evidence)
        if bound <= delta:
            distances = " or a ".join(part.distance for part in evidence)
            return verdict(Outcome.CONFORMS, f"a {distances} above {bound:.2g} is excluded")
    return verdict(Outcome.INCONCLUSIVE, f"{samples} draws exclude a distance above {bound:.2g}, not {delta:.2g}")

"""What became of a set of checks."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any

from probgen.errors import ProbgenError
from probgen.testing.trial import Judgement
from probgen.testing.verdict import Outcome

__all__ = ["NonConformance", "Report", "Result", "Status"]


class NonConformance(ProbgenError, AssertionError):
    """A subject is not what it claims to be; the message lists what was found."""

    exit_code = 1


class Status(enum.StrEnum):
    """How a check ended. `UNEXPECTED_PASS` is a failure: a waiver that is no longer needed must go."""

    PASSED = "passed"
    FAILED = "failed"
    INCONCLUSIVE = "inconclusive"
    SKIPPED = "skipped"
    EXPECTED_FAILURE = "expected failure"
    UNEXPECTED_PASS = "unexpected pass"


_BAD = (Status.FAILED, Status.UNEXPECTED_PASS)


@dataclasses.dataclass(frozen=True)
class Result:
    """One check of one subject.

    Args:
        check: The check's name.
        subject: The subject's name.
        status: How it ended.
        judgements: What it looked at; empty where it was skipped.
        reason: Why it was skipped, or is expected to fail; else empty.
        seconds: How long it took.
    """

    check: str
    subject: str
    status: Status
    judgements: tuple[Judgement, ...] = ()
    reason: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [f"{self.check} [{self.subject}]: {self.status}" + (f" ({self.reason})" if self.reason else "")]
        lines += [
            f"    {judgement.claim}: {judgement.verdict}"
            for judgement in self.judgements
            if judgement.verdict.outcome is not Outcome.CONFORMS
        ]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """Return the result as JSON takes it; an infinite number becomes None."""
        return {
            "check": self.check,
            "subject": self.subject,
            "status": str(self.status),
            "reason": self.reason,
            "seconds": round(self.seconds, 3),
            "judgements": [_as_dict(judgement) for judgement in self.judgements],
        }


@dataclasses.dataclass(frozen=True)
class Report:
    """The results of a set of checks, in the order in which they ran."""

    results: tuple[Result, ...]

    @property
    def ran(self) -> int:
        """How many checks ran; those that had nothing to say do not count."""
        return sum(result.status is not Status.SKIPPED for result in self.results)

    @property
    def exit_code(self) -> int:
        """0 conformant; 1 not, or nothing was checked; 3 undecided."""
        statuses = {result.status for result in self.results}
        if not self.ran or statuses & set(_BAD):
            return 1
        return 3 if Status.INCONCLUSIVE in statuses else 0

    def require(self) -> Report:
        """Return the report if it is a pass.

        Raises:
            NonConformance: a check failed, was undecided, passed although it is expected to fail, or none ran.
        """
        if self.exit_code:
            raise NonConformance(str(self))
        return self

    def count(self, status: Status) -> int:
        """Return how many checks ended so."""
        return sum(result.status is status for result in self.results)

    def __str__(self) -> str:
        if not self.ran:
            return "0 checks ran: nothing was shown, which counts as a failure."
        tally = ", ".join(f"{self.count(status)} {status}" for status in Status if self.count(status))
        problems = [str(result) for result in self.results if result.status in (*_BAD, Status.INCONCLUSIVE)]
        return "\n".join([f"{self.ran} checks ran: {tally}.", *problems])


def merged(reports: Sequence[Report]) -> Report:
    """Return one report of several."""
    return Report(tuple(result for report in reports for result in report.results))


def _as_dict(judgement: Judgement) -> dict[str, Any]:
    verdict = judgement.verdict
    numbers = {"level": verdict.level, "detectable": verdict.detectable, "bias": verdict.bias}
    return {
        "claim": judgement.claim,
        "outcome": str(verdict.outcome),
        "tier": str(verdict.tier),
        "samples": verdict.samples,
        **{name: number if number is not None and abs(number) < float("inf") else None for name, number in numbers.items()},
        "reason": verdict.reason,
        "seed": verdict.seed,
    }

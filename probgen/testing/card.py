"""Reports as people read them: a table of checks, and a card that a plugin can publish."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from probgen.estimator import Estimator
from probgen.testing.promises import CAPABILITIES, CLAIMS, PLACES, capability_rows, claim_rows, described, place_rows
from probgen.testing.report import Report, Result, Status
from probgen.testing.subjects import Subject
from probgen.testing.trial import Level
from probgen.testing.verdict import Outcome, Tier

__all__ = ["HEADINGS", "card", "rows", "silences"]

HEADINGS = ("check", "of", "verdict", "tier", "draws", "false alarms", "would have caught")
"""What stands in a row: draws and rates of false alarms are summed over all that a check looked at, none where it left
nothing to chance; of the smallest bias that each part would have caught stands the largest."""

_STRENGTH = (Tier.LADDER, Tier.NONASYMPTOTIC, Tier.EXACT)
_NOTHING = "–"


def rows(report: Report) -> list[list[str]]:
    """Return a row of words for each check that ran, under `HEADINGS`."""
    return [_row(result) for result in report.results if result.status is not Status.SKIPPED]


def silences(report: Report) -> dict[tuple[str, str], list[str]]:
    """Return the subjects that a check had nothing to say about, by the check's name and its reason."""
    silent: dict[tuple[str, str], list[str]] = {}
    for result in report.results:
        if result.status is Status.SKIPPED:
            silent.setdefault((result.check, result.reason), []).append(result.subject)
    return silent


def card(
    report: Report,
    *,
    name: str,
    level: Level,
    seed: int,
    versions: Mapping[str, str],
    command: str,
    subjects: Sequence[Subject] = (),
) -> str:
    """Return a page of Markdown that says what is claimed, what was checked, how, what came of it, and what was not checked.

    It holds no date, no time and no path: with the same versions and seed it is the same, byte for byte.

    Args:
        report: What came of the checks.
        name: The registered name.
        level: How hard they looked.
        seed: From which all draws followed.
        versions: Versions by distribution.
        command: What to type to see it again.
        subjects: What was checked; their claims and capabilities stand in the card.
    """
    tally, *findings = str(report).splitlines()
    places = place_rows(report)
    waived = [result for result in report.results if result.status is Status.EXPECTED_FAILURE]
    outcome = {0: "conforms", 3: "is undecided"}.get(report.exit_code, "does not conform")
    lines = [
        f"# Conformance of `{name}`",
        "",
        f"It **{outcome}**. {tally}",
        "",
        f"Checked at level `{level}`, which excludes statistical biases of {level.delta:.0%}, with seed `{seed}`, by",
        ", ".join(f"{distribution} {version}" for distribution, version in versions.items()) + ".",
        "",
        *_promised(subjects),
        *_section("What the claims were held against", _table(PLACES, places) if places else []),
        *_section("What was checked", _table(HEADINGS, rows(report)) if report.ran else []),
        *_section("What was not checked", _silent(report)),
        *_section("Known failures", [f"- {each.check} of {each.subject}: {each.reason}" for each in waived]),
        *_section("Findings", ["```text", *findings, "```"] if findings else []),
    ]
    return "\n".join([*lines, f"To see it again: `{command}`.", ""])


def _promised(subjects: Sequence[Subject]) -> list[str]:
    """Return what each subject promises."""
    lines = []
    for subject in subjects:
        if isinstance(subject.thing, Estimator):
            table = _table(CLAIMS, claim_rows(subject.thing))
            lines += _section("What it claims", [described(subject.thing), "", *table])
    able = capability_rows(subjects)
    return lines + _section("What it claims to be able to do", _table(CAPABILITIES, able) if able else [])


def _silent(report: Report) -> list[str]:
    return [f"- {check} of {', '.join(names)}: {reason}" for (check, reason), names in silences(report).items()]


def _section(heading: str, lines: Sequence[str]) -> list[str]:
    """Return lines under a heading; nothing where there are none."""
    return [f"## {heading}", "", *lines, ""] if lines else []


def _row(result: Result) -> list[str]:
    verdicts = [judgement.verdict for judgement in result.judgements]
    tiers = [tier for tier in _STRENGTH if any(verdict.tier is tier for verdict in verdicts)]
    draws = sum(verdict.samples for verdict in verdicts if verdict.tier is not Tier.EXACT)
    return [
        result.check,
        result.subject,
        str(result.status),
        str(tiers[0]) if tiers else _NOTHING,
        f"{draws:,}" if draws else _NOTHING,
        f"{sum(verdict.level for verdict in verdicts):.0e}" if any(verdict.level for verdict in verdicts) else "none",
        _caught(result),
    ]


def _caught(result: Result) -> str:
    """Return the smallest deviation that a pass excludes; of a failure, the largest that was found."""
    verdicts = [judgement.verdict for judgement in result.judgements]
    if result.status in (Status.PASSED, Status.UNEXPECTED_PASS):
        smallest = max(verdict.detectable for verdict in verdicts)
        return "any" if smallest == 0 else f"{smallest:.2g}" if math.isfinite(smallest) else _NOTHING
    found = [abs(verdict.bias) for verdict in verdicts if verdict.bias is not None and verdict.outcome is Outcome.FAILS]
    return f"found {max(found):.2g}" if found else _NOTHING


def _table(headings: Sequence[str], cells: Sequence[Sequence[str]]) -> list[str]:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in cells]
    return [f"| {' | '.join(row)} |" for row in (headings, ["---"] * len(headings), *escaped)]

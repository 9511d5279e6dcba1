"""Running checks on subjects, with failures that are expected, and never letting a subject's own error pass as a result."""

from __future__ import annotations

import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from probgen.errors import ConfigurationError, suggest
from probgen.streams import preserved_streams
from probgen.testing.check import Check
from probgen.testing.report import Report, Result, Status
from probgen.testing.trial import Judgement, Level, NotApplicable, Trial, fails
from probgen.testing.verdict import Outcome

__all__ = ["run_check", "run_checks", "selected"]


def run_checks(
    subject: Any,
    name: str,
    checks: Sequence[Check],
    *,
    level: Level | str = Level.QUICK,
    entropy: int | None = None,
    expected_failures: Mapping[str, str] | None = None,
) -> Report:
    """Return what became of `checks` on `subject`.

    Args:
        subject: What is checked; it is left as it was.
        name: What to call it.
        checks: Which checks to run.
        level: How hard they look.
        entropy: From which all seeds follow; None for the session's.
        expected_failures: Reasons by the names of checks that this subject is known to fail. One that passes is a failure.
    """
    waived = expected_failures or {}
    return Report(
        tuple(
            run_check(check, subject, name, level=level, entropy=entropy, expected=waived.get(check.name))
            for check in checks
        )
    )


def run_check(
    check: Check,
    subject: Any,
    name: str,
    *,
    level: Level | str = Level.QUICK,
    entropy: int | None = None,
    expected: str | None = None,
) -> Result:
    """Return what became of one check; `expected` is why it is known to fail, where it is.

    Whatever the subject raises while it is looked at is a failure, and is reported as one. The global random streams are
    afterwards where they were.
    """
    started = time.perf_counter()
    trial = Trial(check.name, name, Level(level), entropy)
    reason = expected or ""
    try:
        with preserved_streams():
            judgements = tuple(_judged(check, subject, trial))
        status = _status(judgements)
    except NotApplicable as nothing:
        judgements, status, reason = (), Status.SKIPPED, str(nothing)
    if expected is not None:
        status = {Status.FAILED: Status.EXPECTED_FAILURE, Status.PASSED: Status.UNEXPECTED_PASS}.get(status, status)
    return Result(check.name, name, status, judgements, reason, time.perf_counter() - started)


def selected(checks: Sequence[Check], only: Sequence[str]) -> list[Check]:
    """Return the checks of these names, in the order of `checks`; all of them for no name.

    Raises:
        ConfigurationError: no check has such a name.
    """
    names = [check.name for check in checks]
    for name in only:
        if name not in names:
            raise ConfigurationError(f"check: expected the name of a check; got {name!r}. {suggest(name, names)}")
    return [check for check in checks if not only or check.name in only]


def _judged(check: Check, subject: Any, trial: Trial) -> Iterator[Judgement]:
    try:
        yield from check.run(subject, trial)
    except NotApplicable:
        raise
    except Exception as error:  # noqa: BLE001  # a subject may raise anything, and that is what is reported
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}, in {place.name}"
        yield Judgement(check.about, fails(f"it raised {type(error).__name__} ({where}): {error}"))


def _status(judgements: Sequence[Judgement]) -> Status:
    outcomes = {judgement.verdict.outcome for judgement in judgements}
    if Outcome.FAILS in outcomes:
        return Status.FAILED
    if Outcome.INCONCLUSIVE in outcomes or not outcomes:
        return Status.INCONCLUSIVE
    return Status.PASSED

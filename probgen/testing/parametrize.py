"""Conformance as pytest sees it: one test for each check of each subject."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from probgen.testing.check import Check
from probgen.testing.conformance import ExpectedFailures, as_level, waivers
from probgen.testing.report import NonConformance, Report, Status
from probgen.testing.running import run_check
from probgen.testing.subjects import Subject, subjects_of
from probgen.testing.trial import Level

if TYPE_CHECKING:
    import pytest

__all__ = ["ConformanceTest", "parametrize_with_checks"]


@dataclasses.dataclass(frozen=True, eq=False)
class ConformanceTest:
    """One check of one subject, to be called by a test.

    Args:
        check: The check.
        subject: The subject.
        level: How hard it looks.
        expected: Why it is known to fail; None where it is not.
    """

    check: Check
    subject: Subject
    level: Level
    expected: str | None = None

    def __call__(self) -> None:
        """Run the check; skip the test where it has nothing to say.

        Raises:
            NonConformance: it failed, was undecided, or passed although it is expected to fail.
        """
        import pytest  # only here and below: the rest of the kit needs no test runner

        result = run_check(self.check, self.subject.thing, self.subject.name, level=self.level, expected=self.expected)
        if result.status is Status.SKIPPED:
            pytest.skip(result.reason)
        if result.status is Status.EXPECTED_FAILURE:
            pytest.xfail(result.reason)
        Report((result,)).require()

    def __repr__(self) -> str:
        return f"<{self.check.name} of {self.subject.name}>"


def parametrize_with_checks(
    subjects: Any, *, level: Level | str = Level.QUICK, expected_failures: ExpectedFailures | None = None
) -> pytest.MarkDecorator:
    """Return a mark that runs a test once for each check of each subject.

    A plugin's whole conformance file:

    ```python
    from probgen.testing import parametrize_with_checks

    @parametrize_with_checks(["acme/rocket", "acme-bound"])
    def test_conformance(check):
        check()
    ```

    Args:
        subjects: A list of registered names, specs, models and estimators, or a mapping from names to these.
        level: How hard statistical checks look: `quick`, `standard` or `thorough`.
        expected_failures: Reasons, by name, for the checks that are known to fail, or a function of a subject's name that
            returns them. One that passes is a failure.

    Raises:
        NonConformance: there is nothing to check.
        UnknownNameError: a name is not registered.
        ConfigurationError: a subject is none, or the level or the name of a check is unknown.
    """
    import pytest

    chosen = as_level(level)
    found = subjects_of(subjects)
    known = frozenset[str]().union(*(subject.known for subject in found))
    tests = []
    for subject in found:
        reasons = waivers(expected_failures, subject.name, known)
        for check in subject.checks:
            test = ConformanceTest(check, subject, chosen, reasons.get(check.name))
            tests.append(pytest.param(test, id=f"{subject.name}-{check.name}"))
    if not tests:
        raise NonConformance(
            f"parametrize_with_checks: expected subjects with checks; got {subjects!r}, which has none. "
            "Name what the plugin registers."
        )
    return pytest.mark.parametrize("check", tests)

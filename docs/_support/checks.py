"""Write the list of checks, problems and quantities, `docs/concepts/checks.md`: `python docs/_support/checks.py`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from probgen.testing import Check, known_problems
from probgen.testing.checks.estimator_registration import estimator_registration_checks
from probgen.testing.checks.estimators import estimator_checks
from probgen.testing.checks.models import model_checks
from probgen.testing.checks.registration import registration_checks

PAGE = Path(__file__).parents[1] / "concepts" / "checks.md"


def page() -> str:
    """Return the page."""
    every = [*model_checks(), *estimator_checks(), *registration_checks(), *estimator_registration_checks()]
    return f"""# The checks

{len(every)} checks, with {sum(len(check.twins) for check in every)} wrong twins: subjects that are wrong on purpose, in one
way each, which the tests of probgen hold against their check. A check without a twin cannot be made.
Written by `python docs/_support/checks.py`.

## Of models

{_checks(model_checks())}

## Of estimators

{_checks(estimator_checks())}

## Of models' registrations

{_checks(registration_checks())}

## Of estimators' registrations

{_checks(estimator_registration_checks())}

## Problems with known answers

What estimators are held against. A claim may name any of these quantities, its gradient with `grad:` before it; a number in
brackets says which of a kind (`iwae[5]`).
`check_estimator(…, problems=…)` takes further ones, and so does the spec of a plugin's estimator.

{_problems()}
"""


def _checks(checks: Sequence[Check]) -> str:
    rows = []
    for check in checks:
        needs = ", ".join(needed.__name__ for needed in check.needs)
        rows.append(f"| `{check.name}` | {check.about} | {needs} | {'; '.join(check.twins)} |")
    return "| check | what a pass shows | asked of | wrong twins |\n|---|---|---|---|\n" + "\n".join(rows)


def _problems() -> str:
    rows = [
        f"| `{name}` | {', '.join(f'`{quantity}`' for quantity in sorted(problem.oracles))} |"
        for name, problem in known_problems().items()
    ]
    return "| problem | quantities |\n|---|---|\n" + "\n".join(rows)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

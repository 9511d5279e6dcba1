"""Makes a row's contestants, holds them to what the row checks, and times them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from benchmarks.support.contest import Contestant, Row, Unavailable
from benchmarks.support.rounds import Timing, measured
from benchmarks.support.setting import Setting
from benchmarks.support.validity import check_learning, check_sizes, size_of
from probgen.pyro_bridge import without_validation

__all__ = ["Outcome", "run_row"]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a row.

    Args:
        row: The row.
        timing: The times of those that took part; None if the base did not.
        sizes: How many numbers each trains.
        missing: Why others were left out, by contestant.
        failed: What went wrong with yet others, by contestant, or with the whole row under `agree`.
    """

    row: Row
    timing: Timing | None
    sizes: dict[str, int]
    missing: dict[str, str]
    failed: dict[str, str]


def run_row(row: Row, setting: Setting, report: Callable[[str], None]) -> Outcome:
    """Run one row; a contestant that fails is named and does not stop the others.

    Checks of distributions' arguments are off for everybody, as `fit` has them after its first step.
    """
    contestants: dict[str, Contestant] = {}
    missing: dict[str, str] = {}
    failed: dict[str, str] = {}
    with without_validation():
        for name, make in row.makers.items():
            report(f"{row.name}: {name}")
            try:
                contestant = make()
                check_learning(contestant, row.learning_steps)
                contestants[name] = contestant
            except ModuleNotFoundError as error:
                missing[name] = f"{error.name} is not installed"
            except Unavailable as reason:
                missing[name] = str(reason)
            except Exception as error:  # noqa: BLE001  # reported in the table, and by the exit status
                failed[name] = f"{type(error).__name__}: {error}"
        sizes = {name: size_of(contestant) for name, contestant in contestants.items()}
        if row.base not in contestants:
            return Outcome(row, None, sizes, missing, failed)
        try:
            check_sizes(contestants, row.base)
            if row.agree is not None:
                row.agree(contestants)
        except (ValueError, AssertionError) as error:
            failed["agree"] = str(error)
        report(f"{row.name}: {len(contestants)} in turns")
        return Outcome(row, measured(contestants, setting), sizes, missing, failed)

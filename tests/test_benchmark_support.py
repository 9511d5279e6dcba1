"""The benchmarks' own machinery: fair contestants, rounds, the table, claims of growth. No time is asserted."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable

import pytest
import torch

from benchmarks.__main__ import _rows
from benchmarks.support import rounds
from benchmarks.support.contest import Contestant, Goal, Row, Unavailable, elsewhere
from benchmarks.support.load import OutsideLoad
from benchmarks.support.publishing import between_marks
from benchmarks.support.report import as_json, comparisons, table
from benchmarks.support.rounds import measured, order, quartiles
from benchmarks.support.running import Outcome, run_row
from benchmarks.support.scaling import Claim, Point, holds
from benchmarks.support.setting import Setting
from benchmarks.support.validity import check_learning, check_sizes

QUICK = Setting(rounds=3, seconds=0.0, threads=1)


def learner(*, rate: float = 0.1, size: int = 4, frozen: bool = False) -> Contestant:
    weights = [torch.ones(size), torch.ones(2)]

    def step() -> None:
        for weight in weights[: 1 if frozen else 2]:
            weight.mul_(1 - rate)

    return Contestant(step, lambda: weights, lambda: float(weights[0].square().sum()))


def outcome(makers: dict[str, Callable[[], Contestant]], **options: object) -> Outcome:
    return run_row(Row("row", "some work", makers, **options), QUICK, lambda text: None)


def test_a_contestant_that_learns_passes() -> None:
    check_learning(learner(), 8)


@pytest.mark.parametrize(
    ("contestant", "words"),
    [
        (learner(frozen=True), "1 of 2 weights did not change"),
        (learner(rate=0.0), "2 of 2 weights did not change"),
        (learner(rate=-0.1), "the loss went from"),
    ],
)
def test_one_that_does_not_is_refused(contestant: Contestant, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        check_learning(contestant, 8)


def test_networks_of_other_sizes_are_refused() -> None:
    check_sizes({"torch": learner(size=98), "peer": learner(size=100)}, "torch")
    with pytest.raises(ValueError, match="peer trains 202 numbers and torch 100"):
        check_sizes({"torch": learner(size=98), "peer": learner(size=200)}, "torch")


def test_everybody_follows_everybody() -> None:
    turns = ["".join(order("abc", number)) for number in range(12)]
    assert all(sorted(turn) == ["a", "b", "c"] for turn in turns)
    assert all(there == back[::-1] for there, back in zip(turns[::2], turns[1::2], strict=True))
    assert {turn[at : at + 2] for turn in turns for at in (0, 1)} == {"ab", "ba", "ac", "ca", "bc", "cb"}


def test_turns_are_taken_in_that_order() -> None:
    turns: list[str] = []
    contestants = {name: Contestant(lambda name=name: turns.append(name) or 1.0, clocked=True) for name in "abc"}
    timing = measured(contestants, QUICK)
    assert turns[:9] == [name for number in range(3) for name in order("abc", number)]
    assert {len(values) for values in timing.seconds.values()} == {3}


def test_rounds_are_compared_with_their_own_base() -> None:
    base, peer = itertools.cycle([1.0, 10.0, 100.0]), itertools.cycle([2.0, 20.0, 200.0])
    makers = {
        "torch": lambda: Contestant(lambda: next(base), clocked=True),
        "peer": lambda: Contestant(lambda: next(peer), clocked=True),
    }
    assert comparisons(outcome(makers))["peer"] == (2.0, 2.0, 2.0)
    assert comparisons(outcome(makers, compare="difference"))["peer"][1] == 10.0


def test_who_cannot_take_part_is_named_with_the_reason() -> None:
    def absent() -> Contestant:
        raise ModuleNotFoundError("no", name="jax")

    def unable() -> Contestant:
        raise Unavailable("it runs on the CPU alone")

    def broken() -> Contestant:
        raise RuntimeError("a | b")

    makers = {"torch": learner, "numpyro": absent, "sklearn": unable, "pyro": broken, "frozen": lambda: learner(frozen=True)}
    found = outcome(makers, goals={"torch": Goal(1.0, 1.1)})
    assert found.missing == {"numpyro": "jax is not installed", "sklearn": "it runs on the CPU alone"}
    assert set(found.failed) == {"pyro", "frozen"}
    lines = table([found]).splitlines()
    assert len(lines) == 2 + len(makers)
    assert "left out: jax is not installed" in lines[3]
    assert {line.count("|") for line in lines} == {8}
    assert as_json([found], QUICK)["rows"][0]["sizes"] == {"torch": 6}


def test_in_another_precision_there_are_no_goals_and_the_usual_base_takes_part() -> None:
    row = Row("row", "some work", {"torch": learner, "peer": learner}, goals={"peer": Goal(0.5, 0.6)})
    other = elsewhere(row, row)
    assert list(other.makers) == ["torch", "peer", "torch float32"]
    assert list(elsewhere(row).makers) == ["torch", "peer"]
    lines = table([run_row(other, QUICK, lambda text: None)]).splitlines()
    assert lines[0] == "| work | contestant | of the base's time (quartiles) | step |"
    assert {line.count("|") for line in lines} == {5}


def test_in_half_precision_there_is_training_alone() -> None:
    names = {row.name for row in _rows(["boltzmann"], Setting(precision="bfloat16"))}
    assert names == {row.name for row in _rows(["boltzmann"], Setting())} - {"ais"}


def test_who_spins_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    rests = []
    monkeypatch.setattr(rounds.time, "sleep", rests.append)
    quick = {"torch": learner(), "peer": dataclasses.replace(learner(), spins=True)}
    found = measured(quick, Setting(rounds=1, seconds=0.0, threads=1))
    assert len(rests) >= len(found.seconds["peer"])
    assert all(rest == rests[0] > 0 for rest in rests)


def test_results_that_differ_are_not_comparable() -> None:
    def disagree(contestants: object) -> None:
        raise ValueError("the draws differ")

    found = outcome({"torch": learner}, agree=disagree)
    assert found.failed == {"agree": "the draws differ"}
    assert "not comparable: the draws differ" in table([found])


def test_without_its_base_a_row_measures_nothing() -> None:
    found = outcome({"torch": lambda: learner(frozen=True), "peer": learner})
    assert found.timing is None
    assert comparisons(found) == {}
    assert "the base is missing" in table([found])


def test_claims_of_growth() -> None:
    points = [Point(1, 1.0, 10), Point(10, 2.0, 100), Point(100, 20.0, 110)]
    assert holds(Claim("bytes", since=10, per_size=False, factor=1.2), points) is True
    assert holds(Claim("bytes", since=1, per_size=False, factor=1.2), points) is False
    assert holds(Claim("seconds", since=10, per_size=True, factor=1.1), points) is True
    assert holds(None, points) is None
    assert holds(Claim("bytes", since=1, per_size=False), [Point(1, 1.0), Point(2, 1.0)]) is None


def test_load_is_a_share_and_quartiles_are_in_order() -> None:
    assert 0.0 <= OutsideLoad().share() <= 1.0
    assert quartiles([3.0, 1.0, 2.0, 4.0]) == (1.75, 2.5, 3.25)


def test_pages_without_the_marks_are_refused() -> None:
    assert between_marks("<!-- a --> \\1 <!-- /a -->", "a", r"\1") == "<!-- a -->\n\n\\1\n\n<!-- /a -->"
    with pytest.raises(ValueError, match="no marks called 'b'"):
        between_marks("<!-- a --><!-- /a -->", "b", "")

"""Contestants that take turns, so that a busy neighbour hits all of them; rounds under outside load are run again."""

from __future__ import annotations

import dataclasses
import random
import statistics
import time
from collections.abc import Mapping, Sequence

from benchmarks.support.contest import Contestant
from benchmarks.support.load import OutsideLoad
from benchmarks.support.setting import Setting

__all__ = ["Timing", "measured", "order", "quartiles"]

_TURN = 0.05  # seconds that a turn should take
_REST = 0.15  # seconds until threads that wait for work at full speed have given up
_MOST_REPEATS = 200
_FEWEST = 3  # rounds without which no quartile means anything
_MOST_LOAD = 0.05  # of all processors' time, to others, in a round that counts
_PATIENCE = 2.0  # times the row's seconds, in which quiet rounds are waited for


@dataclasses.dataclass(frozen=True)
class Timing:
    """The time of a step of each contestant in each round that counts.

    Args:
        seconds: By contestant, one for each round.
        disturbed: Rounds that were discarded for outside load.
        quiet: Whether those that count were free of it; if too few were, the quietest count.
    """

    seconds: Mapping[str, Sequence[float]]
    disturbed: int
    quiet: bool


def measured(contestants: Mapping[str, Contestant], setting: Setting) -> Timing:
    """Time contestants that have been warmed up.

    In a round each has a turn: a step that does not count, which brings its data back into the caches, and then as many as
    fill the turn.
    """
    names = list(contestants)
    repeats = {name: _repeats(contestants[name], setting) for name in names}
    rounds: list[tuple[float, dict[str, float]]] = []
    begun = time.perf_counter()
    while True:
        load = OutsideLoad()
        times = {name: _turn(contestants[name], repeats[name], setting) for name in order(names, len(rounds))}
        rounds.append((load.share(), times))
        quiet = sum(share <= _MOST_LOAD for share, _ in rounds)
        spent = time.perf_counter() - begun
        if quiet >= setting.rounds or (spent > setting.seconds and quiet >= _FEWEST):
            break
        if spent > _PATIENCE * setting.seconds and len(rounds) >= _FEWEST:
            break
    kept = sorted(rounds, key=lambda each: each[0])[: max(quiet, _FEWEST)]
    seconds = {name: [times[name] for _, times in kept] for name in names}
    return Timing(seconds, disturbed=len(rounds) - len(kept), quiet=quiet >= _FEWEST)


def order(names: Sequence[str], number: int) -> Sequence[str]:
    """Return the order of turns in the round of this number: drawn, and the other way round in every second round.

    What runs leaves something to whoever comes next, other memory in the caches, threads that look for work; it must not be
    the same one's lot each time.
    """
    drawn = random.Random(number // 2).sample(names, len(names))
    return drawn[::-1] if number % 2 else drawn


def quartiles(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the lower quartile, the median and the upper quartile.

    Example:
        >>> quartiles([1.0, 2.0, 3.0])
        (1.5, 2.0, 2.5)
    """
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return low, middle, high


def _repeats(contestant: Contestant, setting: Setting) -> int:
    if contestant.clocked:
        return 1
    once = _turn(contestant, 1, setting)
    if once < _TURN:
        once = min(once, _turn(contestant, 1, setting))
    return max(1, min(_MOST_REPEATS, round(_TURN / max(once, 1e-6))))


def _turn(contestant: Contestant, repeats: int, setting: Setting) -> float:
    """Return the mean time of a step of one turn."""
    if contestant.clocked:
        return statistics.fmean(contestant.step() for _ in range(repeats))
    if repeats > 1:
        contestant.step()
    _wait(contestant, setting)
    start = time.perf_counter()
    for _ in range(repeats):
        contestant.step()
    _wait(contestant, setting)
    spent = time.perf_counter() - start
    if contestant.spins:
        time.sleep(_REST)
    return spent / repeats


def _wait(contestant: Contestant, setting: Setting) -> None:
    contestant.finish()
    setting.synchronize()

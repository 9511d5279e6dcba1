"""Cases that take turns, so that a busy neighbour hits all of them; ratios within a round, and their medians over rounds."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

__all__ = ["Step", "measured", "ratio", "step_times"]

Step = Callable[[], object]


def measured(steps: Mapping[str, Step], *, rounds: int, repeats: int, warm_up: int = 2) -> dict[str, list[float]]:
    """Return the time of a step of each case in each round, in seconds.

    Args:
        steps: A step of each case, by name.
        rounds: How often all take their turn.
        repeats: Steps of a case in one turn.
        warm_up: Rounds before these, which do not count.
    """
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(warm_up + rounds):
        for name, step in steps.items():
            start = time.perf_counter()
            for _ in range(repeats):
                step()
            times[name].append((time.perf_counter() - start) / repeats)
    return {name: values[warm_up:] for name, values in times.items()}


def ratio(times: Mapping[str, list[float]], name: str, other: str) -> str:
    """Return one case's time as a multiple of another's: the median over rounds, and the quartiles."""
    ratios = [ours / theirs for ours, theirs in zip(times[name], times[other], strict=True)]
    low, middle, high = statistics.quantiles(ratios, n=4)
    return f"{name} / {other}: {middle:.3f} (quartiles {low:.3f} to {high:.3f})"


def step_times(times: Mapping[str, list[float]]) -> str:
    """Return the median time of a step of each case."""
    return ", ".join(f"{name} {1e3 * statistics.median(values):.2f} ms" for name, values in times.items())

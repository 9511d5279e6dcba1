"""Time and memory of a step against the size of the problem, and claims of what does not grow."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from benchmarks.support.contest import Contestant
from benchmarks.support.memory import peak_bytes, return_freed_memory
from benchmarks.support.report import conditions
from benchmarks.support.setting import Setting
from probgen.pyro_bridge import without_validation

__all__ = ["Claim", "Curve", "Point", "run_scaling"]

_WARM_UP, _TURNS, _TURN = 2, 6, 0.02


@dataclasses.dataclass(frozen=True)
class Claim:
    """A quantity stays within a factor over all sizes of a curve from one on.

    Args:
        quantity: `seconds` or `bytes`.
        since: The first size that counts.
        per_size: Whether the quantity is divided by the size.
        factor: Largest ratio of two of its values.
    """

    quantity: Literal["seconds", "bytes"]
    since: int
    per_size: bool
    factor: float = 1.5


@dataclasses.dataclass(frozen=True, eq=False)
class Curve:
    """A step at several sizes.

    Args:
        name: What is done.
        axis: Which size changes.
        make: Makes the step for a size.
        sizes: In ascending order.
        claim: What is said of the growth, or None.
    """

    name: str
    axis: str
    make: Callable[[int], Contestant]
    sizes: Sequence[int]
    claim: Claim | None = None


@dataclasses.dataclass
class Point:
    """What was measured at a size."""

    size: int
    seconds: float
    bytes: int | None = None


def run_scaling(only: Sequence[str], setting: Setting, out: Path | None, report: Callable[[str], None]) -> int:
    """Measure the curves that were asked for, print and write them; return 1 if a claim does not hold."""
    from benchmarks.families.curves import curves
    from benchmarks.support.scaling_plot import plot_curves

    chosen = [curve for curve in curves(setting) if not only or any(curve.name.startswith(word) for word in only)]
    measured: dict[int, list[Point]] = {}
    with without_validation():
        for number, curve in enumerate(chosen):
            report(f"{curve.name} by {curve.axis}: time")
            measured[number] = [Point(size, _seconds(curve.make(size), setting)) for size in curve.sizes]
        return_freed_memory()
        for number, curve in enumerate(chosen):
            report(f"{curve.name} by {curve.axis}: memory")
            for point in measured[number]:
                point.bytes = _bytes(curve.make(point.size), setting)
    results = [(curve, measured[number]) for number, curve in enumerate(chosen)]
    text = "\n".join(_table(results))
    print(text)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "scaling.md").write_text(text + "\n")
        found = {"conditions": conditions(setting), "curves": [_as_json(*each) for each in results]}
        (out / "scaling.json").write_text(json.dumps(found, indent=1) + "\n")
        plot_curves(results, out / "scaling.svg")
    return int(any(holds(curve.claim, points) is False for curve, points in results))


def holds(claim: Claim | None, points: Sequence[Point]) -> bool | None:
    """Return whether a claim holds; None where there is none, or nothing was measured."""
    if claim is None:
        return None
    growth = _growth(claim, points)
    return None if growth is None else growth <= claim.factor


def _growth(claim: Claim, points: Sequence[Point]) -> float | None:
    values = [
        getattr(point, claim.quantity) and getattr(point, claim.quantity) / (point.size if claim.per_size else 1)
        for point in points
        if point.size >= claim.since
    ]
    return max(values) / min(values) if all(values) else None


def _seconds(contestant: Contestant, setting: Setting) -> float:
    """Return the time of a step in the quickest of some turns, which a busy neighbour spoils least."""
    for _ in range(_WARM_UP):
        contestant.step()
    times: list[float] = []
    for _ in range(_TURNS):
        repeats = max(1, round(_TURN / times[-1])) if times else 1
        setting.synchronize()
        start = time.perf_counter()
        for _ in range(repeats):
            contestant.step()
        setting.synchronize()
        times.append((time.perf_counter() - start) / repeats)
    return min(times)


def _bytes(contestant: Contestant, setting: Setting) -> int | None:
    for _ in range(_WARM_UP):
        contestant.step()
    return peak_bytes(contestant.step, setting.device)


def _table(results: Sequence[tuple[Curve, Sequence[Point]]]) -> Iterator[str]:
    yield "| step | axis | sizes | time | grows as size to the | peak memory | claim | holds |"
    yield "|---|---|---|---|---|---|---|---|"
    for curve, points in results:
        sizes, times = (" / ".join(texts) for texts in zip(*((f"{p.size}", _time(p.seconds)) for p in points), strict=True))
        memory = " / ".join("–" if p.bytes is None else f"{p.bytes / 2**20:.1f}" for p in points) + " MiB"
        verdict = {True: "yes", False: "**no**", None: "–"}[holds(curve.claim, points)]
        growth = f"{_exponent(points):.2f}"
        yield f"| {' | '.join([curve.name, curve.axis, sizes, times, growth, memory, _words(curve, points), verdict])} |"


def _words(curve: Curve, points: Sequence[Point]) -> str:
    claim = curve.claim
    if claim is None:
        return "–"
    what = {"seconds": "time", "bytes": "memory"}[claim.quantity] + (f" per {curve.axis}" if claim.per_size else "")
    growth = _growth(claim, points)
    seen = "not measured" if growth is None else f"within {growth:.2f}"
    return f"{what} within {claim.factor:g} from {claim.since} on: {seen}"


def _exponent(points: Sequence[Point]) -> float:
    """Return the slope of log time over log size between the last two points."""
    last, before = points[-1], points[-2]
    return math.log(last.seconds / before.seconds) / math.log(last.size / before.size)


def _time(seconds: float) -> str:
    return f"{1e3 * seconds:.3g} ms"


def _as_json(curve: Curve, points: Sequence[Point]) -> Mapping[str, Any]:
    return {
        "name": curve.name,
        "axis": curve.axis,
        "points": [dataclasses.asdict(point) for point in points],
        "claim": None if curve.claim is None else dataclasses.asdict(curve.claim),
        "holds": holds(curve.claim, points),
    }

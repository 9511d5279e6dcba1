"""The table of what was measured, and the same as JSON."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import os
import platform
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from benchmarks.support.rounds import quartiles
from benchmarks.support.running import Outcome
from benchmarks.support.setting import Setting

__all__ = ["as_json", "comparisons", "conditions", "table"]

_PACKAGES = ("probgen", "torch", "pyro-ppl", "numpyro", "jax", "zuko", "nflows", "scikit-learn", "diffusers", "numpy")
_HEAD = ("work", "contestant", "of the base's time (quartiles)", "step", "target", "gate", "met")
_MEASURED = 4
"""Columns before those of goals."""


def table(outcomes: Sequence[Outcome]) -> str:
    """Return one Markdown table of all rows, a line for each contestant; it has columns for goals if any row has one."""
    columns = len(_HEAD) if any(outcome.row.goals for outcome in outcomes) else _MEASURED
    lines = [_HEAD, ["---"] * len(_HEAD), *(line for outcome in outcomes for line in _lines(outcome))]
    return "\n".join(f"| {' | '.join(line[:columns])} |" for line in lines)


def _lines(outcome: Outcome) -> Iterator[Sequence[str]]:
    row = outcome.row
    first = f"**{row.name}**: {row.title}"
    if outcome.timing is not None and not outcome.timing.quiet:
        first += " *(under outside load)*"
    measured = comparisons(outcome)
    for name in row.makers:
        goal = row.goals.get(name)
        wanted = ["–", "–"] if goal is None else [f"{goal.target:g}", f"{goal.gate:g}"]
        if name in measured:
            low, middle, high = measured[name]
            seconds = quartiles(outcome.timing.seconds[name])[1] if outcome.timing is not None else 0.0
            met = "–" if goal is None else "target" if middle <= goal.target else "gate" if middle <= goal.gate else "**no**"
            cells = [_number(middle, row.compare, low, high), _seconds(seconds), *wanted, met]
            if name == row.base:
                cells[0] = "base"
        else:
            why = outcome.missing.get(name) or outcome.failed.get(name, "the base is missing")
            cells = [f"left out: {why.splitlines()[0]}".replace("|", "/"), "–", *wanted, "–"]
        yield [first, name, *cells]
        first = ""
    if "agree" in outcome.failed:
        yield ["", "", f"**not comparable: {outcome.failed['agree'].splitlines()[0]}**", *["–"] * 4]


def comparisons(outcome: Outcome) -> dict[str, tuple[float, float, float]]:
    """Return the quartiles over rounds of each contestant's time against the base's in the same round."""
    if outcome.timing is None:
        return {}
    base = outcome.timing.seconds[outcome.row.base]
    divided = outcome.row.compare == "ratio"
    return {
        name: quartiles([own / its if divided else own - its for own, its in zip(seconds, base, strict=True)])
        for name, seconds in outcome.timing.seconds.items()
    }


def _number(middle: float, compare: str, low: float, high: float) -> str:
    form = "{:.3f} ({:.3f} to {:.3f})" if compare == "ratio" else "{:+.2f} s ({:+.2f} to {:+.2f})"
    return form.format(middle, low, high)


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{1e3 * seconds:.3g} ms"


def conditions(setting: Setting) -> dict[str, Any]:
    """Return what the numbers were measured on and with."""
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    accelerator = torch.cuda.get_device_name() if setting.device == "cuda" else None
    return {
        "setting": dataclasses.asdict(setting),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "accelerator": accelerator,
        "python": platform.python_version(),
        "versions": versions,
    }


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def as_json(outcomes: Sequence[Outcome], setting: Setting) -> dict[str, Any]:
    """Return everything that was measured, with all rounds."""
    return {"conditions": conditions(setting), "rows": [_row_as_json(outcome) for outcome in outcomes]}


def _row_as_json(outcome: Outcome) -> dict[str, Any]:
    row, timing = outcome.row, outcome.timing
    return {
        "name": row.name,
        "title": row.title,
        "base": row.base,
        "compare": row.compare,
        "goals": {name: dataclasses.asdict(goal) for name, goal in row.goals.items()},
        "seconds": {} if timing is None else {name: list(values) for name, values in timing.seconds.items()},
        "quartiles": comparisons(outcome),
        "disturbed_rounds": None if timing is None else timing.disturbed,
        "quiet": None if timing is None else timing.quiet,
        "sizes": outcome.sizes,
        "missing": outcome.missing,
        "failed": outcome.failed,
    }

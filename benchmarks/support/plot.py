"""One picture of all rows: how much of the base's time each contestant takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.support.report import comparisons
from benchmarks.support.running import Outcome

__all__ = ["plot_ratios"]

_COLOURS = {
    "torch float32": "#d7ccc8",
    "torch fused": "#9e9e9e",
    "torch tuned": "#616161",
    "probgen": "#1a237e",
    "probgen graph": "#3f51b5",
    "probgen inductor": "#9fa8da",
    "probgen fit": "#1a237e",
    "probgen fit eager": "#5e35b1",
    "pyro": "#e65100",
    "numpyro": "#2e7d32",
    "zuko": "#c2185b",
    "nflows": "#6d4c41",
    "sklearn": "#f9a825",
    "diffusers": "#00838f",
}


def plot_ratios(outcomes: Sequence[Outcome], path: Path) -> None:
    """Draw the median ratio of each contestant with its quartiles, a line for each row, and the gates as ticks."""
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shown = [outcome for outcome in outcomes if outcome.timing is not None and outcome.row.compare == "ratio"]
    figure = Figure(figsize=(9, 1.2 + 0.42 * len(shown)), layout="constrained")
    axes = figure.subplots()
    for height, outcome in enumerate(reversed(shown)):
        axes.axhline(height, color="#eeeeee", zorder=0)
        for name, (low, middle, high) in comparisons(outcome).items():
            if name == outcome.row.base:
                continue
            colour = _COLOURS.get(name, "black")
            axes.plot([low, high], [height, height], color=colour, alpha=0.5)
            axes.plot(middle, height, "o", markersize=5, color=colour)
        for name, goal in outcome.row.goals.items():
            axes.plot(goal.gate, height, "|", markersize=13, color=_COLOURS.get(name, "black"))
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_xscale("log")
    axes.set_ylim(-0.7, len(shown) - 0.3)
    axes.set_yticks(range(len(shown)), [outcome.row.name for outcome in reversed(shown)])
    axes.set_xlabel("time as a multiple of a hand-written loop's (log scale); bars are gates")
    present = {name for outcome in shown for name in comparisons(outcome)}
    keys = [Line2D([], [], marker="o", linestyle="", color=c, label=n) for n, c in _COLOURS.items() if n in present]
    if keys:
        figure.legend(handles=keys, loc="outside upper center", ncols=6, frameon=False)
    figure.savefig(path)

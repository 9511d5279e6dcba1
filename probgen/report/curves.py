"""Training as curves: what each phase estimated, on training and validation data, over the steps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from probgen.report.style import DATA, MODEL, figure, name_axes, styled
from probgen.training import MetricRow

__all__ = ["training_curves"]

_SETTLING = 0.05
"""Share of the steps whose values the vertical axis need not show: they are far off, and would flatten the rest."""

_COLOURS = {"train": MODEL, "valid": DATA}
_WORDS = {"train": "training batches", "valid": "validation data"}


def training_curves(rows: Sequence[MetricRow], values: Mapping[tuple[str, str], str]) -> Figure | None:
    """Return a figure with a plot for each phase of each stage, or None when nothing was measured.

    Args:
        rows: The metrics of a run.
        values: What each phase estimated, with its unit, by the names of its stage and its own.
    """
    panels = list(dict.fromkeys((row.stage, row.phase) for row in rows if row.name == "value"))
    if not panels:
        return None
    across = min(2, len(panels))
    down = -(-len(panels) // across)
    with styled():
        made = figure(7.2 if across == 1 else 9.0, 3.4 * down)
        for axes, panel in zip(made.subplots(down, across, squeeze=False).flat, panels, strict=False):
            _draw(axes, rows, panel)
            stage, phase = panel
            alone = sum(1 for other, _ in panels if other == stage) == 1
            several = len({stage for stage, _ in panels}) > 1
            title = "" if alone and not several else stage if alone else f"{stage}: {phase}" if several else phase
            name_axes(axes, x="step", y=values.get(panel, "value"), title=title)
            axes.legend(loc="best")
        for axes in made.axes[len(panels) :]:
            axes.remove()
    return made


def _draw(axes: Axes, rows: Sequence[MetricRow], panel: tuple[str, str]) -> None:
    settled: list[float] = []
    for split, colour in _COLOURS.items():
        points = [
            (row.step, row.value)
            for row in rows
            if (row.stage, row.phase) == panel and (row.name, row.split) == ("value", split)
        ]
        if not points:
            continue
        steps, values = np.array(points).T
        few = len(points) < 40
        axes.plot(steps, values, color=colour, label=_WORDS[split], marker="o" if few else None, markersize=3)
        settled += values[(steps >= _SETTLING * steps.max()) & np.isfinite(values)].tolist()
    if settled and min(settled) < max(settled):
        margin = 0.06 * (max(settled) - min(settled))
        axes.set_ylim(min(settled) - margin, max(settled) + margin)
    axes.margins(x=0.02)

"""Small pictures of all curves: time above, memory below, a column for each axis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.support.scaling import Curve, Point

__all__ = ["plot_curves"]


def plot_curves(results: Sequence[tuple[Curve, Sequence[Point]]], path: Path) -> None:
    """Draw the curves on logarithmic axes."""
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    shades = [*colormaps["tab10"].colors, *colormaps["Dark2"].colors]  # pyright: ignore[reportAttributeAccessIssue]
    colours = dict(zip(dict.fromkeys(curve.name for curve, _ in results), shades, strict=False))
    axes_by_name = {name: column for column, name in enumerate(dict.fromkeys(curve.axis for curve, _ in results))}
    figure = Figure(figsize=(3.2 * len(axes_by_name), 6.4), layout="constrained")
    grid = figure.subplots(2, len(axes_by_name), squeeze=False)
    for curve, points in results:
        column = axes_by_name[curve.axis]
        sizes = [point.size for point in points]
        style: dict[str, Any] = {"color": colours[curve.name], "marker": "o", "markersize": 3}
        grid[0][column].loglog(sizes, [1e3 * point.seconds for point in points], **style)
        if all(point.bytes for point in points):
            megabytes = [(point.bytes or 0) / 2**20 for point in points]
            grid[1][column].loglog(sizes, megabytes, **style)
    for name, column in axes_by_name.items():
        sizes = sorted({point.size for curve, points in results if curve.axis == name for point in points})
        for axes in (grid[0][column], grid[1][column]):
            axes.set_xticks(sizes, [str(size) for size in sizes], rotation=60)
            axes.minorticks_off()
        grid[0][column].set_title(name)
        grid[1][column].set_xlabel(name)
    grid[0][0].set_ylabel("milliseconds a step")
    grid[1][0].set_ylabel("peak MiB above what was held")
    keys = [Line2D([], [], marker="o", markersize=3, color=colour, label=name) for name, colour in colours.items()]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys) // 2 + 1, frameon=False)
    figure.savefig(path)

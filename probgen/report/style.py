"""The look of every picture, and how a picture becomes a file.

Figures are made without pyplot: there is no current figure and no display.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from probgen.files import write_atomically

__all__ = ["DATA", "MODEL", "figure", "name_axes", "save_figure", "styled"]

MODEL = "#2f6fde"
"""What comes from the model."""
DATA = "#e08a1e"
"""What comes from the data."""
_INK = "#1d2433"
_MUTED = "#6b7280"

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": "#c9ced6",
    "axes.labelcolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.formatter.use_mathtext": True,
    "grid.color": "#e6e9ee",
    "grid.linewidth": 0.8,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}


def styled() -> AbstractContextManager[None]:
    """Give everything that is drawn inside the block the one look."""
    return rc_context(_STYLE)


def figure(width: float, height: float) -> Figure:
    """Return an empty figure of this size, in inches. Make it and fill it inside `styled()`."""
    made = Figure(figsize=(width, height), dpi=150, layout="constrained")
    FigureCanvasAgg(made)
    return made


def name_axes(axes: Axes, *, x: str, y: str, title: str = "") -> None:
    """Label both axes, and the plot where it has a title."""
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    if title:
        axes.set_title(title)


def save_figure(made: Figure, path: Path) -> None:
    """Write a figure as PNG, atomically.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    with styled():
        write_atomically(path, lambda temporary: made.savefig(temporary, format="png", bbox_inches="tight"))

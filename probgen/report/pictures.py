"""Events side by side: grids of pictures, points in the plane, histograms of columns."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from probgen.data import Frame, View
from probgen.report.style import DATA, MODEL, figure, name_axes, styled

__all__ = ["compared", "draws_grid", "picture_grid", "picture_rows", "show"]

_MOST_HISTOGRAMS = 12


def compared(view: Frame | View, samples: Tensor, data: Tensor) -> Figure:
    """Return the model's samples beside held-out data, in the way that suits what they are.

    Pictures become grids; events of two entries points in the plane; others a histogram for each entry, the first twelve.

    Args:
        view: The view that both are events of.
        samples: Draws of the model, `(N, *event_shape)`.
        data: Held-out events, `(M, *event_shape)`.
    """
    with styled():
        if view.is_image:
            return _grids(view, samples, data)
        ours, theirs = (_columns(view, events) for events in (samples, data))
        return _points(view, ours, theirs) if ours.shape[1] == 2 else _histograms(view, ours, theirs)


def draws_grid(view: Frame | View, events: Tensor) -> Figure:
    """Return pictures as one grid, about as wide as high.

    Args:
        view: The view that the pictures are events of.
        events: `(N, C, H, W)`.
    """
    across = math.ceil(math.sqrt(len(events)))
    grid = picture_grid(view.display(events), across=across)
    with styled():
        made = figure(6.0, 6.0 * grid.shape[0] / grid.shape[1])
        show(made.subplots(), grid)
    return made


def picture_rows(view: Frame | View, rows: Sequence[tuple[str, Tensor]]) -> Figure:
    """Return rows of pictures, each with its name on the left; all rows have as many pictures.

    Args:
        view: The view that the pictures are events of.
        rows: A name and events, `(N, C, H, W)`, for each row.
    """
    across = len(rows[0][1])
    grid = picture_grid(torch.cat([view.display(events) for _, events in rows]), across=across)
    pitch = (grid.shape[0] + 1) / len(rows)
    with styled():
        made = figure(9.0, 8.0 * grid.shape[0] / grid.shape[1] + 0.1)
        axes = made.subplots()
        show(axes, grid)
        axes.set_yticks([(number + 0.5) * pitch - 1 for number in range(len(rows))], [name for name, _ in rows])
        axes.tick_params(axis="y", length=0)
    return made


def picture_grid(pictures: Tensor, *, across: int, seam: float = 1.0) -> np.ndarray:
    """Return pictures as one array with a line between them.

    Args:
        pictures: Intensities in [0, 1], `(N, C, H, W)` with one or three channels.
        across: Pictures in a row of the grid.
        seam: Intensity of the line.

    Shapes:
        `(N, C, H, W) -> (rows * (H + 1) - 1, across * (W + 1) - 1, C)`.

    Example:
        >>> import torch
        >>> picture_grid(torch.zeros(5, 1, 8, 8), across=3).shape
        (17, 26, 1)
    """
    values = pictures.detach().cpu().double().numpy()
    n, channels, height, width = values.shape
    down = -(-n // across)
    canvas = np.full((down * (height + 1) - 1, across * (width + 1) - 1, channels), seam)
    for position, picture in enumerate(values):
        top, left = (position // across) * (height + 1), (position % across) * (width + 1)
        canvas[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    return canvas


def show(axes: Axes, grid: np.ndarray) -> None:
    """Draw a grid of pictures, without a frame."""
    pixels = grid[..., 0] if grid.shape[-1] == 1 else grid
    axes.imshow(pixels, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(visible=False)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _grids(view: Frame | View, samples: Tensor, data: Tensor) -> Figure:
    made = figure(9.0, 4.7)
    across = math.isqrt(min(len(samples), len(data), 64))
    named = (("Samples of the model", samples), ("Held-out data", data))
    for axes, (name, events) in zip(made.subplots(1, 2, gridspec_kw={"wspace": 0.06}), named, strict=True):
        show(axes, picture_grid(view.display(events[: across * across]), across=across))
        axes.set_title(name)
    return made


def _columns(view: Frame | View, events: Tensor) -> np.ndarray:
    return view.to_units(events).flatten(1).detach().cpu().double().numpy()


def _points(view: Frame | View, samples: np.ndarray, data: np.ndarray) -> Figure:
    made = figure(9.0, 4.6)
    named = (("Samples of the model", samples, MODEL), ("Held-out data", data, DATA))
    # The data set the frame: a single sample far away must not hide the shape of the rest.
    low, high = data.min(0), data.max(0)
    margin = 0.15 * np.maximum(high - low, 1e-9)
    low, high = low - margin, high + margin
    for axes, (name, events, colour) in zip(made.subplots(1, 2, sharex=True, sharey=True), named, strict=True):
        axes.scatter(*events.T, s=5, color=colour, alpha=0.55, linewidths=0)
        outside = _outside(events, low, high)
        name_axes(axes, x=view.header[0], y=view.header[1], title=f"{name}, {outside}" if outside else name)
        axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))
        axes.tick_params(labelleft=True)
    return made


def _histograms(view: Frame | View, samples: np.ndarray, data: np.ndarray) -> Figure:
    shown = min(data.shape[1], _MOST_HISTOGRAMS)
    across = min(4, shown)
    down = -(-shown // across)
    made = figure(2.4 * across + 0.6, 2.1 * down + 0.4)
    grid = made.subplots(down, across, squeeze=False)
    for entry, axes in enumerate(grid.flat):
        if entry >= shown:
            axes.remove()
            continue
        edges = _edges(data[:, entry])
        for values, colour, name in ((data, DATA, "held-out data"), (samples, MODEL, "samples of the model")):
            column = values[:, entry]
            inside = column[(column >= edges[0]) & (column <= edges[-1])]
            weights = np.full(len(inside), 1 / len(column))
            axes.hist(inside, bins=edges, weights=weights, color=colour, alpha=0.5, label=name)
        name_axes(axes, x=view.header[entry], y="share" if entry % across == 0 else "")
        outside = _outside(samples[:, [entry]], edges[:1], edges[-1:])
        axes.set_title(outside, loc="right", color=MODEL, fontsize="small")
    handles, labels = grid.flat[0].get_legend_handles_labels()
    made.legend(handles, labels, loc="outside upper left", ncols=2)
    return made


def _outside(events: np.ndarray, low: np.ndarray, high: np.ndarray) -> str:
    """Return in words how many events a frame leaves out; nothing where it shows them all."""
    count = int((~((events >= low) & (events <= high)).all(1)).sum())
    share = count / len(events)
    return f"{f'{share:.1%}' if share >= 0.001 else 'below 0.1%'} outside" if count else ""


def _edges(values: np.ndarray) -> np.ndarray:
    """Return the bins of a column: one for each value where there are few, else thirty over the data's range."""
    distinct = np.unique(values)
    if len(distinct) <= 30 and bool((distinct == distinct.round()).all()):
        return np.arange(distinct.min() - 0.5, distinct.max() + 1.0)
    low, high = float(values.min()), float(values.max())
    margin = 0.1 * (high - low) or 0.5
    return np.linspace(low - margin, high + margin, 31)

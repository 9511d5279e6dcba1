"""Tiles of a gallery: a few events of each model, and of the data, as pictures of one size."""

from __future__ import annotations

import dataclasses
import io
import textwrap
from collections.abc import Sequence

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

from probgen.data import View
from probgen.report.pictures import picture_grid, show
from probgen.report.style import figure, styled

__all__ = ["Tile", "held_out", "tile_png", "tiles_picture"]

_ACROSS = 6
_SHOWN = _ACROSS * _ACROSS
_SEAM = 0.3
"""Grey between pictures: black or white would run into theirs."""
_TITLE = 36
"""Letters of a title that stand in a line above a tile."""
_SIDE = 420
"""Pixels of a tile, about."""


@dataclasses.dataclass(frozen=True, eq=False)
class Tile:
    """Events under a name.

    Args:
        title: The name.
        view: The view that they are events of.
        events: `(N, *event_shape)`. Of pictures the first 36 are shown; all others are, as points of their first two entries
            in the frame that held-out data fill, or as a histogram of their only one.
        colour: Of points and histograms.
    """

    title: str
    view: View
    events: Tensor
    colour: str


def tile_png(tile: Tile) -> bytes:
    """Return a tile without its title as PNG: each pixel of a picture is a whole number of pixels wide."""
    content = io.BytesIO()
    if tile.view.is_image:
        grid = (_grid(tile) * 255).round().astype(np.uint8)
        factor = max(1, _SIDE // grid.shape[1])
        pixels = grid.repeat(factor, 0).repeat(factor, 1)
        Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(content, "PNG", optimize=True)
    else:
        with styled():
            made = figure(3.0, 3.0)
            _draw(made.subplots(), tile)
            made.savefig(content, format="png")
    return content.getvalue()


def tiles_picture(tiles: Sequence[Tile], *, across: int = 4) -> Figure:
    """Return all tiles under their titles.

    Args:
        tiles: The tiles.
        across: Tiles in a row.
    """
    down = -(-len(tiles) // across)
    across = min(across, len(tiles))
    with styled():
        made = figure(2.4 * across, 2.6 * down)
        for place, axes in enumerate(made.subplots(down, across, squeeze=False).flat):
            if place < len(tiles):
                _draw(axes, tiles[place])
                axes.set_title(textwrap.fill(tiles[place].title, _TITLE))
            else:
                axes.remove()
    return made


def held_out(view: View, *, most: int = 1000) -> Tensor:
    """Return the first events of the last split of a view, which are no training data where there are others."""
    split = view.split(view.split_names[-1])
    return split.batch(torch.arange(min(len(split), most))).x


def _draw(axes: Axes, tile: Tile) -> None:
    if tile.view.is_image:
        show(axes, _grid(tile))
        return
    points, data = (_columns(tile.view, events) for events in (tile.events, held_out(tile.view)))
    # The data set the frame: a single sample far away must not hide the shape of the rest.
    low, high = data.min(0), data.max(0)
    margin = 0.15 * np.maximum(high - low, 1e-9)
    axes.set_xlim(low[0] - margin[0], high[0] + margin[0])
    if points.shape[1] == 1:
        share = np.full(len(points), 1 / len(points))
        axes.hist(points[:, 0], bins=30, range=axes.get_xlim(), weights=share, color=tile.colour, alpha=0.5)
    else:
        axes.scatter(*points.T, s=3, color=tile.colour, alpha=0.5, linewidths=0)
        axes.set_ylim(low[1] - margin[1], high[1] + margin[1])


def _columns(view: View, events: Tensor) -> np.ndarray:
    return view.to_units(events).flatten(1)[:, :2].detach().cpu().double().numpy()


def _grid(tile: Tile) -> np.ndarray:
    return picture_grid(tile.view.display(tile.events[:_SHOWN]), across=_ACROSS, seam=_SEAM)

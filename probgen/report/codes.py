"""What a model with codes does with events: it encodes and decodes them, and walks between their codes."""

from __future__ import annotations

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import Autoencoder
from probgen.data import View
from probgen.report.pictures import picture_rows
from probgen.report.style import DATA, MODEL, figure, name_axes, styled

__all__ = ["interpolations", "reconstructions"]

_ACROSS = 10
_WALKS = 4
_MOST_COLUMNS = 8
_PANELS_ACROSS = 4


def reconstructions(model: Autoencoder, view: View, batch: Batch) -> Figure:
    """Return events above what is left of them after encoding and decoding; for tables, one against the other.

    Args:
        model: A model with codes.
        view: The view that it was trained on.
        batch: Held-out events of the view.
    """
    if view.is_image:
        shown = batch[:_ACROSS]
        return picture_rows(view, [("data", shown.x), ("decoded", _decoded(model, shown))])
    return _scatter(view, batch.x, _decoded(model, batch))


def interpolations(model: Autoencoder, view: View, batch: Batch) -> Figure:
    """Return straight walks between the codes of pairs of events, decoded at equal distances.

    Args:
        model: A model with codes.
        view: The view that it was trained on.
        batch: Held-out events of the view; each walk leads from one to the next.
    """
    walks = min(_WALKS if view.is_image else 1, len(batch) // 2)
    codes = model.encode(batch.x, batch.context)
    share = torch.linspace(0, 1, _ACROSS, device=codes.device).view(-1, *[1] * (codes.ndim - 1))
    decoded = []
    for start, end in ((2 * walk, 2 * walk + 1) for walk in range(walks)):
        path = torch.lerp(codes[start : start + 1], codes[end : end + 1], share.to(codes.dtype))
        context = None if batch.context is None else batch.context[start].expand(_ACROSS, *batch.context.shape[1:])
        decoded.append(model.decode(path, context))
    if view.is_image:
        return picture_rows(view, [(f"walk {number + 1}", events) for number, events in enumerate(decoded)])
    return _lines(view, decoded[0])


def _decoded(model: Autoencoder, batch: Batch) -> Tensor:
    return model.decode(model.encode(batch.x, batch.context), batch.context)


def _units(view: View, events: Tensor) -> np.ndarray:
    return view.to_units(events).flatten(1).detach().cpu().double().numpy()[:, :_MOST_COLUMNS]


def _scatter(view: View, events: Tensor, decoded: Tensor) -> Figure:
    data, model = _units(view, events), _units(view, decoded)
    with styled():
        made, panels = _panels(data.shape[1])
        for entry, axes in enumerate(panels):
            low, high = data[:, entry].min(), data[:, entry].max()
            axes.plot([low, high], [low, high], color=DATA, linewidth=1)
            axes.scatter(data[:, entry], model[:, entry], s=4, color=MODEL, alpha=0.6, linewidths=0)
            name_axes(axes, x=view.header[entry], y="decoded" if entry % _PANELS_ACROSS == 0 else "")
    return made


def _lines(view: View, decoded: Tensor) -> Figure:
    values = _units(view, decoded)
    share = np.linspace(0, 1, len(values))
    with styled():
        made, panels = _panels(values.shape[1])
        for entry, axes in enumerate(panels):
            axes.plot(share, values[:, entry], color=MODEL, marker="o", markersize=3)
            name_axes(axes, x="share of the way", y=view.header[entry])
    return made


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    across = min(_PANELS_ACROSS, count)
    down = -(-count // across)
    made = figure(max(2.4 * across + 0.6, 4.0), 2.3 * down + 0.2)
    panels = list(made.subplots(down, across, squeeze=False).flat)
    for axes in panels[count:]:
        axes.remove()
    return made, panels[:count]

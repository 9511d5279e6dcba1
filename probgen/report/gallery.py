"""The gallery: several models of one kind of data on one page, their samples side by side and their figures in one table."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Sequence
from html import escape

import torch
from matplotlib.figure import Figure
from torch import Tensor

from probgen.data import View
from probgen.evaluation import Evaluation, Metric
from probgen.report.numbers import duration, measured
from probgen.report.page import document, grouped, headline, section
from probgen.report.pictures import picture_grid, show
from probgen.report.style import DATA, MODEL, figure, styled

__all__ = ["Exhibit", "gallery_page", "gallery_picture"]

_QUALITY = {"mmd_p_value": "MMD p", "c2st_accuracy": "C2ST"}
_REFERENCES = {
    "_floor": "training data (what a perfect model has)",
    "_ceiling": "independent pixels with the data's histograms (what a useful model beats)",
}
_MARKS = {"exact": "", "lower bound": "≥ ", "upper bound": "≤ ", "estimate": "≈ "}
_DASH = "–"


@dataclasses.dataclass(frozen=True, eq=False)
class Exhibit:
    """A trained model in a gallery.

    Args:
        name: What to call it.
        parameters: How many numbers were learned.
        seconds: How long training took; None where nobody noted it.
        evaluation: Its held-out figures.
        view: The view of the data that it saw.
        samples: Draws, events of the view, `(N, *event_shape)`.
    """

    name: str
    parameters: int
    seconds: float | None
    evaluation: Evaluation
    view: View
    samples: Tensor


def gallery_picture(exhibits: Sequence[Exhibit], *, across: int = 4) -> Figure:
    """Return samples of each model beside each other, and real data in the last place.

    Pictures become grids of 6x6, events of two entries points in the plane.

    Args:
        exhibits: The models, all of the same data.
        across: Models in a row.
    """
    first = exhibits[0]
    split = first.view.split(first.view.split_names[-1])
    real = split.batch(torch.arange(min(len(split), len(first.samples)))).x
    tiles = [(each.name, each.view, each.samples, MODEL) for each in exhibits]
    tiles.append(("held-out data", first.view, real, DATA))
    down = -(-len(tiles) // across)
    across = min(across, len(tiles))
    down = -(-len(tiles) // across)
    with styled():
        made = figure(2.4 * across, 2.6 * down)
        for place, axes in enumerate(made.subplots(down, across, squeeze=False).flat):
            if place >= len(tiles):
                axes.remove()
                continue
            name, view, events, colour = tiles[place]
            if view.is_image:
                show(axes, picture_grid(view.display(events[:36]), across=6))
            else:
                points = view.to_units(events).flatten(1)[:, :2].detach().cpu().numpy()
                axes.scatter(*points.T, s=3, color=colour, alpha=0.5, linewidths=0)
            axes.set_title(name)
    return made


def gallery_page(exhibits: Sequence[Exhibit], picture: bytes) -> str:
    """Return the page as HTML.

    Args:
        exhibits: The models, all of the same data.
        picture: What `gallery_picture` drew, as PNG.
    """
    data = exhibits[0].view.source.name
    words = f"Samples of {', '.join(each.name for each in exhibits)}, and held-out data of {data}."
    source = base64.b64encode(picture).decode()
    shown = f"<figure><img src='data:image/png;base64,{source}' alt='{escape(words)}'></figure>"
    lead = f"{len(exhibits)} models of {data}, each trained by its own recipe and judged on the same held-out examples."
    return document(
        f"Models of {data}",
        [
            f"<header><p class='kicker'>probgen gallery</p><h1>Models of {escape(data)}</h1>"
            f"<p class='lead'>{escape(lead)}</p></header>",
            section("Samples", shown),
            section("Log-likelihoods", _likelihoods(exhibits)),
            section("Samples against data", _qualities(exhibits)),
        ],
    )


def _likelihoods(exhibits: Sequence[Exhibit]) -> str:
    rows = []
    for each in exhibits:
        figures = headline(each.evaluation)
        nats = [metric for metric in figures if metric.unit == "nats"]
        bits = [metric for metric in figures if metric.unit == "bits/dim"]
        best = nats[-1] if nats else None
        note = best.note if best is not None else "it can be drawn from and cannot score"
        rows.append(
            [
                _named(each.name, note),
                _cell(best),
                best.kind if best is not None else _DASH,
                _cell(bits[0] if bits else None),
                escape(each.view.name),
                grouped(each.parameters),
                duration(each.seconds),
            ]
        )
    return (
        "<p>Nats for each example. Figures of different views are of different things: bits, levels, or densities of real "
        "values.</p>" + _table(["model", "log-likelihood", "kind", "bits/dim", "view", "parameters", "training"], rows)
    )


def _qualities(exhibits: Sequence[Exhibit]) -> str:
    rows = [[_named(each.name), escape(each.view.name), *_quality(each.evaluation, "")] for each in exhibits]
    views = {each.view.name: each.evaluation for each in reversed(exhibits)}
    for ending, words in _REFERENCES.items():
        rows += [[_named(words), escape(view), *_quality(evaluation, ending)] for view, evaluation in views.items()]
    return (
        "<p>MMD p: p-value of the kernel two-sample test; small where draws can be told from data. C2ST: accuracy of a "
        "classifier that tells them apart; 0.5 where it cannot.</p>" + _table(["what", "view", *_QUALITY.values()], rows)
    )


def _quality(evaluation: Evaluation, ending: str) -> list[str]:
    by_name = {metric.name: metric for metric in evaluation}
    return [_cell(by_name.get(name + ending), mark=False) for name in _QUALITY]


def _cell(metric: Metric | None, *, mark: bool = True) -> str:
    if metric is None:
        return _DASH
    return escape((_MARKS[metric.kind] if mark else "") + measured(metric.value, metric.stderr))


def _named(name: str, note: str = "") -> str:
    return escape(name) + (f"<small>{escape(note)}</small>" if note else "")


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th scope='col'>{escape(column)}</th>" for column in columns)
    body = "".join(
        f"<tr><th scope='row'>{row[0]}</th>{''.join(f'<td class=number>{cell}</td>' for cell in row[1:])}</tr>"
        for row in rows
    )
    return f"<div class='wide'><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"

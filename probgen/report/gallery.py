"""The gallery: several models of one kind of data on one page, their samples side by side and their figures in tables."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from matplotlib.figure import Figure

from probgen.data import View
from probgen.report.exhibit import Exhibit, alike
from probgen.report.gallery_tables import best_likelihood, costs, likelihoods, marked, notes, qualities
from probgen.report.page import document, section
from probgen.report.style import DATA, MODEL
from probgen.report.tiles import Tile, held_out, tile_png, tiles_picture

__all__ = ["gallery_page", "gallery_picture"]


def gallery_picture(exhibits: Sequence[Exhibit], *, across: int = 4) -> Figure:
    """Return samples of each model beside each other, and after comparable ones held-out data as they see them.

    Args:
        exhibits: The models, all of the same data.
        across: Tiles in a row.
    """
    return tiles_picture([tile for tile, _ in _tiles(exhibits)], across=across)


def gallery_page(exhibits: Sequence[Exhibit], *, command: str = "") -> str:
    """Return the page as HTML: one file, which needs neither network nor scripts.

    Args:
        exhibits: The models, all of the same data.
        command: What makes the page again; empty for none.
    """
    source = exhibits[0].view.source
    sizes = ", ".join(f"{len(values)} {name}" for name, values in source.splits.items())
    lead = (
        f"{source.description or source.name} Examples: {sizes}. Training never saw the test split; "
        "every figure below is of held-out data."
    )
    count = "1 model" if len(exhibits) == 1 else f"{len(exhibits)} models"
    return document(
        f"{count} of {source.name}",
        [
            f"<header><p class='kicker'>probgen gallery</p><h1>{count} of {escape(source.name)}</h1>"
            f"<p class='lead'>{escape(lead)}</p></header>",
            section("Samples", f"<div class='tiles'>{''.join(_figure(*each) for each in _tiles(exhibits))}</div>"),
            section("How likely held-out data are", likelihoods(alike(exhibits))),
            section("How well samples pass for data", qualities(alike(exhibits))),
            section("The models", costs(exhibits)),
            section("Not measured", notes(exhibits)) if any(each.evaluation.notes for each in exhibits) else "",
            section("Again", f"<pre><code>{escape(command)}</code></pre>") if command else "",
        ],
    )


def _tiles(exhibits: Sequence[Exhibit]) -> list[tuple[Tile, Exhibit | None]]:
    """Return a tile for each model, and one of data, without a model, after the last group of those that see them so."""
    tiles: list[tuple[Tile, Exhibit | None]] = []
    groups = alike(exhibits)
    seen_as = [_seen_as(group[0].view) for group in groups]
    for number, group in enumerate(groups):
        tiles += [(Tile(each.name, each.view, each.samples, MODEL), each) for each in group]
        if seen_as[number] not in seen_as[number + 1 :]:
            view = group[0].view
            tiles.append((Tile(seen_as[number], view, held_out(view), DATA), None))
    return tiles


def _seen_as(view: View) -> str:
    """Return what data are called as a view shows them."""
    return "held-out data" if view.lossless else f"held-out data, {view.name}"


def _figure(tile: Tile, exhibit: Exhibit | None) -> str:
    """Return a tile with its caption: for a model its name, which leads to its report, and its likelihood."""
    title, said = escape(tile.title), "the test split" if exhibit is None else ""
    if exhibit is not None:
        best = best_likelihood(exhibit.evaluation)
        said = "draws only, scores nothing" if best is None else f"{marked(best)} {best.unit}, {best.kind}"
        if exhibit.report is not None:
            title = f"<a href='{escape(exhibit.report)}'>{title}</a>"
    words = f"{'Samples of ' if exhibit is not None else ''}{tile.title}."
    source = base64.b64encode(tile_png(tile)).decode()
    return (
        f"<figure><img src='data:image/png;base64,{source}' alt='{escape(words)}'>"
        f"<figcaption><strong>{title}</strong><span>{escape(said)}</span></figcaption></figure>"
    )

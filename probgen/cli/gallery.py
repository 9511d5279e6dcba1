"""`probgen gallery`: several finished runs on one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probgen.cli import console
from probgen.cli.targets import checked_target

__all__ = ["gallery"]

_DRAWS = 36


def gallery(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of finished runs, all of the same data.")],
    *,
    out: Annotated[Path, typer.Option(metavar="FILE.html", help="The page; its picture goes beside it.")] = Path(
        "gallery.html"
    ),
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
) -> None:
    """Put finished runs on one page: samples side by side, likelihoods, and how well samples pass for data.

    A conditional model is drawn from with each label in turn.
    """
    checked_target(out, endings=(".html",), command="gallery")
    from probgen.cli.exhibiting import exhibit, same_data
    from probgen.files import write_atomically
    from probgen.report import gallery_page, gallery_picture
    from probgen.report.style import save_figure

    exhibits = same_data([exhibit(folder, n=_DRAWS, seed=seed) for folder in runs])
    picture = out.with_suffix(".png")
    save_figure(gallery_picture(exhibits), picture)
    write_atomically(out, gallery_page(exhibits, picture.read_bytes()))
    console.note(f"{len(exhibits)} models in {out}, their samples in {picture}")

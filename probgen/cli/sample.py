"""`probgen sample`: draws of a trained model, in the data's own units."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probgen.cli import console
from probgen.cli.targets import checked_target

__all__ = ["sample"]


def sample(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    *,
    n: Annotated[int, typer.Option("-n", min=1, help="How many draws, for each label if there are labels.")] = 16,
    context: Annotated[
        str | None, typer.Option(metavar="LABEL[,LABEL…]", help="Labels to condition on, by number or name.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A .npz, .png or .csv file; a table on standard output if left out.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE if it is there.")] = False,
    seed: Annotated[int, typer.Option(help="Seed; the same one gives the same draws.")] = 0,
) -> None:
    """Draw from the model of RUN.

    Numbers are in the data's own units; a table has the data's column names. The data themselves are needed only for a .png
    of events that are no pictures, which shows draws beside held-out data.
    """
    if out is not None:
        checked_target(out, endings=(".npz", ".png", ".csv"), command="sample", replace=force)
    from probgen.cli.drawing import as_table, draw, write_draws
    from probgen.cli.opened import open_frame, open_run
    from probgen.report.tiles import held_out

    model, frame = open_frame(run)
    beside = (
        held_out(open_run(run).view) if out is not None and out.suffix.lower() == ".png" and not frame.is_image else None
    )
    draws = draw(model, frame, n, labels=context, seed=seed)
    if out is None:
        console.write(as_table(draws, frame).rstrip("\n"))
        return
    write_draws(draws, frame, out, beside=beside)
    console.note(f"{len(draws.events)} draws in {out}")

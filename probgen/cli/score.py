"""`probgen score`: the log-likelihood of each row of some data, or a bound on it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probgen.cli import console
from probgen.cli.targets import checked_target

__all__ = ["score"]


def score(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    *,
    data: Annotated[str, typer.Option(metavar="SRC", help="Data of the same kind and shape as the run's.")],
    out: Annotated[Path, typer.Option(metavar="FILE.csv", help="Where to write the scores.")],
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.csv if it is there.")] = False,
    data_option: Annotated[
        list[str] | None, typer.Option("-d", "--data-option", metavar="KEY=VALUE", help="How to read these data.")
    ] = None,
    split: Annotated[str | None, typer.Option(help="train, valid or test alone; every row of the data if left out.")] = None,
    num_particles: Annotated[int, typer.Option(min=1, help="Draws an example where a bound needs them.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the bound's draws.")] = 0,
) -> None:
    """Score every row of SRC under the model of RUN, in nats and in the data's own units.

    The heading says whether the numbers are log-likelihoods or bounds on them.
    """
    checked_target(out, endings=(".csv",), command="score", replace=force)
    from probgen.cli.opened import open_run
    from probgen.cli.scoring import score_rows, write_scores

    opened = open_run(run)
    scores = score_rows(
        opened.model, opened.view_of(data, data_option or ()), split=split, num_particles=num_particles, seed=seed
    )
    write_scores(scores, out)
    console.note(f"{len(scores.values)} rows in {out}: {scores.name} [nats], {scores.kind}")

"""`probgen evaluate`: everything that can be said of a trained model on held-out data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from probgen.cli import console

__all__ = ["evaluate"]


def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a finished run.")],
    *,
    data: Annotated[str | None, typer.Option(metavar="SRC", help="Other data, of the same kind and shape.")] = None,
    data_option: Annotated[
        list[str] | None, typer.Option("-d", "--data-option", metavar="KEY=VALUE", help="How to read these data.")
    ] = None,
    split: Annotated[str, typer.Option(help="train, valid or test.")] = "test",
    num_particles: Annotated[int, typer.Option(min=1, help="Draws an example in importance sampling.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Judge the model of RUN on held-out data. Each number says what it is, with its unit and error."""
    from probgen.cli.opened import open_run
    from probgen.evaluation import evaluate as judge

    opened = open_run(run)
    result = judge(
        opened.model, opened.view_of(data, data_option or ()), split=split, num_particles=num_particles, seed=seed
    )
    if as_json:
        console.write_json(result.to_json())
    else:
        console.write(result.table())

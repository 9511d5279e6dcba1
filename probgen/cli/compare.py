"""`probgen compare`: the figures of several runs side by side, and which of them may be compared."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probgen.cli import console
from probgen.errors import CheckpointError
from probgen.report.numbers import measured

if TYPE_CHECKING:
    from probgen.evaluation import Evaluation

__all__ = ["compare", "evaluation_file"]

_MARKS = {"exact": "", "lower bound": "≥ ", "upper bound": "≤ ", "estimate": "≈ "}


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of finished runs.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the figures of finished runs side by side.

    Runs on other data, another view or another split than the first are marked: their figures are of something else.
    """
    files = [evaluation_file(folder) for folder in runs]
    from probgen.evaluation import Evaluation

    evaluations = [Evaluation.load(file) for file in files]
    alike = [_subject(each) == _subject(evaluations[0]) for each in evaluations]
    if as_json:
        console.write_json(_as_json(runs, evaluations, alike))
        return
    headings = [folder.name if same else f"{folder.name} *" for folder, same in zip(runs, alike, strict=True)]
    rows = [
        ["model", *(each.model for each in evaluations)],
        ["data", *(each.data for each in evaluations)],
        ["view", *(each.view for each in evaluations)],
        ["split", *(each.split for each in evaluations)],
    ]
    rows += [_row(name, unit, evaluations) for name, unit in dict.fromkeys(_metrics(evaluations))]
    console.show_table(["", *headings], rows)
    console.write(
        "Values stand with one standard error; ≥ is a lower bound on the quantity, ≤ an upper bound, ≈ an estimate."
    )
    if not all(alike):
        console.write("* not comparable with the first run: other data, another view or another split.")


def evaluation_file(folder: Path) -> Path:
    """Return where the figures of a finished run stand.

    Raises:
        CheckpointError: there is no such run.
    """
    path = folder / "evaluation.json"
    if not path.exists():
        found = f"which holds no {path.name}" if folder.is_dir() else "which does not exist"
        raise CheckpointError(
            f"probgen: expected the folder of a finished run; got {folder}, {found}. "
            f"{f'Finish it: probgen train --resume {folder}' if folder.is_dir() else 'Check the path'}."
        )
    return path


def _subject(evaluation: Evaluation) -> tuple[str, str, str]:
    return evaluation.data, evaluation.view, evaluation.split


def _metrics(evaluations: list[Evaluation]) -> list[tuple[str, str]]:
    return [(metric.name, metric.unit) for each in evaluations for metric in each]


def _row(name: str, unit: str, evaluations: list[Evaluation]) -> list[str]:
    cells = []
    for each in evaluations:
        metric = next((metric for metric in each if (metric.name, metric.unit) == (name, unit)), None)
        cells.append("" if metric is None else _MARKS[metric.kind] + measured(metric.value, metric.stderr))
    return [f"{name} [{unit}]", *cells]


def _as_json(runs: list[Path], evaluations: list[Evaluation], alike: list[bool]) -> dict[str, Any]:
    return {
        "comparable": all(alike),
        "runs": [
            {"run": str(folder), "comparable": same, **each.to_json()}
            for folder, each, same in zip(runs, evaluations, alike, strict=True)
        ],
    }

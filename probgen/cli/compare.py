"""`probgen compare`: the figures of several runs side by side, and which of them may be compared."""

from __future__ import annotations

import itertools
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from probgen.cli import console
from probgen.cli.config import CONFIG_FILE, RunConfig, made_in_python
from probgen.errors import CheckpointError
from probgen.report.numbers import measured

if TYPE_CHECKING:
    from probgen.evaluation import Evaluation

__all__ = ["compare", "evaluation_file"]

_SUBJECT = ("data", "view", "context", "split")
"""What figures are of: runs that agree in these can be compared."""

_SETTINGS = ("seed", "execution")
"""Settings of training that are shown, besides what each stage used."""

_MARKS = {"exact": "", "lower bound": "≥ ", "upper bound": "≤ ", "estimate": "≈ "}


def compare(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN…", help="Folders of finished runs.")],
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show the figures of finished runs side by side, and what each run used.

    Runs on other data, another view, context or split than the first are marked: their figures are of something else.
    """
    files = [evaluation_file(folder) for folder in runs]
    from probgen.evaluation import Evaluation

    evaluations = [Evaluation.load(file) for file in files]
    configs = [_config(folder) for folder in runs]
    subjects = [_subject(each, config) for each, config in zip(evaluations, configs, strict=True)]
    alike = [subject == subjects[0] for subject in subjects]
    if as_json:
        console.write_json(_as_json(runs, evaluations, configs, alike))
        return
    headings = [folder.name if same else f"{folder.name} *" for folder, same in zip(runs, alike, strict=True)]
    rows = [["model", *(each.model for each in evaluations)]]
    rows += [[name, *values] for name, values in zip(_SUBJECT, zip(*subjects, strict=True), strict=True)]
    rows += _used(configs)
    rows += [_row(name, unit, evaluations) for name, unit in _metrics(evaluations)]
    console.show_table(["", *headings], rows)
    console.write(
        "Values stand with one standard error; ≥ is a lower bound on the quantity, ≤ an upper bound, ≈ an estimate."
    )
    if not all(alike):
        console.write("* not comparable with the first run: other data, another view, context or split.")


def evaluation_file(folder: Path) -> Path:
    """Return where the figures of a finished run stand.

    Raises:
        CheckpointError: there is no such run.
    """
    path = folder / "evaluation.json"
    if not path.exists():
        found = f"which holds no {path.name}" if folder.is_dir() else "which does not exist"
        raise CheckpointError(f"probgen: expected the folder of a finished run; got {folder}, {found}. {_cure(folder)}.")
    return path


def _cure(folder: Path) -> str:
    """Return how somebody comes to the figures that a folder lacks."""
    if not folder.is_dir():
        return "Check the path"
    if made_in_python(folder):
        return (
            "probgen.fit made it in Python: judge it there, "
            f"probgen.evaluate(model, data).save({str(folder / 'evaluation.json')!r})"
        )
    if (folder / CONFIG_FILE).exists():
        return f"Finish it: probgen train --resume {shlex.quote(str(folder))}"
    return "Name the folder of a run; `probgen train` makes runs"


def _config(folder: Path) -> RunConfig | None:
    """Return what the run did; None for one that Python made, and judged, without a configuration."""
    return RunConfig.read(folder) if (folder / CONFIG_FILE).exists() else None


def _subject(evaluation: Evaluation, config: RunConfig | None) -> tuple[str, ...]:
    """Return what figures are of, by `_SUBJECT`."""
    context = None if config is None else config.context
    return evaluation.data, evaluation.view, context or "none", evaluation.split


def _used(configs: list[RunConfig | None]) -> list[list[str]]:
    """Return rows of what the runs used: estimator, budget, batch size, rate, seed and execution, where it was noted."""
    from probgen.cli.stages import stage_words

    words = [
        {} if config is None else {**stage_words(config.stages), **{name: str(config.training[name]) for name in _SETTINGS}}
        for config in configs
    ]
    return [[name, *(each.get(name, "") for each in words)] for name in dict.fromkeys(itertools.chain(*words))]


def _metrics(evaluations: list[Evaluation]) -> list[tuple[str, str]]:
    """Return every figure that one of the runs has, with its unit: likelihoods first, then bits, then all others."""
    found = dict.fromkeys((metric.name, metric.unit) for each in evaluations for metric in each)
    units = {"nats": 0, "bits/dim": 1}

    def place(figure: tuple[str, str]) -> tuple[int, bool]:
        name, unit = figure
        return units.get(unit, 2), unit in units and name.endswith(("_in_view", "_floor"))

    return sorted(found, key=place)


def _row(name: str, unit: str, evaluations: list[Evaluation]) -> list[str]:
    cells = []
    for each in evaluations:
        metric = next((metric for metric in each if (metric.name, metric.unit) == (name, unit)), None)
        cells.append("" if metric is None else _MARKS[metric.kind] + measured(metric.value, metric.stderr))
    return [f"{name} [{unit}]", *cells]


def _as_json(
    runs: list[Path], evaluations: list[Evaluation], configs: list[RunConfig | None], alike: list[bool]
) -> dict[str, Any]:
    return {
        "comparable": all(alike),
        "runs": [
            {
                "run": str(folder),
                "comparable": same,
                **each.to_json(),
                "context": None if config is None else config.context,
                "stages": [] if config is None else list(config.stages),
            }
            for folder, each, config, same in zip(runs, evaluations, configs, alike, strict=True)
        ],
    }

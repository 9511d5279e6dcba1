"""`probgen gallery`: several runs on one page, trained first where they are only described."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probgen.cli import console
from probgen.cli.compare import evaluation_file
from probgen.cli.config import CONFIG_FILE, RunConfig, usable_cores
from probgen.cli.describing import described
from probgen.cli.folders import default_folder
from probgen.cli.targets import checked_target
from probgen.cli.together import PlannedRun, train_together
from probgen.errors import ConfigurationError, InterruptedRunError, RunError
from probgen.report.numbers import duration, measured

if TYPE_CHECKING:
    from probgen.report import Exhibit

__all__ = ["gallery"]

_DRAWS = 36
_PAGE = "gallery.html"


def gallery(
    call: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN…", help="Folders of finished runs, or described runs (FILE.toml) to train first."),
    ],
    *,
    out: Annotated[
        Path | None,
        typer.Option(metavar="FILE.html", help="The page; its picture and the runs trained for it go beside it."),
    ] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, help="Runs that train at a time; as many as there are cores if left out.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draws.")] = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace FILE.html and its picture if they are there.")] = False,
) -> None:
    """Put runs of the same data on one page: samples side by side, likelihoods, and how well samples pass for data.

    Described runs are trained first, a few at a time; without --out into a new folder of runs/. Those that the folder
    holds already are not trained again, and one that was stopped is gone on with. One that fails is reported, and the
    others are shown; the exit code is then 1. A conditional model is drawn from with each label in turn.
    """
    configs = [described(path) if _is_description(path) else _finished(path) for path in runs]
    _check_alike(configs)
    if out is None and any(map(_is_description, runs)):
        page = default_folder("gallery", configs[0].data) / _PAGE
    else:
        page = checked_target(out or Path(_PAGE), endings=(".html",), command="gallery", replace=force, make=True)
        checked_target(page.with_suffix(".png"), endings=(".png",), command="gallery", replace=force, make=True)
    folders = [page.parent / path.stem if _is_description(path) else path for path in runs]
    plans = _planned([each for each in zip(runs, folders, configs, strict=True) if _is_description(each[0])])
    failed = _train(plans, page, jobs=jobs, runs=runs) if plans else []
    failed += _show([each for each in folders if each not in failed], page, seed=seed, command=call.obj["typed"])
    if failed:
        raise RunError(
            f"gallery: expected {_counted(len(runs))}; got {len(runs) - len(failed)}, without {_listed(failed)}. "
            f"See above why. To try those again: {_again(runs, page)}"
        )


def _is_description(path: Path) -> bool:
    return path.suffix.lower() == ".toml" and not path.is_dir()


def _finished(folder: Path) -> RunConfig:
    """Return the configuration of a run after checking that it was judged."""
    evaluation_file(folder)
    return RunConfig.read(folder)


def _check_alike(configs: Sequence[RunConfig]) -> None:
    data = list(dict.fromkeys(config.data for config in configs))
    if len(data) > 1:
        raise ConfigurationError(f"gallery: expected runs of one data set; got {_listed(data)}. Make a gallery for each.")


def _planned(described_runs: Sequence[tuple[Path, Path, RunConfig]]) -> list[PlannedRun]:
    """Return what is to be trained: described runs with the folder and the configuration of each, but for finished ones.

    Raises:
        ConfigurationError: a folder is that of another run, or of something else.
    """
    plans: list[PlannedRun] = []
    folders: list[Path] = []
    for description, folder, config in described_runs:
        begun = (folder / CONFIG_FILE).is_file()
        if folder in folders or (begun and not RunConfig.read(folder).does_as(config)) or (not begun and _occupied(folder)):
            raise ConfigurationError(
                f"gallery: expected a folder of its own for the run that {description} describes; got {folder}, which is "
                "taken by another run. Rename the file, move the folder away, or choose another --out."
            )
        folders.append(folder)
        if begun and all((folder / name).exists() for name in ("model.safetensors", "evaluation.json", "report.html")):
            console.note(f"{folder.name} is trained already")
        else:
            plans.append(PlannedRun(description, folder, begun=begun))
    return plans


def _occupied(folder: Path) -> bool:
    return folder.exists() and not (folder.is_dir() and next(folder.iterdir(), None) is None)


def _train(plans: Sequence[PlannedRun], page: Path, *, jobs: int | None, runs: Sequence[Path]) -> list[Path]:
    """Train described runs into their folders, and return the folders of those that failed."""
    page.parent.mkdir(parents=True, exist_ok=True)
    at_once = min(len(plans), jobs or usable_cores())
    console.note(f"{len(plans)} {'run' if len(plans) == 1 else 'runs'} into {page.parent}, {at_once} at a time")
    try:
        finished = train_together(plans, jobs=at_once)
    except InterruptedRunError as error:
        message = f"{error} To go on: {_again(runs, page)}"
        raise InterruptedRunError(message, signal_number=error.signal_number) from error
    return [plan.folder for plan in plans if plan not in finished]


def _again(runs: Sequence[Path], page: Path) -> str:
    """Return the command that goes on with what is not finished, and makes the page."""
    return shlex.join(["probgen", "gallery", *map(str, runs), "--out", str(page), *(["--force"] if page.exists() else [])])


def _show(folders: Sequence[Path], page: Path, *, seed: int, command: Sequence[str]) -> list[Path]:
    """Write the page and its picture of those runs that can be shown, and return the others."""
    from probgen.cli.exhibiting import exhibits_of
    from probgen.files import write_atomically
    from probgen.report import gallery_page, gallery_picture
    from probgen.report.style import save_figure

    exhibits, left_out = exhibits_of(folders, n=_DRAWS, seed=seed, beside=page.parent)
    if exhibits:
        page.parent.mkdir(parents=True, exist_ok=True)
        picture = page.with_suffix(".png")
        save_figure(gallery_picture(exhibits), picture)
        write_atomically(page, gallery_page(exhibits, command=shlex.join(command)))
        _print(exhibits)
        console.note(f"{_counted(len(exhibits))} in {page}, samples in {picture}")
    return left_out


def _print(exhibits: Sequence[Exhibit]) -> None:
    """Print the figures that say most; those that may be compared stand in one table."""
    from probgen.report.exhibit import alike, noun

    groups = alike(exhibits)
    for group in groups:
        console.show_table(
            ["model", "view", "nats/example", "kind", "told from data", "parameters", "training"],
            [_row(each) for each in group],
            title=f"Of {noun(group)}",
        )
        if group is not groups[-1]:
            console.write("")


def _row(exhibit: Exhibit) -> list[str]:
    from probgen.report.gallery_tables import best_likelihood, marked

    best = best_likelihood(exhibit.evaluation)
    told_apart = {metric.name: metric for metric in exhibit.evaluation}.get("c2st_accuracy")
    return [
        exhibit.name,
        exhibit.view.name,
        marked(best),
        "–" if best is None else best.kind,
        "–" if told_apart is None else measured(told_apart.value, told_apart.stderr),
        f"{exhibit.parameters}",
        duration(exhibit.seconds),
    ]


def _counted(models: int) -> str:
    return "1 model" if models == 1 else f"{models} models"


def _listed(names: Iterable[object]) -> str:
    return " and ".join(map(str, names))

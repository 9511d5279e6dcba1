"""`probgen gallery`: several runs on one page, trained first where they are only described."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from probgen.cli import console
from probgen.cli.compare import evaluation_file
from probgen.cli.config import RunConfig, usable_cores
from probgen.cli.describing import described
from probgen.cli.folders import default_folder
from probgen.cli.targets import checked_target
from probgen.errors import ConfigurationError, RunError
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

    Described runs are trained first, a few at a time; without --out into a new folder of runs/. One that fails is
    reported, and the others are shown; the exit code is then 1. A conditional model is drawn from with each label in turn.
    """
    configs = [described(path) if _is_description(path) else _finished(path) for path in runs]
    _check_alike(configs)
    if out is None and any(map(_is_description, runs)):
        page = default_folder("gallery", configs[0].data) / _PAGE
    else:
        page = checked_target(out or Path(_PAGE), endings=(".html",), command="gallery", replace=force)
        checked_target(page.with_suffix(".png"), endings=(".png",), command="gallery", replace=force)
    folders = [page.parent / path.stem if _is_description(path) else path for path in runs]
    begun = [(path, folder) for path, folder in zip(runs, folders, strict=True) if _is_description(path)]
    failed = _train(begun, jobs=jobs or min(len(begun), usable_cores())) if begun else []
    failed += _show([each for each in folders if each not in failed], page, seed=seed, command=call.obj["typed"])
    if failed:
        raise RunError(
            f"gallery: expected {len(runs)} models; got {len(runs) - len(failed)}, without {_listed(failed)}. "
            "See above why, and try those again."
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


def _train(described_runs: Sequence[tuple[Path, Path]], *, jobs: int) -> list[Path]:
    """Train described runs into their folders, and return the folders of those that failed."""
    from probgen.cli.together import PlannedRun, train_together

    plans = [PlannedRun(description, folder) for description, folder in described_runs]
    for number, plan in enumerate(plans):
        if plan.folder.exists() or plan.folder in [each.folder for each in plans[:number]]:
            raise ConfigurationError(
                f"gallery: expected a folder of its own for the run that {plan.description} describes; got {plan.folder}, "
                "which is taken. Rename the file, or choose another --out."
            )
    into = plans[0].folder.parent
    into.mkdir(parents=True, exist_ok=True)
    console.note(f"{len(plans)} runs into {into}, {jobs} at a time")
    finished = train_together(plans, jobs=jobs)
    return [plan.folder for plan in plans if plan not in finished]


def _show(folders: Sequence[Path], page: Path, *, seed: int, command: Sequence[str]) -> list[Path]:
    """Write the page and its picture of those runs that can be shown, and return the others."""
    from probgen.cli.exhibiting import exhibits_of
    from probgen.files import write_atomically
    from probgen.report import gallery_page, gallery_picture
    from probgen.report.style import save_figure

    exhibits, left_out = exhibits_of(folders, n=_DRAWS, seed=seed, beside=page.parent)
    if exhibits:
        picture = page.with_suffix(".png")
        save_figure(gallery_picture(exhibits), picture)
        write_atomically(page, gallery_page(exhibits, command=shlex.join(command)))
        _print(exhibits)
        console.note(f"{len(exhibits)} {'model' if len(exhibits) == 1 else 'models'} in {page}, their samples in {picture}")
    return left_out


def _print(exhibits: Sequence[Exhibit]) -> None:
    """Print the figures that say most; the page says what they are of."""
    from probgen.report.gallery_tables import best_likelihood, marked

    rows = []
    for each in exhibits:
        best, by_name = best_likelihood(each.evaluation), {metric.name: metric for metric in each.evaluation}
        told_apart = by_name.get("c2st_accuracy")
        rows.append(
            [
                each.name,
                each.view.name,
                marked(best),
                "–" if best is None else best.kind,
                "–" if told_apart is None else measured(told_apart.value, told_apart.stderr),
                f"{each.parameters}",
                duration(each.seconds),
            ]
        )
    console.show_table(["model", "view", "nats/example", "kind", "told from data", "parameters", "training"], rows)


def _listed(names: Iterable[object]) -> str:
    return " and ".join(map(str, names))

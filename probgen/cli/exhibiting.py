"""Finished runs as exhibits of a gallery."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import torch
from torch import nn

from probgen.cli import console
from probgen.cli.compare import evaluation_file
from probgen.cli.config import RunConfig
from probgen.cli.drawing import draw
from probgen.cli.opened import OpenedRun, open_run
from probgen.cli.running import seconds_of
from probgen.cli.stages import stage_words
from probgen.errors import ConfigurationError, ProbgenError
from probgen.evaluation import Evaluation
from probgen.plugin import registry
from probgen.plugin.options import plain, validate
from probgen.report import PAGE, Exhibit
from probgen.report.numbers import typed

__all__ = ["exhibits_of"]


def exhibits_of(folders: Sequence[Path], *, n: int, seed: int, beside: Path) -> tuple[list[Exhibit], list[Path]]:
    """Return the runs that can be shown, and the folders of those that cannot, each reported.

    Args:
        folders: Folders of finished runs.
        n: Draws of each model.
        seed: Of the draws.
        beside: The folder of the page, from which links start.

    Raises:
        ConfigurationError: the runs are not all of the same data.
    """
    shown: list[tuple[Path, Exhibit]] = []
    left_out = []
    for folder in folders:
        try:
            shown.append((folder, _exhibit(folder, n=n, seed=seed, beside=beside)))
        except ProbgenError as error:
            console.complain(f"{folder} is left out: {error}")
            left_out.append(folder)
    exhibits = _told_apart(shown)
    _check_same_data(exhibits)
    return exhibits, left_out


def _told_apart(shown: Sequence[tuple[Path, Exhibit]]) -> list[Exhibit]:
    """Return the exhibits under names of their own: several runs of one model are called by their folders as well."""
    models = Counter(exhibit.name for _, exhibit in shown)
    names = Counter((exhibit.name, folder.name) for folder, exhibit in shown)
    exhibits = []
    for folder, exhibit in shown:
        if models[exhibit.name] > 1:
            called = folder.name if names[exhibit.name, folder.name] == 1 else str(folder)
            exhibit = dataclasses.replace(exhibit, name=f"{exhibit.name}, {called}")
        exhibits.append(exhibit)
    return exhibits


def _exhibit(folder: Path, *, n: int, seed: int, beside: Path) -> Exhibit:
    evaluation = Evaluation.load(evaluation_file(folder))
    opened = open_run(folder)
    link = Path(os.path.relpath(folder / PAGE, beside)).as_posix()
    return Exhibit(
        name=opened.config.model,
        summary=registry().model(opened.config.model).spec.summary,
        settings=_settings(opened.config),
        parameters=sum(each.numel() for each in opened.model.parameters()) if isinstance(opened.model, nn.Module) else 0,
        seconds=seconds_of(folder),
        evaluation=evaluation,
        view=opened.view,
        samples=_draws(opened, n=n, seed=seed),
        report=quote(link) if (folder / PAGE).exists() else None,
    )


def _draws(opened: OpenedRun, *, n: int, seed: int) -> torch.Tensor:
    """Return `n` draws; of a conditional model, of each label in turn."""
    if opened.view.context_shape is None:
        return draw(opened.model, opened.view.frame, n, labels=None, seed=seed).events
    labels = opened.view.source.num_labels or 1
    draws = draw(opened.model, opened.view.frame, -(-n // labels), labels=",".join(map(str, range(labels))), seed=seed)
    return draws.events[torch.linspace(0, len(draws.events) - 1, n).long()]


def _settings(config: RunConfig) -> str:
    """Return in words which of the model's options are not its defaults, and how it was trained."""
    usual = plain(validate({}, registry().model(config.model).spec.options, owner=config.model))
    options = {name: value for name, value in config.model_options.items() if value != usual[name]}
    context = {} if config.context is None else {"context": config.context}
    said = [f"{name}={typed(value)}" for name, value in {**options, **context}.items()]
    said += [words if name == "estimator" else f"{name} {words}" for name, words in stage_words(config.stages).items()]
    said += [f"{name} {config.training[name]:g}" for name in ("patience", "ema") if config.training[name] is not None]
    return "; ".join(said)


def _check_same_data(exhibits: Sequence[Exhibit]) -> None:
    if len({each.view.source.fingerprint for each in exhibits}) > 1:
        raise ConfigurationError(
            f"gallery: expected runs of the same examples, split alike; got several versions of "
            f"{exhibits[0].view.source.name}. Make a gallery for each."
        )

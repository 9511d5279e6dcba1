"""Finished runs as exhibits of a gallery."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import nn

from probgen.cli.compare import evaluation_file
from probgen.cli.drawing import draw
from probgen.cli.opened import open_run
from probgen.cli.running import seconds_of
from probgen.errors import ConfigurationError
from probgen.evaluation import Evaluation
from probgen.report import Exhibit

__all__ = ["exhibit", "same_data"]


def exhibit(folder: Path, *, n: int, seed: int) -> Exhibit:
    """Return the run in `folder` with `n` draws of its model.

    Raises:
        CheckpointError: the run is not finished.
    """
    evaluation = Evaluation.load(evaluation_file(folder))
    opened = open_run(folder)
    labels = opened.view.source.num_labels or 1
    if opened.view.context_shape is None:
        draws = draw(opened.model, opened.view, n, labels=None, seed=seed)
    else:
        names = ",".join(map(str, range(labels)))
        draws = draw(opened.model, opened.view, -(-n // labels), labels=names, seed=seed)
    return Exhibit(
        name=opened.config.model,
        parameters=sum(each.numel() for each in opened.model.parameters()) if isinstance(opened.model, nn.Module) else 0,
        seconds=seconds_of(folder),
        evaluation=evaluation,
        view=opened.view,
        samples=draws.events[torch.linspace(0, len(draws.events) - 1, n).long()],
    )


def same_data(exhibits: Sequence[Exhibit]) -> list[Exhibit]:
    """Return the exhibits if all are of the same data.

    Raises:
        ConfigurationError: they are not.
    """
    names = list(dict.fromkeys(each.view.source.name for each in exhibits))
    if len(names) > 1:
        raise ConfigurationError(
            f"gallery: expected runs of one data set; got {' and '.join(names)}. Make a gallery for each."
        )
    return list(exhibits)

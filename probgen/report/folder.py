"""A run folder's pictures and its page: making those that are missing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import Autoencoder, capabilities
from probgen.data import View
from probgen.evaluation import Evaluation
from probgen.files import write_atomically
from probgen.report.codes import interpolations, reconstructions
from probgen.report.curves import training_curves
from probgen.report.facts import RunFacts
from probgen.report.page import Picture, page
from probgen.report.pictures import compared
from probgen.report.style import save_figure
from probgen.sampler import Sampler
from probgen.shapes import device_of
from probgen.streams import seeded_streams
from probgen.training import MetricRow

__all__ = ["PAGE", "PICTURES", "draw_pictures", "write_page"]

PAGE = "report.html"

PICTURES: Mapping[str, tuple[str, str]] = {
    "samples.png": (
        "Samples",
        "Samples of the trained model beside held-out data. How many fall outside of a plot stands above it.",
    ),
    "reconstructions.png": ("Reconstructions", "Held-out data, and what is left of them after encoding and decoding."),
    "interpolation.png": (
        "Between codes",
        "Straight walks from the code of one held-out event to that of another, decoded.",
    ),
    "curves.png": (
        "Training",
        "What training estimated, on training batches and on validation data, over the steps. Where the axis names a view, "
        "its nats are those of rescaled data; the figures are in the data's own units.",
    ),
}
"""Every picture that a run may have: its heading and what it shows."""

_MOST_EVENTS = 2000


def draw_pictures(
    folder: Path,
    model: Any,
    view: View,
    rows: Sequence[MetricRow],
    values: Mapping[tuple[str, str], str],
    *,
    seed: int = 0,
) -> list[str]:
    """Draw the pictures that the model's capabilities allow and the folder lacks; return the names of those it has then.

    Args:
        folder: The run folder.
        model: The trained model, in evaluation mode.
        view: The view of the data that it was trained on.
        rows: The metrics of training.
        values: What each phase estimated, with its unit, by the names of its stage and its own.
        seed: Of the samples.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    held = capabilities(model)
    batch = _held_out(view, model)
    drawings: dict[str, Callable[[], Figure | None]] = {"curves.png": lambda: training_curves(rows, values)}
    if Sampler in held:
        drawings["samples.png"] = lambda: compared(view, _samples(model, batch), batch.x)
    if Autoencoder in held:
        drawings["reconstructions.png"] = lambda: reconstructions(model, view, batch)
        if len(batch) > 1:
            drawings["interpolation.png"] = lambda: interpolations(model, view, batch)
    for name in PICTURES:
        path = folder / name
        if name in drawings and not path.exists():
            with torch.no_grad(), seeded_streams(seed, f"report/{name}"):
                made = drawings[name]()
            if made is not None:
                save_figure(made, path)
    return [name for name in PICTURES if (folder / name).exists()]


def write_page(folder: Path, facts: RunFacts, evaluation: Evaluation) -> Path:
    """Write `report.html`, which holds its pictures and opens from disk, and return its path.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    pictures = [
        Picture(heading, description, (folder / name).read_bytes())
        for name, (heading, description) in PICTURES.items()
        if (folder / name).exists()
    ]
    path = folder / PAGE
    write_atomically(path, page(facts, evaluation, pictures))
    return path


def _held_out(view: View, model: Any) -> Batch:
    """Return the first held-out events, as many as a picture needs, where the model computes."""
    split = view.split("test" if "test" in view.split_names else view.split_names[-1])
    return split.batch(torch.arange(min(len(split), _MOST_EVENTS))).to(device_of(model))


def _samples(model: Sampler, batch: Batch) -> Tensor:
    """Draw as many events as there are in `batch`; a conditional model draws one for each of its contexts."""
    if model.context_shape is None:
        return model.sample((len(batch),))
    return model.sample((), batch.context)

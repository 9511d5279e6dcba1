"""Draws of a model and the files that they are written to."""

from __future__ import annotations

import csv
import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from probgen.capabilities import require
from probgen.data import Frame
from probgen.errors import ConfigurationError
from probgen.files import write_atomically
from probgen.report.pictures import compared, draws_grid
from probgen.report.style import save_figure
from probgen.sampler import Sampler

__all__ = ["Draws", "as_table", "draw", "write_draws"]

_AT_ONCE = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Draws:
    """What was drawn.

    Args:
        events: The draws as the model sees events, `(N, *event_shape)`.
        labels: The number of the label that each was drawn for, `(N,)`; None for a model that is not conditional.
    """

    events: Tensor
    labels: Tensor | None = None


def draw(model: Any, frame: Frame, n: int, *, labels: str | None, seed: int) -> Draws:
    """Draw `n` events, or `n` for each of the labels.

    Args:
        model: The model.
        frame: How the model saw its data.
        n: How many.
        labels: Labels by number or name, with commas between them; None for a model that is not conditional.
        seed: Of the draws.

    Raises:
        CapabilityError: the model cannot draw.
        ConfigurationError: labels are missing, superfluous or unknown.
    """
    require(model, Sampler, for_what="sample")
    chosen = _chosen_labels(frame, labels)
    wanted = None if chosen is None else chosen.repeat_interleave(n)
    generator = torch.Generator().manual_seed(seed)
    parts = []
    if wanted is None:
        for start in range(0, n, _AT_ONCE):
            parts.append(model.sample((min(_AT_ONCE, n - start),), generator=generator))
    else:
        size = frame.num_labels or 0
        for rows in wanted.split(_AT_ONCE):
            context = torch.nn.functional.one_hot(rows, size).to(torch.get_default_dtype())
            parts.append(model.sample((), context, generator=generator))
    return Draws(torch.cat(parts), wanted)


def as_table(draws: Draws, frame: Frame) -> str:
    """Return the draws as CSV: the data's headings, a row for each draw, its label in the last column."""
    names = frame.label_names
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*frame.header, *(["label"] if draws.labels is not None else [])])
    rows = _values(draws, frame).reshape(len(draws.events), -1)
    for number, row in enumerate(rows.tolist()):
        cells = [f"{value:.9g}" for value in row]
        if draws.labels is not None:
            label = int(draws.labels[number])
            cells.append(names[label] if names else str(label))
        writer.writerow(cells)
    return text.getvalue()


def write_draws(draws: Draws, frame: Frame, path: Path, *, beside: Tensor | None = None) -> None:
    """Write draws to a `.npz` (`samples`, and `labels` where there are any), `.png` or `.csv` file, atomically.

    Args:
        draws: What was drawn.
        frame: How the model saw its data.
        path: The file.
        beside: Held-out events to draw beside those that are no pictures, in a `.png`.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    ending = path.suffix.lower()
    if ending == ".csv":
        write_atomically(path, as_table(draws, frame))
    elif ending == ".npz":
        labels = {} if draws.labels is None else {"labels": draws.labels.numpy()}
        content = io.BytesIO()
        np.savez_compressed(content, allow_pickle=False, samples=_values(draws, frame), **labels)
        write_atomically(path, content.getvalue())
    else:
        save_figure(_picture(draws, frame, beside), path)


def _picture(draws: Draws, frame: Frame, beside: Tensor | None) -> Figure:
    return draws_grid(frame, draws.events) if beside is None else compared(frame, draws.events, beside)


def _values(draws: Draws, frame: Frame) -> np.ndarray:
    """Return draws in the data's own units, whole numbers where the data are."""
    values = frame.to_units(draws.events).detach().cpu().numpy()
    if frame.levels is not None:
        return values.astype(np.uint8 if frame.levels <= 256 else np.int64)
    return values.astype(np.int64) if frame.kind == "count" and frame.support.is_discrete else values


def _chosen_labels(frame: Frame, labels: str | None) -> Tensor | None:
    if frame.num_labels is None:
        if labels is not None:
            raise ConfigurationError(
                f"sample: expected no --context; got {labels!r} for a model that is not conditional. Leave it out."
            )
        return None
    names, size = frame.label_names, frame.num_labels
    named = [name for number, name in enumerate(names) if name != str(number)]
    known = f"labels from 0 to {size - 1}" + (f" or {', '.join(named)}" if named else "")
    if labels is None:
        raise ConfigurationError(f"sample: expected --context for a conditional model, {known}; got none. Add --context 0.")
    chosen = []
    for label in (part.strip() for part in labels.split(",")):
        if label in names:
            chosen.append(names.index(label))
        elif label.isdigit() and int(label) < size:
            chosen.append(int(label))
        else:
            raise ConfigurationError(f"sample: expected --context to be {known}; got {label!r}. Write --context 0,1.")
    return torch.tensor(chosen)

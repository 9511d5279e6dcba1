"""Scores of single examples, and the table that they are written to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import BoundedLikelihood, LatentVariable, LogPartition, UnnormalizedDensity, capabilities
from probgen.claims import Exact, LowerBound, UpperBound
from probgen.data import View
from probgen.density import Density
from probgen.errors import CapabilityError
from probgen.evaluation import log_evidence
from probgen.evaluation.subject import Subject, undisturbed
from probgen.files import write_atomically
from probgen.streams import seeded_streams

__all__ = ["Scores", "score_rows", "write_scores"]


@dataclasses.dataclass(frozen=True, eq=False)
class Scores:
    """A number for each example, in nats and in the data's own units.

    Args:
        name: `log_likelihood`, `log_likelihood_bound` or `log_likelihood_estimate`.
        kind: `exact`, `lower bound`, `upper bound` or `estimate`.
        splits: The split of each example.
        rows: Where each example stood in what was read, or in its split where that was given, `(N,)`.
        values: The scores, `(N,)`.
    """

    name: str
    kind: str
    splits: tuple[str, ...]
    rows: Tensor
    values: Tensor


def score_rows(model: Any, view: View, *, split: str | None, num_particles: int, seed: int) -> Scores:
    """Score every example of a split, or of all splits, in the order in which they were read.

    Raises:
        CapabilityError: the model has no likelihood that can be computed or bounded.
        DataError: the data have no such split.
    """
    kind, measure = _measure(model, num_particles, seed)
    if view.dequantised and kind == "exact":
        kind = "lower bound"
    names = view.split_names if split is None else (split,)
    values, rows, splits = [], [], []
    for name in names:
        subject = Subject(model=model, view=view, split=name, seed=seed)
        with undisturbed(model):
            (scores,) = subject.per_example("score", lambda batch: (measure(batch) + _offset(view, batch),))
        values.append(scores)
        rows.append(view.source.rows.get(name, torch.arange(len(scores))))
        splits += [name] * len(scores)
    row = torch.cat(rows)
    order = row.argsort(stable=True) if view.source.rows and split is None else torch.arange(len(row))
    return Scores(
        name={"exact": "log_likelihood", "estimate": "log_likelihood_estimate"}.get(kind, "log_likelihood_bound"),
        kind=kind,
        splits=tuple(splits[position] for position in order.tolist()),
        rows=row[order],
        values=torch.cat(values)[order],
    )


def write_scores(scores: Scores, path: Path) -> None:
    """Write scores as CSV, atomically.

    Raises:
        OSError: the disk is full or the folder cannot be written.
    """
    lines = [f"index,{scores.name},kind,split"]
    for row, value, split in zip(scores.rows.tolist(), scores.values.tolist(), scores.splits, strict=True):
        lines.append(f"{row},{value:.9g},{scores.kind},{split}")
    write_atomically(path, "\n".join(lines) + "\n")


def _measure(model: Any, num_particles: int, seed: int) -> tuple[str, Callable[[Batch], Tensor]]:
    """Return what the best score of a model's events is, and the function that scores a batch in the view's units."""
    held = capabilities(model)
    if Density in held:
        return "exact", lambda batch: model.log_prob(batch.x, batch.context)
    if LatentVariable in held:
        return "lower bound", lambda batch: log_evidence(model, batch.x, batch.context, num_particles=num_particles)
    if BoundedLikelihood in held:
        kinds = {LowerBound: "lower bound", UpperBound: "upper bound"}
        kind = kinds.get(type(model.bound_claim), "estimate")
        return kind, lambda batch: model.log_prob_bound(batch.x, batch.context)
    if UnnormalizedDensity in held and model.context_shape is None:
        with undisturbed(model), seeded_streams(seed, "evaluation/log_partition"):
            found: LogPartition = model.log_partition(num_particles=num_particles)
        kind = "exact" if isinstance(found.claim, Exact) else "estimate"
        return kind, lambda batch: -model.energy(batch.x) - found.value.to(batch.x)
    raise CapabilityError(
        f"score: expected a Density, a LatentVariable, a BoundedLikelihood or an UnnormalizedDensity without context; got "
        f"{type(model).__name__}. Its samples can be judged: probgen evaluate."
    )


def _offset(view: View, batch: Batch) -> Tensor:
    """Return what turns a log-density of the view into one in the data's own units."""
    return view.log_abs_det(batch.x) if view.rescales else torch.zeros(len(batch))

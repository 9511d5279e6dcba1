"""Other data, taken to be of the same kind as some data that a model was trained on."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from probgen.data.source import Source
from probgen.errors import DataError, ShapeError

__all__ = ["alike"]


def alike(source: Source, other: Source) -> Source:
    """Return `source` with the kind of values, the labels and the types of `other`.

    A table of whole numbers may have been recognised as levels where the training data were real numbers, and may lack some
    of their classes; which they are is for the training data to say.

    Raises:
        ShapeError: the events have another shape.
        DataError: a value is none of the other's kind, or a label none of its labels.
    """
    if source.event_shape != other.event_shape:
        raise ShapeError(
            f"View.of: expected events of shape {tuple(other.event_shape)}, as in {other.name}; got "
            f"{tuple(source.event_shape)} in {source.name}. Give data with the same entries."
        )
    checked = dataclasses.replace(
        source,
        kind=other.kind,
        levels=other.levels,
        labels={split: _renumbered(labels, source, other) for split, labels in source.labels.items()},
        num_labels=other.num_labels if source.labels else None,
        label_names=other.label_names if source.labels else (),
        is_image=other.is_image,
    )
    kept_as = other.splits["train"].dtype
    return dataclasses.replace(checked, splits={split: values.to(kept_as) for split, values in checked.splits.items()})


def _renumbered(labels: Tensor, source: Source, other: Source) -> Tensor:
    """Return labels by the other's numbers: those of the same names, where both have names."""
    if not source.label_names or not other.label_names:
        return labels
    unknown = [name for name in source.label_names if name not in other.label_names]
    if unknown:
        raise DataError(
            f"View.of: expected labels among {', '.join(other.label_names)}, as in {other.name}; got {unknown[0]!r} in "
            f"{source.name}. Remove such rows."
        )
    numbers = torch.tensor([list(other.label_names).index(name) for name in source.label_names])
    return numbers[labels]

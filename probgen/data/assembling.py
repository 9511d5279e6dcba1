"""From arrays to a `Source`: tensors, pictures recognised, kinds recognised, splits made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probgen.data.kinds import recognise
from probgen.data.noise import permutation
from probgen.data.reading import ReadingOptions
from probgen.data.source import Source
from probgen.errors import DataError

__all__ = ["as_tensor", "assemble", "random_split"]


def assemble(
    splits: Mapping[str, Any],
    options: ReadingOptions,
    *,
    name: str,
    labels: Mapping[str, Any] | None = None,
    label_names: Sequence[str] = (),
    columns: Sequence[str] = (),
    units: Sequence[str] = (),
    is_image: bool | None = None,
    description: str = "",
) -> Source:
    """Return the source that holds these arrays.

    Data with `train` alone are split at random; where only `valid` is missing, it is taken from `train` at random. Both are
    functions of (seed, number of examples).

    Args:
        splits: Arrays or tensors by split.
        options: What the user says about them.
        name: What the data are called unless the options say otherwise.
        labels: Class of each example by split.
        label_names: What the classes are called.
        columns: Names of the entries.
        units: Units of the entries.
        is_image: Whether events are pictures `(C, H, W)`; None to recognise it.
        description: One sentence about the data.

    Raises:
        DataError: the arrays are no data; see `Source`. Rows are counted as they came, before any split.
    """
    name = options.named(name)
    tensors = {split: as_tensor(values, f"split {split} of {name}") for split, values in splits.items()}
    if options.image is not None:
        is_image = options.image
    tensors, is_image = _as_events(tensors, is_image=is_image)
    tensors, values = recognise(tensors, is_image=is_image, kind=options.kind)
    source = Source(
        name=name,
        splits=tensors,
        kind=values.kind,
        levels=values.levels,
        labels={split: _as_labels(each, f"split {split} of {name}") for split, each in (labels or {}).items()},
        num_labels=len(label_names) or None,
        label_names=label_names,
        columns=columns,
        units=units,
        is_image=is_image,
        description=description,
        kind_reason=values.reason,
    )
    return _with_all_splits(source, options)


def as_tensor(values: Any, where: str) -> Tensor:
    """Return a copy of an array, tensor or nested sequence as a tensor on the CPU, of a type that torch computes with.

    Raises:
        DataError: it holds no numbers.
    """
    if isinstance(values, Tensor):
        tensor = values.detach().cpu().clone()
    else:
        array = np.asarray(values)
        if array.dtype.kind not in "biuf":
            raise DataError(
                f"as_source: expected numbers in {where}; got an array of {array.dtype}. Encode text and objects as numbers."
            )
        wide = array.dtype.kind == "u" and array.dtype.itemsize > 1
        tensor = torch.from_numpy(array.astype(np.int64 if wide else array.dtype.newbyteorder("="), order="C"))
    if tensor.is_complex():
        raise DataError(f"as_source: expected real numbers in {where}; got {tensor.dtype}. Give real and imaginary parts.")
    if tensor.dtype == torch.bool:
        return tensor.to(torch.uint8)
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor


def random_split(size: int, *, seed: int, fractions: Sequence[float]) -> list[Tensor]:
    """Return the positions of each part of a random split, a function of (`size`, `seed`, `fractions`) alone.

    No part is empty, and positions rise within each.

    Raises:
        DataError: there are fewer examples than parts.

    Example:
        >>> [len(part) for part in random_split(100, seed=0, fractions=(0.8, 0.1, 0.1))]
        [80, 10, 10]
    """
    if size < len(fractions):
        raise DataError(
            f"as_source: expected at least {len(fractions)} examples to split; got {size}. "
            "Give the splits yourself, or more data."
        )
    later = [max(1, round(size * fraction)) for fraction in fractions[1:]]
    while sum(later) >= size:  # rounding up may have taken everything from the first part
        later[later.index(max(later))] -= 1
    order = permutation(seed, 0, size)
    return [part.sort().values for part in order.split([size - sum(later), *later])]


def _with_all_splits(source: Source, options: ReadingOptions) -> Source:
    """Return the source with `valid`, and with `test` where there is nothing but `train`."""
    if "valid" in source.splits:
        return source
    train, valid, test = options.fractions
    if "test" in source.splits:
        names, fractions = ("train", "valid"), (train / (train + valid), valid / (train + valid))
    else:
        names, fractions = ("train", "valid", "test"), (train, valid, test)
    parts = random_split(len(source.splits["train"]), seed=options.seed, fractions=fractions)
    picked = dict(zip(names, parts, strict=True))

    def pick(named: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {**named, **{split: named["train"][rows] for split, rows in picked.items()}} if named else {}

    rows = {} if "test" in source.splits else picked
    return dataclasses.replace(source, splits=pick(source.splits), labels=pick(source.labels), rows=rows)


def _as_events(tensors: dict[str, Tensor], *, is_image: bool | None) -> tuple[dict[str, Tensor], bool]:
    """Return the tensors with one column for scalars and channels first for pictures, and whether they are pictures."""
    for split, tensor in tensors.items():
        if tensor.ndim == 0 or tensor.numel() == 0:
            raise DataError(
                f"as_source: expected at least one example with at least one entry in split {split}; got shape "
                f"{tuple(tensor.shape)}. Examples lie along the first axis."
            )
    tensors = {split: tensor.unsqueeze(1) if tensor.ndim == 1 else tensor for split, tensor in tensors.items()}
    if is_image is False or not tensors:
        return tensors, False
    dimensions = {tensor.ndim for tensor in tensors.values()}
    if dimensions == {3} and (is_image or all(tensor.dtype == torch.uint8 for tensor in tensors.values())):
        return {split: tensor.unsqueeze(1) for split, tensor in tensors.items()}, True
    if dimensions == {4}:
        if all(tensor.shape[1] in (1, 3) for tensor in tensors.values()):
            return tensors, True
        if all(tensor.shape[3] in (1, 3) for tensor in tensors.values()):
            return {split: tensor.permute(0, 3, 1, 2).contiguous() for split, tensor in tensors.items()}, True
    return tensors, bool(is_image)


def _as_labels(labels: Any, where: str) -> Tensor:
    tensor = as_tensor(labels, f"the labels of {where}")
    if tensor.is_floating_point() and bool((tensor != tensor.round()).any()):
        raise DataError(
            f"as_source: expected whole numbers as labels of {where}; got {tensor.dtype}. Number the classes from 0."
        )
    return tensor.long()

"""Arrays: `.npy` and `.npz` files, and arrays by name."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from probgen.data.assembling import assemble
from probgen.data.reading import ReadingOptions, read_bytes, stem
from probgen.data.source import SPLIT_NAMES, Source
from probgen.errors import DataError

__all__ = ["from_arrays", "read_array", "read_archive"]


def read_array(path: Path, options: ReadingOptions) -> Source:
    """Return the source in a `.npy` file: examples along the first axis, split at random."""
    return assemble({"train": _load(path)}, options, name=stem(path))


def read_archive(path: Path, options: ReadingOptions) -> Source:
    """Return the source in a `.npz` file; see `from_arrays` for the names that its arrays may have."""
    archive = _load(path)
    if not isinstance(archive, np.lib.npyio.NpzFile):
        raise DataError(f"as_source: expected an archive of arrays; got {str(path)!r}, a single one. Call it .npy.")
    try:
        arrays = {name: archive[name] for name in archive.files}
    except (ValueError, EOFError, OSError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error) from error
    return from_arrays(arrays, options, name=stem(path), where=repr(str(path)))


def from_arrays(arrays: Mapping[str, Any], options: ReadingOptions, *, name: str, where: str) -> Source:
    """Return the source that arrays with these names hold.

    Either `train`, and `valid` and `test` where there are such, with `train_labels`, … beside them; or one array `data`,
    with `labels` beside it, which is split at random, or by `fold`, which numbers the fold of each example. An only array
    may have any name. Other arrays are left alone.

    Raises:
        DataError: there are no such arrays.
    """
    splits = {split: arrays[split] for split in SPLIT_NAMES if split in arrays}
    if splits:
        labels = {split: arrays[f"{split}_labels"] for split in splits if f"{split}_labels" in arrays}
        return assemble(splits, options, name=name, labels=labels)
    whole = "data" if "data" in arrays else next(iter(arrays)) if len(arrays) == 1 else None
    if whole is None:
        raise DataError(
            f"as_source: expected arrays named train, valid and test, or data, in {where}; got "
            f"{', '.join(map(str, arrays)) or 'none'}. Rename them."
        )
    labelled = {"train": arrays["labels"]} if "labels" in arrays else {}
    if "fold" not in arrays:
        return assemble({"train": arrays[whole]}, options, name=name, labels=labelled)
    parts = _by_fold(np.asarray(arrays["fold"]), len(arrays[whole]), options.fold, where)
    labels = {split: arrays["labels"][rows] for split, rows in parts.items()} if labelled else {}
    return assemble({split: arrays[whole][rows] for split, rows in parts.items()}, options, name=name, labels=labels)


def _by_fold(folds: np.ndarray, size: int, chosen: int, where: str) -> dict[str, np.ndarray]:
    """Return which rows are in each split when one fold is the test split and the next one is for validation."""
    numbers = np.unique(folds).tolist()
    if folds.shape != (size,) or len(numbers) < 3 or chosen not in numbers:
        raise DataError(
            f"as_source: expected a fold for each of {size} examples, three folds or more, and the one chosen among them, "
            f"in {where}; got shape {folds.shape}, folds {numbers} and fold={chosen}. Choose one of the folds."
        )
    following = numbers[(numbers.index(chosen) + 1) % len(numbers)]
    test, valid = folds == chosen, folds == following
    return {"train": ~(test | valid), "valid": valid, "test": test}


def _load(path: Path) -> Any:
    content = read_bytes(path)
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError, zipfile.BadZipFile) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> DataError:
    return DataError(
        f"as_source: expected a whole NumPy file of numbers; got {str(path)!r}, which cannot be read "
        f"({type(error).__name__}: {error}). Write it again with numpy.save or numpy.savez."
    )

"""`as_source`: whatever somebody has, as a `Source`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from probgen.data.arrays import from_arrays, read_archive, read_array
from probgen.data.assembling import as_tensor, assemble
from probgen.data.idx import is_idx, read_idx, read_idx_folder
from probgen.data.pictures import PICTURE_ENDINGS, read_picture_folder
from probgen.data.reading import ReadingOptions
from probgen.data.source import Source
from probgen.data.tables import TABLE_ENDINGS, read_table
from probgen.errors import DataError, UnknownNameError
from probgen.plugin.manager import registry
from probgen.plugin.options import validate

__all__ = ["as_source"]

_READERS = {".npy": read_array, ".npz": read_archive, **dict.fromkeys(TABLE_ENDINGS, read_table)}
_ENDINGS = (*_READERS, *PICTURE_ENDINGS, ".idx", ".gz")
_FORMATS = "idx, .npy, .npz, .csv, each also as .gz, or a folder of idx files or PNG or JPEG pictures"


def as_source(data: Any, *, seed: int = 0, **options: Any) -> Source:
    """Return `data` as a source.

    Args:
        data: One of
            - a `Source`, which comes back as it is;
            - the name of a registered data set, `"digits"`, whose own options then apply;
            - a path, of an idx, `.npy`, `.npz` or `.csv` file (each also as `.gz`), or of a folder of idx files or pictures;
            - a tensor or NumPy array with the examples along the first axis, or a mapping of `train`, `valid` and `test`
              (and `train_labels`, …) to such;
            - a torch `Dataset` of tensors, arrays or pictures, or of pairs of these with a label.
        seed: Of a random split, or of a data set that is drawn. Leave it alone to see the same data in every run.
        options: For a registered name, its options; for anything else those of `probgen.data.reading.ReadingOptions`:
            `name`, `kind`, `image`, `label`, `fold`, `fractions`.

    Raises:
        UnknownNameError: a string is neither a registered name nor looks like a path; the message suggests a name.
        DataError: the data cannot be read, or hold values that cannot be used; the message says where.
        ConfigurationError: an option is unknown or invalid.

    Example:
        >>> as_source("digits").describe()
        'digits: 1197 train / 300 valid / 300 test; events (1, 8, 8) of pixel levels 0 to 16, 10 labels'
    """
    if isinstance(data, Source):
        return data
    if isinstance(data, str) and data in registry().datasets:
        return _registered(data, seed, options)
    reading = ReadingOptions.of({"seed": seed, **options})
    if isinstance(data, str | os.PathLike):
        try:
            return _from_path(data, reading)
        except DataError as error:
            if Path(data).name in str(error):
                raise
            # What finds bad values knows the data by their name alone; somebody with several files needs the file.
            expected, got, rest = str(error).partition("; got ")
            raise DataError(f"{expected} ({os.fspath(data)}){got}{rest}") from error
    if isinstance(data, Mapping):
        return from_arrays(data, reading, name="data", where="the mapping")
    if isinstance(data, Tensor | np.ndarray):
        return assemble({"train": data}, reading, name="data")
    if isinstance(data, Dataset):
        return _from_dataset(data, reading)
    raise DataError(
        f"as_source: expected a source, a name, a path, a tensor, an array, a mapping of these or a torch Dataset; got "
        f"{type(data).__name__}. Convert it with torch.as_tensor."
    )


def _registered(name: str, seed: int, options: Mapping[str, Any]) -> Source:
    """Return the registered data set called `name`."""
    entry = registry().dataset(name)
    seeded = {"seed": seed} if any(option.name == "seed" for option in entry.spec.options) else {}
    source = entry.load()(**validate({**seeded, **options}, entry.spec.options, owner=name))
    if not isinstance(source, Source):
        raise DataError(
            f"as_source: expected a Source from the data set {name!r} ({entry.origin}); got {type(source).__name__}. "
            "Report it to the authors of the plugin."
        )
    return source


def _from_path(data: str | os.PathLike[str], options: ReadingOptions) -> Source:
    path = Path(data).expanduser()
    if not path.exists():
        _raise_missing(data, path)
    if path.is_dir():
        source = read_idx_folder(path, options) or read_picture_folder(path, options)
        if source is None:
            raise DataError(
                f"as_source: expected idx files or PNG or JPEG pictures in {str(data)!r}; got a folder without any. "
                f"Readable are: {_FORMATS}."
            )
        return source
    if is_idx(path):
        return read_idx(path, options)
    reader = _READERS.get(Path(path.name.removesuffix(".gz")).suffix.lower())
    if reader is None:
        raise DataError(f"as_source: expected a file that can be read; got {str(data)!r}. Readable are: {_FORMATS}.")
    return reader(path, options)


def _raise_missing(data: str | os.PathLike[str], path: Path) -> NoReturn:
    """Raise the error for a path that is not there, or for a string that was to be a name."""
    text = os.fspath(data)
    if not isinstance(data, str) or "/" in text or os.sep in text or text.startswith(("~", ".")):
        raise DataError(f"as_source: expected a file or folder that exists; got {text!r}. Check the spelling of the path.")
    if path.suffix.lower() in _ENDINGS:
        raise DataError(
            f"as_source: expected a file that exists; got {text!r}, looked for in {str(Path.cwd())!r}. Give its folder too."
        )
    try:
        registry().dataset(text)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error} There is no file or folder of this name either.") from error
    raise DataError(
        f"as_source: expected a file or folder that exists; got {text!r}. Leave out Path(…) to mean the data set."
    )


def _from_dataset(data: Dataset[Any], options: ReadingOptions) -> Source:
    """Return the examples of a torch `Dataset`, gathered in memory."""
    try:
        size = len(data)  # pyright: ignore[reportArgumentType]  # torch leaves the length to subclasses
    except TypeError as error:
        raise DataError(
            "as_source: expected a Dataset with a length; got one without. Gather its examples in a tensor first."
        ) from error
    items = [_event_and_label(data[position], position) for position in range(size)]
    events = [event for event, _ in items]
    labels = [label for _, label in items if label is not None]
    shapes = sorted({tuple(event.shape) for event in events})
    if len(shapes) != 1 or len(labels) not in (0, size):
        raise DataError(
            f"as_source: expected a Dataset of events of one shape, all with a label or none; got shapes {shapes} and "
            f"{len(labels)} labels for {size} items. Pad or crop the events."
        )
    return assemble({"train": torch.stack(events)}, options, name="data", labels={"train": labels} if labels else {})


def _event_and_label(item: Any, position: int) -> tuple[Tensor, int | None]:
    """Return the parts of one item of a `Dataset`: an event, alone or followed by a label."""
    parts = tuple(item) if isinstance(item, tuple | list) else (item,)
    event = parts[0] if isinstance(parts[0], Tensor) else np.array(parts[0])
    label = np.asarray(parts[1] if len(parts) == 2 else 0)
    if len(parts) > 2 or label.ndim or (isinstance(event, np.ndarray) and event.dtype.kind not in "biuf"):
        raise DataError(
            f"as_source: expected items of a Dataset to be events, or pairs of an event and a whole number; got "
            f"{', '.join(type(part).__name__ for part in parts)} in item {position}. Give the Dataset a transform."
        )
    return as_tensor(event, f"item {position}"), int(label) if len(parts) == 2 else None

"""The idx format of MNIST and the sets made after it: a type, the sizes of the axes, then the values, often in a `.gz`.

References: LeCun, Cortes & Burges, *The MNIST database of handwritten digits*.
"""

from __future__ import annotations

import math
import re
import struct
from pathlib import Path

import numpy as np

from probgen.data.assembling import assemble
from probgen.data.reading import ReadingOptions, read_bytes, stem
from probgen.data.source import Source
from probgen.errors import DataError

__all__ = ["is_idx", "read_idx", "read_idx_folder"]

_TYPES = {0x08: "u1", 0x09: "i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_FILE = re.compile(r"(?P<split>[a-z0-9]+)[-_.](?P<what>images|labels)[-_.]idx\d[-_.]ubyte(\.gz)?", re.IGNORECASE)
_SPLITS = {"train": "train", "valid": "valid", "validation": "valid", "test": "test", "t10k": "test"}


def is_idx(path: Path) -> bool:
    """Return whether a file is called as idx files are: `train-images-idx3-ubyte.gz`, `digits.idx`."""
    return path.name.removesuffix(".gz").endswith((".idx", "ubyte"))


def read_idx(path: Path, options: ReadingOptions) -> Source:
    """Return the source in a single idx file, split at random."""
    return assemble({"train": _read(path)}, options, name=stem(path))


def read_idx_folder(folder: Path, options: ReadingOptions) -> Source | None:
    """Return the source in a folder of idx files named like MNIST's; None where the folder has none.

    Where there are files for testing and none for validation, these are the last sixth of the training examples, 10000 of
    MNIST's 60000, as is usual.

    Raises:
        DataError: the training pictures are missing, or a file is truncated or corrupt.
    """
    found: dict[tuple[str, str], Path] = {}
    for path in sorted(folder.iterdir()):
        match = _FILE.fullmatch(path.name)
        if match and match["split"].lower() in _SPLITS:
            found.setdefault((match["what"].lower(), _SPLITS[match["split"].lower()]), path)  # unpacked before packed
    if not found:
        return None
    splits = {split: _read(path) for (what, split), path in found.items() if what == "images"}
    labels = {split: _read(path) for (what, split), path in found.items() if what == "labels" and split in splits}
    if "train" not in splits:
        raise DataError(
            f"as_source: expected train-images-idx3-ubyte, or that with .gz, in {str(folder)!r}; got "
            f"{', '.join(path.name for path in found.values())}. Copy the training pictures there."
        )
    if "test" in splits and "valid" not in splits and len(splits["train"]) >= 2:
        last = max(1, len(splits["train"]) // 6)
        for named in (splits, labels):
            if "train" in named:
                named["train"], named["valid"] = named["train"][:-last], named["train"][-last:]
    return assemble(splits, options, name=folder.resolve().name, labels=labels)


def _read(path: Path) -> np.ndarray:
    content = read_bytes(path)
    axes = content[3] if len(content) >= 4 else 0
    start = 4 + 4 * axes
    if content[:2] != b"\0\0" or content[2:3] == b"" or content[2] not in _TYPES or axes == 0 or len(content) < start:
        raise DataError(
            f"as_source: expected an idx file, which starts with two zero bytes, a type and its axes; got {str(path)!r}, "
            f"which starts with {content[:4].hex(' ')}. Give another format its own ending."
        )
    shape = struct.unpack(f">{axes}I", content[4:start])
    kind = np.dtype(_TYPES[content[2]])
    expected = math.prod(shape) * kind.itemsize
    if len(content) - start != expected:
        raise DataError(
            f"as_source: expected {expected} bytes of values for shape {shape} in {str(path)!r}; got "
            f"{len(content) - start}. The file is truncated or corrupt: copy or download it again."
        )
    return np.frombuffer(content, kind, offset=start).reshape(shape)

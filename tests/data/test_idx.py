"""The idx format, by files that the tests write themselves."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
import torch

from probgen.data import as_source
from probgen.errors import DataError

CODES = {"u1": 0x08, "i1": 0x09, ">i2": 0x0B, ">i4": 0x0C, ">f4": 0x0D, ">f8": 0x0E}
PIXELS = np.random.default_rng(0).integers(0, 256, (60, 5, 4), dtype=np.uint8)


def encode(array: np.ndarray, kind: str = "u1") -> bytes:
    header = struct.pack(">BBBB", 0, 0, CODES[kind], array.ndim) + struct.pack(f">{array.ndim}I", *array.shape)
    return header + array.astype(kind).tobytes()


def write(folder: Path, *, suffix: str = "", pattern: str = "{split}-{what}-idx{axes}-ubyte") -> None:
    folder.mkdir(exist_ok=True)
    for split, rows in (("train", PIXELS), ("t10k", PIXELS[:7])):
        for what, array in (("images", rows), ("labels", np.arange(len(rows)) % 10)):
            content = encode(array)
            path = folder / (pattern.format(split=split, what=what, axes=array.ndim) + suffix)
            path.write_bytes(gzip.compress(content) if suffix else content)


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("pattern", ["{split}-{what}-idx{axes}-ubyte", "{split}-{what}.idx{axes}-ubyte"])
def test_a_folder_like_that_of_mnist(tmp_path: Path, suffix: str, pattern: str) -> None:
    write(tmp_path / "clothes", suffix=suffix, pattern=pattern)
    source = as_source(tmp_path / "clothes")
    assert source.describe() == (
        "clothes: 50 train / 10 valid / 7 test; events (1, 5, 4) of pixel levels 0 to 255, 10 labels (8-bit pictures)"
    )
    assert torch.equal(source.splits["valid"].squeeze(1), torch.from_numpy(PIXELS[50:]))  # the last sixth
    assert source.labels["valid"].tolist() == list(range(10))
    assert torch.equal(source.splits["test"].squeeze(1), torch.from_numpy(PIXELS[:7]))


def test_unlabelled_and_single_files(tmp_path: Path) -> None:
    (tmp_path / "train-images-idx3-ubyte").write_bytes(encode(PIXELS))
    source = as_source(tmp_path)
    assert not source.labels
    assert [len(values) for values in source.splits.values()] == [48, 6, 6]
    single = as_source(tmp_path / "train-images-idx3-ubyte")
    assert [len(values) for values in single.splits.values()] == [48, 6, 6]


@pytest.mark.parametrize("kind", CODES)
def test_every_type_of_value(tmp_path: Path, kind: str) -> None:
    values = np.arange(100).reshape(20, 5)
    (tmp_path / "values.idx").write_bytes(encode(values, kind))
    source = as_source(tmp_path / "values.idx")
    assert source.kind == ("real" if "f" in kind else "levels")
    assert torch.cat(list(source.splits.values())).double().sum() == values.sum()


def test_broken_files_are_named(tmp_path: Path) -> None:
    whole = encode(PIXELS)
    packed = gzip.compress(whole)
    for name, content, match in [
        ("a-ubyte", whole[:-1], r"expected 1200 bytes of values for shape \(60, 5, 4\) in '.*a-ubyte'; got 1199"),
        ("b-ubyte", whole + b"\0", r"got 1201. The file is truncated or corrupt"),
        ("c-ubyte", b"", r"c-ubyte', which is empty"),
        ("d-ubyte", b"hello", r"expected an idx file.*d-ubyte', which starts with 68 65 6c 6c"),
        ("e-ubyte", b"\0\0\x08\x03\0\0", r"e-ubyte', which starts with"),
        ("f-ubyte.gz", packed[:-20], r"expected a whole gzip file; got '.*f-ubyte.gz', which is truncated or corrupt"),
        ("g-ubyte.gz", whole, r"g-ubyte.gz', which is truncated or corrupt \(Not a gzipped file"),
        ("h-ubyte.gz", packed[:100] + bytes(50) + packed[150:], r"h-ubyte.gz', which is truncated or corrupt"),
    ]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=match):
            as_source(tmp_path / name)


def test_a_folder_without_its_training_pictures(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "train-images-idx3-ubyte").unlink()
    with pytest.raises(DataError, match=r"expected train-images-idx3-ubyte.*got t10k-images-idx3-ubyte, t10k-labels"):
        as_source(tmp_path)


def test_labels_that_do_not_fit(tmp_path: Path) -> None:
    write(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(encode(np.zeros(3)))
    with pytest.raises(DataError, match=r"a label for each of the 7 examples in split test .*got shape \(3,\)"):
        as_source(tmp_path)


def test_a_folder_with_nothing_to_read(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("nothing")
    with pytest.raises(DataError, match=r"expected idx files or PNG or JPEG pictures in .*a folder without any"):
        as_source(tmp_path)
    with pytest.raises(DataError, match=r"expected a file that can be read; got '.*notes.md'. Readable are: idx, .npy"):
        as_source(tmp_path / "notes.md")

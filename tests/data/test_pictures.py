"""Folders of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from probgen.data import as_source
from probgen.errors import DataError

RANDOM = np.random.default_rng(0)


def write(path: Path, mode: str = "L", size: tuple[int, int] = (6, 4)) -> np.ndarray:
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"RGB": 3, "RGBA": 4, "LA": 2}.get(mode)
    shape = (size[1], size[0]) if channels is None else (size[1], size[0], channels)
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels > 127 if mode == "1" else pixels, None if mode == "1" else mode).save(path)
    return pixels


def test_a_flat_folder_of_grey_pictures(tmp_path: Path) -> None:
    pixels = [write(tmp_path / f"{number:02}.png") for number in range(20)]
    (tmp_path / "notes.txt").write_text("not a picture")
    write(tmp_path / ".hidden.png", size=(9, 9))
    source = as_source(tmp_path, fractions=(0.5, 0.25, 0.25), name="grey")
    assert (
        source.describe() == "grey: 10 train / 5 valid / 5 test; events (1, 4, 6) of pixel levels 0 to 255 (8-bit pictures)"
    )
    found = torch.cat(list(source.splits.values())).squeeze(1)
    expected = torch.from_numpy(np.stack(pixels))
    assert sorted(found.flatten(1).tolist()) == sorted(expected.flatten(1).tolist())


def test_splits_and_classes(tmp_path: Path) -> None:
    dog = write(tmp_path / "val" / "dog" / "a.png", "RGB")
    for split, names in (("train", ("cat", "dog", "eel")), ("test", ("dog",))):
        for name in names:
            write(tmp_path / split / name / "b.png", "RGB")
            write(tmp_path / split / name / "c.JPG", "RGB")
    source = as_source(tmp_path)
    assert [len(values) for values in source.splits.values()] == [6, 1, 2]
    assert source.label_names == ("cat", "dog", "eel")
    assert {split: labels.tolist() for split, labels in source.labels.items()} == {
        "train": [0, 0, 1, 1, 2, 2],
        "valid": [1],
        "test": [1, 1],
    }
    assert torch.equal(source.splits["valid"][0], torch.from_numpy(dog).permute(2, 0, 1))


@pytest.mark.parametrize(
    ("modes", "channels", "kind"),
    [("1", 1, "binary"), ("L1", 1, "levels"), ("LA", 1, "levels"), (("L", "RGB"), 3, "levels"), (("RGBA",), 3, "levels")],
)
def test_modes(tmp_path: Path, modes: tuple[str, ...], channels: int, kind: str) -> None:
    for number, mode in enumerate([*([modes] if modes == "LA" else modes)] * 3):
        write(tmp_path / f"{number}.png", mode)
    source = as_source(tmp_path)
    assert (source.kind, tuple(source.event_shape)) == (kind, (channels, 4, 6))


def test_broken_pictures_are_named(tmp_path: Path) -> None:
    for number in range(4):
        write(tmp_path / f"{number}.png")
    content = (tmp_path / "1.png").read_bytes()
    for broken, match in [
        (content[: len(content) // 2], r"expected a whole picture; got '.*1.png'"),
        (b"hello", r"expected a whole picture; got '.*1.png'"),
        (b"", r"expected a whole picture; got '.*1.png'"),
    ]:
        (tmp_path / "1.png").write_bytes(broken)
        with pytest.raises(DataError, match=match):
            as_source(tmp_path)
    write(tmp_path / "1.png", size=(6, 5))
    with pytest.raises(DataError, match=r"pictures of one size, 6x4 as '.*0.png'; got 6x5 in '.*1.png'"):
        as_source(tmp_path)
    Image.fromarray(np.zeros((4, 6), np.uint16)).save(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"8 bits a channel; got mode I;16 in '.*1.png'"):
        as_source(tmp_path)


def test_pictures_inside_and_outside_of_classes(tmp_path: Path) -> None:
    write(tmp_path / "cat" / "a.png")
    write(tmp_path / "stray.png")
    with pytest.raises(DataError, match=r"every picture in a class folder.*\(cat\); got '.*stray.png'"):
        as_source(tmp_path)


def test_no_training_pictures(tmp_path: Path) -> None:
    write(tmp_path / "test" / "a.png")
    with pytest.raises(DataError, match=r"expected pictures in '.*train'; got none"):
        as_source(tmp_path)

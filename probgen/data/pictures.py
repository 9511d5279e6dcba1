"""Folders of pictures: PNG or JPEG files of one size, classes and splits as subfolders."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from probgen.data.assembling import assemble
from probgen.data.reading import ReadingOptions
from probgen.data.source import Source
from probgen.errors import DataError

__all__ = ["PICTURE_ENDINGS", "read_picture_folder"]

PICTURE_ENDINGS = (".png", ".jpg", ".jpeg")

_SPLIT_FOLDERS = {"train": "train", "valid": "valid", "val": "valid", "validation": "valid", "test": "test"}
_GREY_MODES = ("1", "L", "LA")
_COLOUR_MODES = ("P", "RGB", "RGBA", "CMYK", "YCbCr")


def read_picture_folder(folder: Path, options: ReadingOptions) -> Source | None:
    """Return the source in a folder of pictures; None where there are none.

    Subfolders `train`, `valid` (or `val`) and `test` are the splits. Pictures lie in there directly or, with labels, in a
    subfolder for each class; classes are numbered in alphabetical order. Transparency is dropped; one colour picture makes
    all of them colour.

    Raises:
        DataError: a file is no 8-bit picture, is corrupt or has another size than the first one, or pictures lie both inside
            and outside of class folders.
    """
    split_folders = {
        _SPLIT_FOLDERS[path.name.lower()]: path for path in _folders(folder) if path.name.lower() in _SPLIT_FOLDERS
    }
    roots = split_folders or {"train": folder}
    files = {split: _labelled_files(root) for split, root in roots.items()}
    files = {split: found for split, found in files.items() if found}
    if not files:
        return None
    if "train" not in files:
        raise DataError(
            f"as_source: expected pictures in {str(folder / 'train')!r}; got none. Put the training pictures there."
        )
    names = sorted({label for found in files.values() for _, label in found if label is not None})
    unlabelled = next((path for found in files.values() for path, label in found if label is None), None)
    if names and unlabelled is not None:
        raise DataError(
            f"as_source: expected every picture in a class folder, as there are such ({', '.join(names[:3])}); got "
            f"{str(unlabelled)!r}. Move it into one of them."
        )
    pictures = _read([path for found in files.values() for path, _ in found])
    ends = np.cumsum([len(found) for found in files.values()])[:-1]
    return assemble(
        dict(zip(files, np.split(pictures, ends), strict=True)),
        options,
        name=folder.resolve().name,
        labels={split: np.array([names.index(str(label)) for _, label in found]) for split, found in files.items()}
        if names
        else {},
        label_names=names,
        is_image=True,
    )


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _labelled_files(root: Path) -> list[tuple[Path, str | None]]:
    """Return the pictures in a folder, without label, and those in its subfolders, labelled with the subfolder's name."""
    found: list[tuple[Path, str | None]] = [(path, None) for path in _pictures(root)]
    for folder in _folders(root):
        found += [(path, folder.name) for path in _pictures(folder)]
    return found


def _pictures(folder: Path) -> list[Path]:
    return sorted(
        path for path in folder.iterdir() if path.suffix.lower() in PICTURE_ENDINGS and not path.name.startswith(".")
    )


def _read(paths: Sequence[Path]) -> np.ndarray:
    """Return the pictures as `(N, C, H, W)`: bool where all are black and white, else uint8."""
    images = [_open(path) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.size != images[0].size:
            raise DataError(
                f"as_source: expected pictures of one size, {images[0].width}x{images[0].height} as {str(paths[0])!r}; got "
                f"{image.width}x{image.height} in {str(path)!r}. Resize or remove it."
            )
    modes = {image.mode for image in images}
    mode = "RGB" if modes & set(_COLOUR_MODES) else "1" if modes == {"1"} else "L"
    stacked = np.stack([np.asarray(image.convert(mode)) for image in images])
    return stacked.transpose(0, 3, 1, 2) if mode == "RGB" else stacked[:, None]


def _open(path: Path) -> Image.Image:
    try:
        with Image.open(path) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise DataError(
            f"as_source: expected a whole picture; got {str(path)!r}, which cannot be read ({error}). Replace or remove it."
        ) from error
    if image.mode not in (*_GREY_MODES, *_COLOUR_MODES):
        raise DataError(
            f"as_source: expected pictures of 8 bits a channel; got mode {image.mode} in {str(path)!r}. Convert it."
        )
    return image

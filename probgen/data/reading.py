"""What readers of files share: their options, and bytes with an error that names the file."""

from __future__ import annotations

import dataclasses
import gzip
import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probgen.errors import ConfigurationError, DataError, suggest

__all__ = ["ReadingOptions", "read_bytes", "stem"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """How data that are no registered set are read; the keywords of `as_source`.

    Args:
        seed: Of the random split, for data that come in one piece. It is not the seed of a run: runs with different seeds
            see the same split.
        name: What the data are called; None takes the file's name, or `data`.
        kind: `binary`, `levels`, `count` or `real`; None to recognise it (see `probgen.data.kinds`).
        image: Whether events are pictures; None to recognise it: 8-bit arrays `(N, H, W)` and arrays `(N, C, H, W)` or
            `(N, H, W, C)` with one or three channels are.
        label: Column of a table that holds the class of each row, by name or position; None when there is none.
        fold: For an archive with an array `fold`: the fold that is the test split; the next one is for validation.
        fractions: Shares of train, valid and test in a random split.
    """

    seed: int = 0
    name: str | None = None
    kind: str | None = None
    image: bool | None = None
    label: str | int | None = None
    fold: int = 0
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)

    def __post_init__(self) -> None:
        if len(self.fractions) != 3 or min(self.fractions) <= 0 or not math.isclose(sum(self.fractions), 1, abs_tol=1e-9):
            raise ConfigurationError(
                f"as_source: expected fractions as three positive shares that add up to 1; got {self.fractions}. "
                "Use (0.8, 0.1, 0.1), say."
            )

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> ReadingOptions:
        """Return the options called so.

        Raises:
            ConfigurationError: there is no such option.
        """
        known = [field.name for field in dataclasses.fields(cls)]
        for name in options:
            if name not in known:
                raise ConfigurationError(f"as_source: expected the name of an option; got {name!r}. {suggest(name, known)}")
        return cls(**options)

    def named(self, name: str) -> str:
        """Return the data's name: the one chosen, else `name`."""
        return self.name or name


def read_bytes(path: Path) -> bytes:
    """Return what a file holds, unpacked where it is a `.gz`.

    Raises:
        DataError: the file cannot be read, is empty, or is truncated or corrupt.
    """
    try:
        content = path.read_bytes()
        if content and path.suffix == ".gz":
            content = gzip.decompress(content)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(
            f"as_source: expected a whole gzip file; got {str(path)!r}, which is truncated or corrupt ({error}). "
            "Copy or download it again."
        ) from error
    except OSError as error:
        raise DataError(
            f"as_source: expected a readable file; got {str(path)!r} ({error.strerror}). Check its permissions."
        ) from error
    if not content:
        raise DataError(f"as_source: expected data; got {str(path)!r}, which is empty. Copy or download it again.")
    return content


def stem(path: Path) -> str:
    """Return a file's name without its endings: `wine` for `wine.csv.gz`."""
    return path.name.removesuffix(".gz").rsplit(".", 1)[0] or path.name

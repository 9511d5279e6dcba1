"""Files that a command is to write, refused before any work where they could not be."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from probgen.errors import ConfigurationError

__all__ = ["checked_target"]


def checked_target(path: Path, *, endings: Sequence[str], command: str, flag: str = "--out") -> Path:
    """Return `path` after checking that its ending is known and its folder is there.

    Raises:
        ConfigurationError: it is not.
    """
    if path.suffix.lower() not in endings:
        raise ConfigurationError(
            f"{command}: expected {flag} to end in {' or '.join(endings)}; got {path}. The ending says how to write it."
        )
    if not path.parent.is_dir():
        raise ConfigurationError(
            f"{command}: expected {flag} in a folder that exists; got {path}. Make {path.parent} first."
        )
    return path

"""Files that a command is to write, refused before any work where they could not be."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from probgen.errors import ConfigurationError

__all__ = ["checked_target", "takes_files"]


def checked_target(
    path: Path, *, endings: Sequence[str], command: str, flag: str = "--out", replace: bool = True, make: bool = False
) -> Path:
    """Return `path` after checking that its ending is known, that its folder takes files, and that nothing is overwritten.

    Args:
        path: The file to write.
        endings: The endings that it may have.
        command: What is to write it, for messages.
        flag: Where it was named, for messages.
        replace: Whether a file that is there already may be replaced: whether --force was given.
        make: Whether the command makes the file's folder, so that one above it is looked at where it is not there yet.

    Raises:
        ConfigurationError: the file cannot or must not be written.
    """
    if path.suffix.lower() not in endings:
        raise ConfigurationError(
            f"{command}: expected {flag} to end in {' or '.join(endings)}; got {path}. The ending says how to write it."
        )
    folder = path.parent
    while make and not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if not folder.is_dir():
        raise ConfigurationError(
            f"{command}: expected {flag} in a folder that exists; got {path}. "
            + (f"{folder} is a file: choose another folder." if folder.exists() else f"Make {folder} first.")
        )
    if not takes_files(folder):
        raise ConfigurationError(
            f"{command}: expected {flag} in a folder that can be written; got {path}. Choose another folder."
        )
    if path.is_dir():
        raise ConfigurationError(f"{command}: expected {flag} to be a file; got {path}, a folder. Name a file in it.")
    if path.exists() and not replace:
        raise ConfigurationError(
            f"{command}: expected {flag} to be a new file; got {path}, which exists. Add --force to replace it."
        )
    return path


def takes_files(folder: Path) -> bool:
    """Whether a file can be made in `folder`, found out by making one that has no name, or is gone again at once."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False

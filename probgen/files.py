"""Writing files so that a crash leaves either the old one or the new one, never a half."""

from __future__ import annotations

import contextlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

__all__ = ["only_one", "read_json", "sweep", "sync_folder", "write_atomically", "write_json"]

_TEMPORARY = re.compile(r"\..+(?P<ending>\.[^.]+)\.[a-z0-9_]{8}(?P=ending)")
"""What `write_atomically` calls a file with an ending until it is whole: `.report.html.x3k_f81q.html` for `report.html`."""


def write_atomically(path: Path, content: str | bytes | Callable[[Path], None]) -> None:
    """Make `path` hold `content`: write a temporary file beside it, flush it to the disk, rename it into place.

    Args:
        path: The file to make or replace. Its folder must exist.
        content: Text, bytes, or a function that writes the file at the path it is given.

    Raises:
        OSError: the disk is full or the folder cannot be written; nothing is left behind, and an old file stays as it was.
    """
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        if callable(content):
            content(temporary)
        elif isinstance(content, bytes):
            temporary.write_bytes(content)
        else:
            temporary.write_text(content, encoding="utf-8", newline="")
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            temporary.unlink()
    sync_folder(path.parent)


def sweep(folder: Path) -> None:
    """Remove what killed processes left of files, with an ending, that `write_atomically` was making in `folder`.

    Call it where nothing else can be writing there: inside `only_one`.
    """
    for path in folder.iterdir():
        if _TEMPORARY.fullmatch(path.name) and path.is_file():
            path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Make `path` hold `value` as indented JSON, atomically."""
    write_atomically(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Return the JSON value that `path` holds."""
    return json.loads(path.read_text(encoding="utf-8"))


def sync_folder(folder: Path) -> None:
    """Flush a folder's entries to the disk, so that a rename inside it survives a power cut (a no-op on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def only_one(folder: Path) -> Iterator[bool]:
    """Claim `folder` for this process inside the block; the value says whether it was free.

    The claim ends with the process, however that ends. Where the system has no such locks (Windows) every folder is free.
    """
    try:
        import fcntl
    except ImportError:
        yield True
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        free = True
    except BlockingIOError:
        free = False
    try:
        yield free
    finally:
        os.close(handle)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value

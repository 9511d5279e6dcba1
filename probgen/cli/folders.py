"""Run folders: naming one, taking one, and leaving nothing behind when it was taken in vain."""

from __future__ import annotations

import datetime
import re
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from probgen.cli.config import CONFIG_FILE
from probgen.cli.targets import takes_files
from probgen.errors import ConfigurationError, ProbgenError

__all__ = ["default_folder", "taken"]


def default_folder(model: str, data: str, *, root: Path = Path("runs")) -> Path:
    """Return a folder below `root` for a run of `model` on `data` today that is not there yet.

    Example:
        >>> default_folder("latent/vae", "digits", root=Path("/nowhere")).name[11:]
        'latent-vae-digits'
    """
    today = datetime.datetime.now().astimezone().date().isoformat()
    stem = f"{today}-{_slug(model)}-{_slug(Path(data).name or data)}"
    folder, number = root / stem, 1
    while folder.exists():
        number += 1
        folder = root / f"{stem}-{number}"
    return folder


@contextmanager
def taken(folder: Path) -> Iterator[None]:
    """Make `folder` for the block, which fills it. Bad input found before there is anything to resume removes it again.

    Raises:
        ConfigurationError: there is something in the folder already, or it cannot be made.
    """
    made = _make(folder)
    try:
        yield
    except ProbgenError as error:
        if error.exit_code == 2 and not any((folder / "checkpoints").glob("stage-*")):
            _remove(folder, made)
        raise


def _make(folder: Path) -> list[Path]:
    """Make the folder and return the folders that were made for it, the innermost first."""
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        occupied = next(folder.iterdir(), None)
    except OSError as error:
        raise ConfigurationError(
            f"train: expected a run folder that can be written; got {folder} ({error.strerror}). Choose another --run-dir."
        ) from error
    if not takes_files(folder):
        raise ConfigurationError(
            f"train: expected a run folder that can be written; got {folder}, which takes no files. "
            "Choose another --run-dir."
        )
    if occupied is not None:
        resumed = f", or go on with the run in it: probgen train --resume {shlex.quote(str(folder))}"
        raise ConfigurationError(
            f"train: expected an empty or new run folder; got {folder}, which holds {occupied.name}. "
            f"Choose another --run-dir{resumed if (folder / CONFIG_FILE).exists() else ''}."
        )
    return made


def _remove(folder: Path, made: list[Path]) -> None:
    """Remove what is in the folder, and the folders that were made for it unless others now use them."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
    for path in made:
        if any(path.iterdir()):
            return
        path.rmdir()


def _slug(text: str) -> str:
    return re.sub(r"[^A-Za-z0-9._]+", "-", text.lower()).strip("-.") or "data"

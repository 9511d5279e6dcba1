"""Checkpoints: everything that a run needs to go on as if it had never stopped.

A checkpoint is a folder with `tensors.safetensors` and `checkpoint.json`, which holds the position, a checksum and all that
is not a tensor. It is written under a temporary name, flushed and renamed, so that a folder with a checkpoint's name is
always whole. Nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from safetensors.torch import save as serialise
from torch import Tensor

from probgen.errors import CheckpointError, RunError
from probgen.files import read_json, sync_folder, write_atomically, write_json

__all__ = ["Checkpoint", "load_tensors", "read_latest", "save_tensors", "write_checkpoint"]

_NAME = re.compile(r"stage-(\d+)-step-(\d+)")
_KEPT = 2
"""How many checkpoints stay: the newest, and the one before it in case the disk loses the newest."""


@dataclasses.dataclass(frozen=True, eq=False)
class Checkpoint:
    """A position in a run and everything that belongs to it.

    Args:
        stage: Number of the stage in the recipe, from 0; the number of stages once training is finished.
        step: Steps of that stage that are done.
        tensors: Every tensor, by a name with the owner in front: `model.`, `optimizer.<phase>.`, `state.`, …
        values: Whatever else is needed, as JSON values.
    """

    stage: int
    step: int
    tensors: Mapping[str, Tensor]
    values: Mapping[str, Any]


def write_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write `checkpoint` below `folder`, remove the ones that it makes superfluous, and return its path.

    Raises:
        RunError: the disk is full or the folder cannot be written. Earlier checkpoints stay as they were.
    """
    target = folder / f"stage-{checkpoint.stage:02d}-step-{checkpoint.step:09d}"
    temporary = folder / f".{target.name}.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _sweep(folder)
        temporary.mkdir()
        tensors = temporary / "tensors.safetensors"
        save_tensors(tensors, checkpoint.tensors)
        body = {"stage": checkpoint.stage, "step": checkpoint.step, "values": dict(checkpoint.values)}
        write_json(temporary / "checkpoint.json", {"seal": _seal(body, tensors), **body})
        if target.exists():  # a folder cannot be replaced at once: its old self waits under a name that is swept
            os.replace(target, folder / f".{target.name}.old")
        os.replace(temporary, target)
        sync_folder(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise RunError(
            f"write_checkpoint: expected to write {target}; got {error.strerror or error}. "
            "Make room or set permissions, then resume: earlier checkpoints are untouched."
        ) from error
    _sweep(folder)
    for old in _found(folder)[:-_KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def read_latest(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint below `folder`, or None when there is none.

    Raises:
        CheckpointError: the newest one was truncated or altered. It is not passed over in silence.
    """
    found = _found(folder)
    return _read(found[-1]) if found else None


def save_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors to a safetensors file atomically.

    Tied tensors are written once, and the file's header says under which other names `load_tensors` returns them;
    non-contiguous ones are written in contiguous order.
    """
    first: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}
    kept: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        key = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride(), tensor.dtype)
        if tensor.numel() and key in first:
            aliases[name] = first[key]
            continue
        first[key] = name
        kept[name] = tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)
    # Not `save_file`: on a full disk it raises an error of its own, which does not say what the system said.
    write_atomically(path, serialise(kept, metadata={"aliases": json.dumps(aliases)}))


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read what `save_tensors` wrote.

    Raises:
        CheckpointError: the file is missing, truncated or altered.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}  # not mapped to a file that may go
        aliases = json.loads(metadata.get("aliases", "{}"))
        return tensors | {name: tensors[source] for name, source in aliases.items()}
    except (OSError, SafetensorError, ValueError, KeyError) as error:
        raise CheckpointError(
            f"load_tensors: expected a whole safetensors file at {path}; got {error}. Restore it from a copy."
        ) from error


def _read(path: Path) -> Checkpoint:
    tensors = path / "tensors.safetensors"
    try:
        body = read_json(path / "checkpoint.json")
        if body.pop("seal") != _seal(body, tensors):
            raise ValueError("contents that do not match their checksum")
        return Checkpoint(body["stage"], body["step"], load_tensors(tensors), body["values"])
    except (OSError, ValueError, KeyError, TypeError, CheckpointError) as error:
        raise CheckpointError(
            f"read_latest: expected a whole checkpoint at {path}; got {error}. "
            "It was truncated or altered: move it away to resume from the one before."
        ) from error


def _found(folder: Path) -> list[Path]:
    """Return the checkpoints below `folder`, oldest first."""
    matches = [(match, path) for path in _children(folder) if (match := _NAME.fullmatch(path.name))]
    return [path for _, path in sorted(matches, key=lambda pair: (int(pair[0][1]), int(pair[0][2])))]


def _sweep(folder: Path) -> None:
    """Remove what a killed process left behind."""
    for path in _children(folder):
        if path.name.startswith(".stage-"):
            shutil.rmtree(path, ignore_errors=True)


def _children(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _seal(body: Mapping[str, Any], tensors: Path) -> str:
    """Return a checksum of a checkpoint's values and of its tensors' file."""
    with tensors.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256")
    digest.update(json.dumps(body, sort_keys=True).encode())
    return digest.hexdigest()

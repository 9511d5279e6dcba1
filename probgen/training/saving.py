"""Trained models on disk: weights in safetensors, and beside them how to make the model again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

import probgen
from probgen.errors import CheckpointError
from probgen.files import read_json, write_json
from probgen.plugin import Provenance, rebuild
from probgen.training.checkpoint import load_tensors, save_tensors

__all__ = ["load", "save"]


def save(model: Any, folder: str | Path) -> Path:
    """Write a model's weights to `folder/model.safetensors`, and how it was built to `folder/model.json`.

    Args:
        model: A module. One that `probgen.build` made of names can be loaded by its folder alone; for others, `load` takes a
            model.
        folder: Made when it is not there. Files of the same names are replaced, each atomically.

    Raises:
        CheckpointError: `model` is no module, or the folder cannot be written.
    """
    if not isinstance(model, nn.Module):
        raise CheckpointError(f"save: expected a torch module; got {type(model).__name__}. It has no weights to save.")
    path = Path(folder)
    provenance = getattr(model, "provenance", None)
    description = {
        "class": type(model).__name__,
        "provenance": None if provenance is None else provenance.to_json(),
        "versions": {"probgen": probgen.__version__, "torch": torch.__version__},
    }
    try:
        path.mkdir(parents=True, exist_ok=True)
        write_json(path / "model.json", description)
        save_tensors(path / "model.safetensors", model.state_dict())  # last: whoever sees the weights sees all
    except OSError as error:
        raise CheckpointError(
            f"save: expected a folder that can be written; got {path} ({error.strerror or error}). Choose another."
        ) from error
    return path


def load(folder: str | Path, model: Any = None) -> Any:
    """Return the model that a run folder, or `save`, wrote, in evaluation mode.

    Args:
        folder: The run folder.
        model: A model of the same making to load the weights into, where names alone cannot make it again: no plugin
            registers it, or a slot of it holds an object (a composite, a distribution) that was made in Python.

    Raises:
        CheckpointError: there is no finished model, it is damaged, or `model` is not like the one that was saved.
        UnknownNameError: the plugin that made the model is not installed; the message names it.
    """
    path = Path(folder)
    if not (path / "model.safetensors").exists():
        hint = "Resume the run to finish it." if (path / "config.json").exists() else "Check the path."
        raise CheckpointError(f"load: expected a trained model in {path}; got no model.safetensors there. {hint}")
    if model is None:
        try:
            description = read_json(path / "model.json")
            saved, made = description["provenance"], description["class"]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(f"load: expected a whole model.json in {path}; got {error}. Pass model=….") from error
        if saved is None:
            raise CheckpointError(
                f"load: expected a model that names alone can make again; got a {made} in {path} that was made by hand, or "
                "that holds an object in a slot. Make one like it in Python, and pass it: probgen.load(folder, model=…)."
            )
        model = rebuild(Provenance.from_json(saved))
    tensors = load_tensors(path / "model.safetensors")
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise CheckpointError(
            f"load: expected the weights of a {type(model).__name__}; got others in {path} "
            f"({' '.join(str(error).split())}). Pass a model with the same options."
        ) from error
    return model.eval()

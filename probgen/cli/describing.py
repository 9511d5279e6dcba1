"""From what was asked for, on the command line and in a file, to a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probgen.cli.config import RunConfig
from probgen.cli.toml import overridden, read_description
from probgen.errors import ConfigurationError, UnknownNameError

__all__ = ["configuration", "described"]

_TABLES = ("model", "data", "estimator", "training")


def configuration(asked: Mapping[str, dict[str, Any]], path: Path | None, *, command: str) -> RunConfig:
    """Return the checked configuration of what was asked for, over what the file at `path` says.

    Args:
        asked: What the command line says, by the tables of a described run; None for what it does not say.
        path: A described run; None for none.
        command: What was typed.

    Raises:
        ConfigurationError: the file cannot be read, or an option is missing, unknown or invalid.
        UnknownNameError: nothing registers the model or the estimator.
    """
    described = read_description(path) if path is not None else {table: {} for table in asked}
    given = {table: {key: value for key, value in values.items() if value is not None} for table, values in asked.items()}
    for table in ("model", "estimator"):  # options belong to what they were written for
        if given[table].get("name", described[table].get("name")) != described[table].get("name"):
            described[table] = {}
    for budget, other in (("steps", "epochs"), ("epochs", "steps")):
        if budget in given["training"] and other not in given["training"]:
            described["training"].pop(other, None)
    model, data, estimator, training = (overridden(described[table], given[table]) for table in asked)
    return RunConfig.checked(
        model=_needed(model, "name", "a model", "Give MODEL, or name in a file's [model]; `probgen list models` shows them"),
        data=_needed(
            data,
            "source",
            "data",
            "Give --data SRC, or source in a file's [data]; `probgen list data` shows some",
        ),
        view=data.pop("view", None),
        context=data.pop("context", None),
        estimator=estimator.pop("name", None),
        stage=estimator.pop("stage", None),
        model_options=model,
        data_options=data,
        estimator_options=estimator,
        training=training,
        command=command,
    )


def described(path: Path) -> RunConfig:
    """Return the checked configuration of the described run at `path` alone; see `configuration`.

    Of several files, an error says which one it is about.
    """
    try:
        return configuration({table: {} for table in _TABLES}, path, command="")
    except (ConfigurationError, UnknownNameError) as error:
        if str(path) in str(error):
            raise
        raise type(error)(f"{path}: {error}") from error


def _needed(table: dict[str, Any], key: str, what: str, remedy: str) -> str:
    value = table.pop(key, None)
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"train: expected {what}; got {'none' if value is None else repr(value)}. {remedy}.")
    return value

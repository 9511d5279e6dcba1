"""Runs described in a TOML file, and how the command line overrides it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from probgen.errors import ConfigurationError, suggest

__all__ = ["Description", "overridden", "read_description"]

Description = dict[str, dict[str, Any]]
"""Tables by name: `model`, `data`, `estimator` and `training`, each there and perhaps empty."""

_TABLES = ("model", "data", "estimator", "training")


def read_description(path: Path) -> Description:
    """Return what the file says.

    Raises:
        ConfigurationError: the file cannot be read, is no TOML, or has another table.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"train: expected a TOML file; got {path} ({error.strerror}). Check the path.") from error
    except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError are ones
        raise ConfigurationError(f"train: expected TOML in {path}; got {error}. Correct that line.") from error
    for name, table in content.items():
        if name not in _TABLES:
            raise ConfigurationError(
                f"train: expected tables among {', '.join(_TABLES)} in {path}; got {name!r}. {suggest(name, _TABLES)}"
            )
        if not isinstance(table, dict):
            raise ConfigurationError(f"train: expected a table [{name}] in {path}; got {table!r}. Write [{name}] above it.")
    return {name: content.get(name, {}) for name in _TABLES}


def overridden(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options `below` with those `above` put over them; the options of a slot follow its model.

    Example:
        >>> overridden({"latent": 8, "prior": "flows/maf"}, {"prior": {"transforms": "4"}})
        {'latent': 8, 'prior': {'name': 'flows/maf', 'transforms': '4'}}
        >>> overridden({"prior": {"name": "flows/maf", "transforms": 4}}, {"prior": "latent/vae"})
        {'prior': 'latent/vae'}
    """
    merged = dict(below)
    for name, value in above.items():
        old = merged.get(name)
        if isinstance(value, Mapping) and old is not None:
            old = old if isinstance(old, Mapping) else {"name": old}
            same = value.get("name", old.get("name")) == old.get("name")
            merged[name] = overridden(old, value) if same else dict(value)
        else:
            merged[name] = value
    return merged

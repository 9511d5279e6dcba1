"""`probgen new-plugin`: a plugin to begin with, whole, installable and tested."""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from probgen.cli import console
from probgen.cli.scaffold import PREFIX, Kind, commands, plugin_files
from probgen.cli.targets import takes_files
from probgen.errors import ConfigurationError
from probgen.plugin.manager import registry

__all__ = ["new_plugin"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")

_WRITTEN = {
    Kind.MODEL: "a density that can be drawn from",
    Kind.ESTIMATOR: "an estimator with a problem that its claims are held against",
    Kind.BOTH: "a density that can be drawn from, and an estimator with a problem that its claims are held against",
}


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The family's name: models will be called NAME/….")],
    *,
    kind: Annotated[Kind, typer.Option(help="What to begin with.")] = Kind.MODEL,
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where to make the folder probgen-NAME.")] = Path("."),
) -> None:
    """Write a plugin to begin with: a package with a model, an estimator or both, its tests, and what pip needs."""
    folder = _checked(name, directory)
    for path, text in plugin_files(name, kind).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    where = shlex.quote(str(folder))
    *checks, last = commands(name, kind)
    console.write(f"Wrote {folder}: {_WRITTEN[kind]}. It is registered and tested. Next:\n")
    for command in (f"pip install -e {where}", *checks, f"pytest {where}", last):
        console.write(f"  {command}")


def _checked(name: str, directory: Path) -> Path:
    """Return the folder for the new plugin, after checking that there is none and that the name is free."""
    if not _NAME.fullmatch(name) or name.startswith(PREFIX):
        remedy = "Leave out the prefix" if name.startswith(PREFIX) else "Use lower case, digits and hyphens"
        raise ConfigurationError(f"new-plugin: expected a name like 'acme' or 'normal-flows'; got {name!r}. {remedy}.")
    for plugin in registry().plugins:
        if name in (plugin.name, *(model.partition("/")[0] for model in plugin.models)):
            raise ConfigurationError(
                f"new-plugin: expected a name that is free; got {name!r}, which is {plugin.distribution}'s. Choose another."
            )
    if not directory.is_dir() or not takes_files(directory):
        wrong, remedy = ("takes no files", "Choose another") if directory.is_dir() else ("is none", "Make it first")
        raise ConfigurationError(
            f"new-plugin: expected --directory to be a folder for files; got {directory}, which {wrong}. {remedy}."
        )
    folder = directory / f"{PREFIX}{name}"
    if folder.exists():
        raise ConfigurationError(f"new-plugin: expected a new folder; got {folder}, which exists. Choose another name.")
    return folder

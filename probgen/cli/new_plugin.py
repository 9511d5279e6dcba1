"""`probgen new-plugin`: a plugin to begin with, whole, installable and tested."""

from __future__ import annotations

import importlib.resources
import re
import shlex
from pathlib import Path
from typing import Annotated

import typer

from probgen import __version__
from probgen.cli import console
from probgen.errors import ConfigurationError
from probgen.plugin.manager import registry

__all__ = ["new_plugin", "plugin_files"]

_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_PREFIX = "probgen-"

_FILES = {
    "pyproject.toml": "pyproject.txt",
    "README.md": "readme.txt",
    "src/__PACKAGE__/__init__.py": "package.txt",
    "src/__PACKAGE__/plugin.py": "plugin.txt",
    "src/__PACKAGE__/logistic.py": "model.txt",
    "tests/test_conformance.py": "conformance.txt",
}
"""Where each file of the new plugin stands, with its template."""


def new_plugin(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The family's name: models will be called NAME/….")],
    *,
    directory: Annotated[Path, typer.Option(metavar="DIR", help="Where to make the folder probgen-NAME.")] = Path("."),
) -> None:
    """Write a plugin to begin with: a package with one model, its tests, and what pip needs to install it."""
    folder = _checked(name, directory)
    for path, text in plugin_files(name).items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
    where = shlex.quote(str(folder))
    console.write(
        f"Wrote {folder}: a density that can be drawn from, its registration and its tests. Next:\n\n"
        f"  pip install -e {where}\n"
        f"  probgen check {name}/logistic\n"
        f"  pytest {where}\n"
        f"  probgen train {name}/logistic --data moons\n"
    )


def plugin_files(name: str) -> dict[str, str]:
    """Return the text of each file of a plugin called `name`, by its path in the plugin's folder.

    Example:
        >>> sorted(plugin_files("acme"))[-1]
        'tests/test_conformance.py'
    """
    major, minor = (int(part) for part in __version__.split(".")[:2])
    words = {
        "__NAME__": name,
        "__DISTRIBUTION__": f"{_PREFIX}{name}",
        "__PACKAGE__": _package(name),
        "__CORE__": f"probgen>={major}.{minor},<{major}.{minor + 1}",
    }
    templates = importlib.resources.files("probgen.cli") / "templates"
    return {
        _filled(path, words): _filled((templates / template).read_text(encoding="utf-8"), words)
        for path, template in _FILES.items()
    }


def _checked(name: str, directory: Path) -> Path:
    """Return the folder for the new plugin, after checking that there is none and that the name is free."""
    if not _NAME.fullmatch(name) or name.startswith(_PREFIX):
        remedy = "Leave out the prefix" if name.startswith(_PREFIX) else "Use lower case, digits and hyphens"
        raise ConfigurationError(f"new-plugin: expected a name like 'acme' or 'normal-flows'; got {name!r}. {remedy}.")
    for plugin in registry().plugins:
        if name in (plugin.name, *(model.partition("/")[0] for model in plugin.models)):
            raise ConfigurationError(
                f"new-plugin: expected a name that is free; got {name!r}, which is {plugin.distribution}'s. Choose another."
            )
    if not directory.is_dir():
        raise ConfigurationError(
            f"new-plugin: expected --directory to be a folder; got {directory}, which is none. Make it first."
        )
    folder = directory / f"{_PREFIX}{name}"
    if folder.exists():
        raise ConfigurationError(f"new-plugin: expected a new folder; got {folder}, which exists. Choose another name.")
    return folder


def _package(name: str) -> str:
    return f"{_PREFIX}{name}".replace("-", "_")


def _filled(text: str, words: dict[str, str]) -> str:
    for word, value in words.items():
        text = text.replace(word, value)
    return text

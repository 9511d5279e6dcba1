"""What a new plugin consists of: its files, filled in from templates."""

from __future__ import annotations

import dataclasses
import enum
import importlib.resources
from collections.abc import Mapping

from probgen import __version__

__all__ = ["PREFIX", "Kind", "checked_names", "commands", "plugin_files"]

PREFIX = "probgen-"
"""What the distribution's name begins with."""


class Kind(enum.StrEnum):
    """What a plugin begins with."""

    MODEL = "model"
    ESTIMATOR = "estimator"
    BOTH = "both"


@dataclasses.dataclass(frozen=True)
class _Part:
    """A thing that a plugin begins with, and what each file says of it.

    Args:
        things: Its plural.
        name: Its registered name.
        summary: What it is, in a few words.
        spec: The class of its spec.
        hook: The hook that registers it; `<hook>.txt` is its template.
        files: Where its files stand, each with its template.
        table: Its table in the README.
        advice: How to add another one, in the README.
    """

    things: str
    name: str
    summary: str
    spec: str
    hook: str
    files: Mapping[str, str]
    table: str
    advice: str


_MODEL = _Part(
    "models",
    "__NAME__/logistic",
    "independent logistic coordinates",
    "ModelSpec",
    "probgen_models",
    {"src/__PACKAGE__/logistic.py": "model.txt"},
    "| model | what it is | events |\n|---|---|---|\n| `__NAME__/logistic` | independent logistic coordinates | real |",
    "To add a model: write its class in a file of its own, with a function that returns tiny instances of it, and a\n"
    "`ModelSpec` in `plugin.py`. Add its name to `tests/test_conformance.py`.",
)

_ESTIMATOR = _Part(
    "estimators",
    "noisy-likelihood",
    "the likelihood of noisy data",
    "EstimatorSpec",
    "probgen_estimators",
    {"src/__PACKAGE__/noisy_likelihood.py": "estimator.txt", "src/__PACKAGE__/problems.py": "problems.txt"},
    "| estimator | what it estimates | for |\n|---|---|---|\n"
    "| `noisy-likelihood` | the likelihood of noisy data | densities of real events |",
    "To add an estimator: write its class in a file of its own, with its `claims`, and an `EstimatorSpec` in `plugin.py`.\n"
    "If it claims something of a quantity that probgen does not know, add a problem on which that is known to\n"
    "`problems.py`. Add its name to `tests/test_conformance.py`.",
)

_PARTS = {Kind.MODEL: (_MODEL,), Kind.ESTIMATOR: (_ESTIMATOR,), Kind.BOTH: (_MODEL, _ESTIMATOR)}

_FILES = {
    "pyproject.toml": "pyproject.txt",
    "README.md": "readme.txt",
    "src/__PACKAGE__/__init__.py": "package.txt",
    "src/__PACKAGE__/plugin.py": "plugin.txt",
    "tests/test_conformance.py": "conformance.txt",
}
"""Where the files of every plugin stand, each with its template."""


def plugin_files(name: str, kind: Kind = Kind.MODEL) -> dict[str, str]:
    """Return the text of each file of a plugin called `name`, by its path in the plugin's folder.

    Example:
        >>> sorted(plugin_files("acme"))[-1]
        'tests/test_conformance.py'
    """
    words = _words(kind)
    files = {**_FILES, **{path: template for part in _PARTS[kind] for path, template in part.files.items()}}
    return {_filled(path, words, name): _filled(_template(template), words, name) for path, template in files.items()}


def checked_names(name: str, kind: Kind) -> list[str]:
    """Return the names that the plugin called `name` registers."""
    return [_filled(part.name, {}, name) for part in _PARTS[kind]]


def commands(name: str, kind: Kind) -> list[str]:
    """Return what one may type once the plugin called `name` is installed."""
    names = checked_names(name, kind)
    checks = [f"probgen check {each}" for each in names]
    trained = {
        Kind.MODEL: f"probgen train {names[0]} --data moons",
        Kind.ESTIMATOR: f"probgen info {names[-1]}",
        Kind.BOTH: f"probgen train {names[0]} --data moons --estimator {names[-1]}",
    }
    return [*checks, trained[kind]]


def _words(kind: Kind) -> dict[str, str]:
    """Return what stands in the templates for what the plugin begins with."""
    parts = _PARTS[kind]
    hooks = sorted(parts, key=lambda part: part.hook)
    return {
        "__THINGS__": " and ".join(part.things for part in parts).capitalize(),
        "__SUMMARY__": ", ".join(part.summary for part in parts),
        "__IMPORTED__": ", ".join([*sorted(part.spec for part in parts), "Option", "hookimpl"]),
        "__EXPORTED__": ", ".join(f'"{part.hook}"' for part in hooks),
        "__HOOKS__": "".join(_template(f"{part.hook}.txt") for part in hooks).rstrip("\n"),
        "__CHECKED__": ", ".join(f'"{part.name}"' for part in parts),
        "__TABLES__": "\n\n".join(part.table for part in parts),
        "__COMMANDS__": "\n".join(f"$ {command}" for command in commands("__NAME__", kind)),
        "__ADVICE__": "\n\n".join(part.advice for part in parts),
    }


def _template(name: str) -> str:
    return (importlib.resources.files("probgen.cli") / "templates" / name).read_text(encoding="utf-8")


def _filled(text: str, words: Mapping[str, str], name: str) -> str:
    """Return a text with its placeholders replaced: those of the parts first, whose words have some of their own."""
    major, minor = (int(part) for part in __version__.split(".")[:2])
    of_the_name = {
        "__NAME__": name,
        "__DISTRIBUTION__": f"{PREFIX}{name}",
        "__PACKAGE__": f"{PREFIX}{name}".replace("-", "_"),
        "__CORE__": f"probgen>={major}.{minor},<{major}.{minor + 1}",
    }
    for word, value in (*words.items(), *of_the_name.items()):
        text = text.replace(word, value)
    return text

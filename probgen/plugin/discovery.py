"""Finding plugins and asking each for what it registers, so that none can stop another.

pluggy's own loader stops at the first plugin that fails to import, and its hook calls at the first that raises. Here every
entry point is loaded by itself, and every hook of every plugin is registered and called by itself; whatever goes wrong
becomes a line about that plugin.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import inspect
import re
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pluggy

from probgen.errors import suggest
from probgen.plugin import hookspecs
from probgen.plugin.specs import CommandSpec, DataSpec, EstimatorSpec, MetricSpec, ModelSpec, Spec

__all__ = ["HOOKS", "Candidate", "Reading", "installed", "read"]

HOOKS: dict[str, type[Spec]] = {
    "probgen_models": ModelSpec,
    "probgen_estimators": EstimatorSpec,
    "probgen_data": DataSpec,
    "probgen_metrics": MetricSpec,
    "probgen_commands": CommandSpec,
}
"""The hooks, with the kind of spec that each returns."""


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A plugin that has been found and not yet loaded."""

    name: str
    distribution: str
    version: str
    load: Callable[[], Any]


@dataclasses.dataclass
class Reading:
    """What a plugin was heard to say: its specs by kind, in order, the hooks that it implements, and what went wrong."""

    specs: list[tuple[type[Spec], Spec]] = dataclasses.field(default_factory=list)
    hooks: list[str] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)


def installed() -> list[Candidate]:
    """Return the plugins that installed distributions declare, ordered by distribution, then by name."""
    found = [
        Candidate(
            name=entry_point.name,
            distribution=(entry_point.dist and entry_point.dist.name) or "",
            version=(entry_point.dist and entry_point.dist.version) or "",
            load=entry_point.load,
        )
        for entry_point in importlib.metadata.entry_points(group="probgen")
    ]
    return sorted(found, key=lambda candidate: (_normalized(candidate.distribution), candidate.name))


def read(candidate: Candidate) -> Reading:
    """Load one plugin and call its hooks; nothing that it does wrong is raised."""
    reading = Reading()
    try:
        module = candidate.load()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything; it is reported
        reading.problems.append(_line(error))
        return reading
    if not isinstance(module, ModuleType):
        reading.problems.append(f"its entry point is {_described(module)}, not a module with hooks")
        return reading
    for hook, implementation in _implementations(module, reading):
        _call(hook, implementation, reading)
    if not reading.hooks and not reading.problems:
        reading.problems.append("no function of its module is marked with probgen.plugin.hookimpl")
    return reading


def _implementations(module: ModuleType, reading: Reading) -> list[tuple[str, Callable[..., Any]]]:
    """Return the module's marked functions by hook; a mark on no hook, or a hook without a mark, becomes a problem."""
    manager = pluggy.PluginManager("probgen")
    found = []
    for name, value in list(vars(module).items()):
        options = manager.parse_hookimpl_opts(module, name)
        if options is None:
            if name in HOOKS and inspect.isfunction(value):
                reading.problems.append(f"{name} is not marked with probgen.plugin.hookimpl")
            continue
        hook = options.get("specname") or name
        if hook in HOOKS:
            found.append((hook, value))
        elif not options.get("optionalhook"):  # an optional hook may belong to a later version of probgen
            reading.problems.append(f"there is no hook {hook}. {suggest(hook, HOOKS)}")
    return found


def _call(hook: str, implementation: Callable[..., Any], reading: Reading) -> None:
    """Check one hook's signature through a manager of its own, call it, and keep the specs that are right."""
    manager = pluggy.PluginManager("probgen")
    manager.add_hookspecs(hookspecs)
    try:
        manager.register(SimpleNamespace(**{implementation.__name__: implementation}))
        returned = getattr(manager.hook, hook)()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # a plugin may raise anything; it is reported
        reading.problems.append(f"{hook}: {_line(error)}")
        return
    reading.hooks.append(hook)
    specs = returned[0] if returned else None  # pluggy drops a None
    kind = HOOKS[hook]
    if not isinstance(specs, list | tuple):
        reading.problems.append(f"{hook}: expected a list of {kind.__name__}; got {_described(specs)}")
        return
    reading.specs.extend((kind, spec) for spec in specs if isinstance(spec, kind))
    reading.problems.extend(
        f"{hook}: expected {kind.__name__}s only; got {_described(spec)}" for spec in specs if not isinstance(spec, kind)
    )


def _line(error: BaseException) -> str:
    """Return an exception as one line; of pluggy's several, the last, which says what is wrong."""
    text = str(error).strip()
    if isinstance(error, pluggy.PluginValidationError):
        text = text.splitlines()[-1]
    return f"{type(error).__name__}: {' '.join(text.split())}".removesuffix(": ")


def _described(value: Any) -> str:
    return "None" if value is None else f"an object of type {type(value).__name__}"


def _normalized(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()

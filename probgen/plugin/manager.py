"""The registry: everything that can be named, which plugin it came from, and which plugins are in trouble.

`PROBGEN_PLUGINS=a,b` loads only the plugins with these entry-point names (an empty value: none but the core's own);
`PROBGEN_STRICT_PLUGINS=1` turns any problem into a `PluginLoadError` at discovery.
"""

from __future__ import annotations

import dataclasses
import difflib
import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TypeVar, cast

import probgen
from probgen.errors import PluginLoadError, UnknownNameError
from probgen.plugin.discovery import HOOKS, Candidate, Reading, installed, read
from probgen.plugin.records import PluginInfo, PluginProblem, Registered
from probgen.plugin.specs import CommandSpec, DataSpec, EstimatorSpec, MetricSpec, ModelSpec, Spec

__all__ = ["Registry", "registry"]

SpecType = TypeVar("SpecType", bound=Spec)


@dataclasses.dataclass(frozen=True)
class Registry:
    """Everything that plugins registered, by kind and name.

    Args:
        plugins: Every plugin, the core's own first, then in the order of their distributions' names.
        entries: What they registered, by kind of spec and name.

    Example:
        >>> registry().plugins[0].name, registry().plugins[0].distribution
        ('core', 'probgen')
    """

    plugins: tuple[PluginInfo, ...]
    entries: Mapping[tuple[type[Spec], str], Registered[Spec]]

    @classmethod
    def discover(cls) -> Registry:
        """Find, load and ask every selected plugin.

        A name belongs to the first plugin that claims it: the core, then distributions in the order of their names.

        Raises:
            PluginLoadError: a plugin has a problem and `PROBGEN_STRICT_PLUGINS=1` is set.
        """
        candidates, missing = _selected(installed())
        entries: dict[tuple[type[Spec], str], Registered[Spec]] = {}
        plugins = [_enter(candidate, read(candidate), entries) for candidate in [_core(), *candidates]]
        found = cls(plugins=(*plugins, *missing), entries=MappingProxyType(entries))
        if found.problems and os.environ.get("PROBGEN_STRICT_PLUGINS", "") not in ("", "0"):
            raise PluginLoadError(
                f"Registry.discover: expected plugins without problems; got {'; '.join(map(str, found.problems))}. "
                "Repair or uninstall them, or unset PROBGEN_STRICT_PLUGINS."
            )
        return found

    @property
    def problems(self) -> tuple[PluginProblem, ...]:
        """What is wrong with any plugin."""
        return tuple(problem for plugin in self.plugins for problem in plugin.problems)

    @property
    def models(self) -> dict[str, Registered[ModelSpec]]:
        """The models by name, in alphabetical order; so are the next four."""
        return self._of(ModelSpec)

    @property
    def estimators(self) -> dict[str, Registered[EstimatorSpec]]:
        """The estimators by name."""
        return self._of(EstimatorSpec)

    @property
    def datasets(self) -> dict[str, Registered[DataSpec]]:
        """The data sets by name."""
        return self._of(DataSpec)

    @property
    def metrics(self) -> dict[str, Registered[MetricSpec]]:
        """The metrics by name."""
        return self._of(MetricSpec)

    @property
    def commands(self) -> dict[str, Registered[CommandSpec]]:
        """The commands by name."""
        return self._of(CommandSpec)

    def model(self, name: str) -> Registered[ModelSpec]:
        """Return the model called `name`.

        Raises:
            UnknownNameError: there is none; the message suggests one and lists the plugins that failed.
        """
        return self._find(ModelSpec, name)

    def estimator(self, name: str) -> Registered[EstimatorSpec]:
        """Return the estimator called `name`; raise `UnknownNameError` as `model` does."""
        return self._find(EstimatorSpec, name)

    def dataset(self, name: str) -> Registered[DataSpec]:
        """Return the data set called `name`; raise `UnknownNameError` as `model` does."""
        return self._find(DataSpec, name)

    def metric(self, name: str) -> Registered[MetricSpec]:
        """Return the metric called `name`; raise `UnknownNameError` as `model` does."""
        return self._find(MetricSpec, name)

    def _of(self, kind: type[SpecType]) -> dict[str, Registered[SpecType]]:
        found = {name: entry for (entry_kind, name), entry in self.entries.items() if entry_kind is kind}
        return cast("dict[str, Registered[SpecType]]", dict(sorted(found.items())))

    def _find(self, kind: type[SpecType], name: str) -> Registered[SpecType]:
        known = self._of(kind)
        if name not in known:
            failed = "; ".join(map(str, self.problems))
            hint = f"Unknown {kind.kind} {name!r}. {_suggest(name, known)}"
            raise UnknownNameError(f"{hint} Failed to load: {failed}." if failed else hint)
        return known[name]


@functools.cache
def registry() -> Registry:
    """Return this process's registry, discovered at the first call; `registry.cache_clear()` forgets it.

    Raises:
        PluginLoadError: a plugin has a problem and `PROBGEN_STRICT_PLUGINS=1` is set.
    """
    return Registry.discover()


def _core() -> Candidate:
    """Return the core's own plugin, which no selection leaves out."""

    def load() -> object:
        from probgen.plugin import builtin  # it imports the specs of the data sets, which import this package

        return builtin

    return Candidate("core", "probgen", probgen.__version__, load)


def _selected(candidates: Sequence[Candidate]) -> tuple[list[Candidate], list[PluginInfo]]:
    """Return the plugins that `PROBGEN_PLUGINS` selects, and a plugin in trouble for each name that it gets wrong."""
    selection = os.environ.get("PROBGEN_PLUGINS")
    if selection is None:
        return list(candidates), []
    wanted = [name.strip() for name in selection.split(",") if name.strip()]
    known = {candidate.name for candidate in candidates}
    missing = [
        PluginInfo(name, "", "", problems=(PluginProblem(name, "", "", "PROBGEN_PLUGINS names it; it is not installed"),))
        for name in dict.fromkeys(wanted)
        if name not in known
    ]
    return [candidate for candidate in candidates if candidate.name in wanted], missing


def _enter(candidate: Candidate, reading: Reading, entries: dict[tuple[type[Spec], str], Registered[Spec]]) -> PluginInfo:
    """Add a plugin's specs to `entries`, except where a name is taken, and say what came of it."""
    reasons = list(reading.problems)
    names: dict[type[Spec], list[str]] = {kind: [] for kind in HOOKS.values()}
    for kind, spec in reading.specs:
        holder = entries.get((kind, spec.name))
        if holder is None:
            entries[kind, spec.name] = Registered(spec, candidate.name, candidate.distribution, candidate.version)
            names[kind].append(spec.name)
        else:
            reasons.append(f"the {spec.kind} name {spec.name!r} is taken by {holder.origin}")
    return PluginInfo(
        name=candidate.name,
        distribution=candidate.distribution,
        version=candidate.version,
        models=tuple(names[ModelSpec]),
        estimators=tuple(names[EstimatorSpec]),
        data=tuple(names[DataSpec]),
        metrics=tuple(names[MetricSpec]),
        commands=tuple(names[CommandSpec]),
        hooks=tuple(reading.hooks),
        problems=tuple(
            PluginProblem(candidate.name, candidate.distribution, candidate.version, reason) for reason in reasons
        ),
    )


def _suggest(name: str, known: Mapping[str, Registered[Spec]]) -> str:
    """Return the registered name that was meant, with its distribution, or else all of them."""
    spellings = {spelling: full for full in known for spelling in (full.rpartition("/")[2], full)}
    near = difflib.get_close_matches(name.lower(), spellings, n=1, cutoff=0.6)
    if near:
        full = spellings[near[0]]
        return f"Did you mean {full!r} ({known[full].origin})?"
    return _listing(known)


def _listing(names: Iterable[str]) -> str:
    listed = ", ".join(names)
    return f"Available: {listed}." if listed else "None is registered: install a plugin that has one."

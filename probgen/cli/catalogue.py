"""`probgen list` and `probgen info`: what can be named, and what is known about it."""

from __future__ import annotations

import dataclasses
import enum
import itertools
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from probgen.cli import console
from probgen.errors import ProbgenError, UnknownNameError, suggest
from probgen.plugin.manager import registry
from probgen.plugin.records import PluginInfo, Registered
from probgen.plugin.specs import EstimatorSpec, ModelSpec, Option, Spec
from probgen.report.numbers import typed

__all__ = ["Kind", "info", "list_registered"]

_JSON = Annotated[bool, typer.Option("--json", help="Print JSON.")]

_SHAPES = ((1, 8, 8), (2,))
"""Shapes of events that nearly every model takes one of: a small picture, and a point."""


class Kind(enum.StrEnum):
    """What `probgen list` can list."""

    MODELS = "models"
    ESTIMATORS = "estimators"
    DATA = "data"
    PLUGINS = "plugins"


def list_registered(
    kind: Annotated[Kind | None, typer.Argument(help="What to list; everything when left out.")] = None,
    *,
    as_json: _JSON = False,
) -> None:
    """List models, estimators, data sets and plugins by name."""
    kinds = [kind] if kind is not None else list(Kind)
    rows = {each: _rows(each) for each in kinds}
    if as_json:
        console.write_json(rows[kind] if kind is not None else {each.value: found for each, found in rows.items()})
        return
    for position, (each, found) in enumerate(rows.items()):
        if position:
            console.write("")
        _show(each, found)
    for problem in registry().problems:
        console.note(f"warning: failed to load {problem}")


def _rows(kind: Kind) -> list[dict[str, Any]]:
    if kind is Kind.PLUGINS:
        return [_of_plugin(plugin) for plugin in registry().plugins]
    entries = {Kind.MODELS: registry().models, Kind.ESTIMATORS: registry().estimators, Kind.DATA: registry().datasets}[kind]
    return [_head(entry) for entry in entries.values()]


def _head(entry: Registered[Spec]) -> dict[str, Any]:
    return {
        "name": entry.spec.name,
        "summary": entry.spec.summary,
        "plugin": entry.distribution,
        "version": entry.version,
    }


def _of_plugin(plugin: PluginInfo) -> dict[str, Any]:
    listed = {
        kind: list(names)
        for kind in ("models", "estimators", "data", "metrics", "commands")
        if (names := getattr(plugin, kind))
    }
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in listed.items())
    return {
        "name": plugin.name,
        "summary": counts or "nothing",
        "plugin": plugin.distribution,
        "version": plugin.version,
        **listed,
        "problems": [problem.reason for problem in plugin.problems],
    }


def _show(kind: Kind, rows: list[dict[str, Any]]) -> None:
    if not rows:
        console.write(f"{kind.value}: none is installed.")
        return
    cells = [[row["name"], row["summary"], f"{row['plugin']} {row['version']}".strip()] for row in rows]
    if kind is Kind.PLUGINS:
        for cell, row in zip(cells, rows, strict=True):
            cell.append("; ".join(row["problems"]) or "none")
    headings = [kind.value, "registers" if kind is Kind.PLUGINS else "", "from", "problems"]
    console.show_table(headings[: len(cells[0])], cells)


def info(
    name: Annotated[str, typer.Argument(help="A model, an estimator or a data set.")], *, as_json: _JSON = False
) -> None:
    """Say what is known about a model, an estimator or a data set: its options, its source, what trains it."""
    entry = _find(name)
    described = {**_head(entry), "kind": entry.spec.kind, **_details(entry)}
    if as_json:
        console.write_json(described)
        return
    console.write(f"{name}: {entry.spec.summary}")
    for field in ("kind", "plugin", "reference", "supports", "views", "estimators", "requires", "objective", "claims"):
        value = described.get(field)
        if field == "plugin":
            value = entry.origin
        if value:
            console.write(f"  {field:<11}{', '.join(value) if isinstance(value, list) else value}")
    if described["options"]:
        console.write("")
        console.show_table(
            ["option", "default", "may be", "what it is"],
            [[option["name"], typed(option["default"]), option["words"], option["help"]] for option in described["options"]],
        )


def _find(name: str) -> Registered[Spec]:
    known: dict[str, Registered[Any]] = {**registry().datasets, **registry().estimators, **registry().models}
    if name not in known:
        failed = "; ".join(map(str, registry().problems))
        raise UnknownNameError(
            f"info: expected the name of a model, an estimator or a data set; got {name!r}. {suggest(name, known)}"
            + (f" Failed to load: {failed}." if failed else "")
        )
    return known[name]


def _details(entry: Registered[Any]) -> dict[str, Any]:
    """Return what a spec says beyond its summary, and what only the thing itself can say."""
    spec = entry.spec
    details: dict[str, Any] = {"options": [_of_option(option) for option in spec.options]}
    if isinstance(spec, ModelSpec):
        details |= {"reference": spec.reference, "supports": list(spec.supports), "views": list(spec.views)}
        details["estimators"] = _fitting(entry)
    elif isinstance(spec, EstimatorSpec):
        details |= {"reference": spec.reference, **_of_estimator(entry)}
    return details


def _of_option(option: Option) -> dict[str, Any]:
    return {**dataclasses.asdict(option), "words": option.words}


def _fitting(entry: Registered[ModelSpec]) -> list[str]:
    """Return the estimators that fit some form of the model, as small instances of it say."""
    from probgen.plugin import estimators_that_fit

    return sorted({name for instance in _instances(entry) for name in estimators_that_fit(instance)})


def _instances(entry: Registered[ModelSpec]) -> list[Any]:
    """Return the model's own small instances, or one with default options where it registers none."""
    from probgen.plugin import build
    from probgen.supports import categorical

    examples = entry.load("examples")
    if examples is not None:
        return list(examples().values())
    refused: ProbgenError | None = None
    for name, shape in itertools.product(entry.spec.supports or ("real",), _SHAPES):
        support = categorical(2) if name == "categorical" else name
        try:
            return [build(entry.spec.name, event_shape=shape, support=support)]
        except ProbgenError as error:
            refused = error
    console.note(f"warning: {entry.spec.name} could not be built to ask which estimators fit it: {refused}")
    return []


def _of_estimator(entry: Registered[EstimatorSpec]) -> Mapping[str, Any]:
    """Return what the estimator with its default options needs, estimates and claims."""
    from probgen.plugin import build_estimator

    estimator = build_estimator(entry.spec.name)
    objective, claims = estimator.objective, estimator.claims
    return {
        "requires": [contract.__name__ for contract in estimator.requires],
        "objective": f"{objective.name} in {objective.unit}"
        + (f", to {objective.direction}" if objective.direction else ""),
        "claims": [
            *(
                f"value{'' if phase == '*' else f' in phase {phase}'}: {claim}"
                for phase, said in claims.values.items()
                for claim in said
            ),
            *(f"gradient of {pattern}: {claim}" for pattern, claim in claims.gradient.items()),
        ],
    }

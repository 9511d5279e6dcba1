"""The hooks of a plugin: functions of a module that an entry point of the group `probgen` names.

    from probgen.plugin import ModelSpec, hookimpl

    @hookimpl
    def probgen_models():
        return [ModelSpec("acme/rocket", "A model of rockets.", "acme.rocket:Rocket")]

and, in its `pyproject.toml`:

    [project.entry-points.probgen]
    acme = "acme.plugin"

Each hook is optional and returns a list. Keep the module light: what it registers is imported on first use.
"""

from __future__ import annotations

import pluggy

from probgen.plugin.specs import CommandSpec, DataSpec, EstimatorSpec, MetricSpec, ModelSpec

__all__ = [
    "hookimpl",
    "probgen_commands",
    "probgen_data",
    "probgen_estimators",
    "probgen_metrics",
    "probgen_models",
]

hookimpl = pluggy.HookimplMarker("probgen")
"""Marks a function of a plugin module as the implementation of the hook that it is named after."""

_hookspec = pluggy.HookspecMarker("probgen")


@_hookspec
def probgen_models() -> list[ModelSpec]:  # pyright: ignore[reportReturnType]  # a hook's specification has no body
    """Return the models that `probgen.build` and `probgen train` know by name."""


@_hookspec
def probgen_estimators() -> list[EstimatorSpec]:  # pyright: ignore[reportReturnType]
    """Return the estimators that `--estimator` and recipes know by name."""


@_hookspec
def probgen_data() -> list[DataSpec]:  # pyright: ignore[reportReturnType]
    """Return the data sets that `--data` knows by name."""


@_hookspec
def probgen_metrics() -> list[MetricSpec]:  # pyright: ignore[reportReturnType]
    """Return further metrics for `probgen.evaluate`."""


@_hookspec
def probgen_commands() -> list[CommandSpec]:  # pyright: ignore[reportReturnType]
    """Return further commands for the shell."""

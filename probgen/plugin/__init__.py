"""Plugins: what they register, how they are found, and how what they registered is built.

Importing this package imports no torch: a plugin's module and every listing stay light.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from probgen.lazy import resolver
from probgen.plugin.hookspecs import hookimpl
from probgen.plugin.specs import CommandSpec, DataSpec, EstimatorSpec, MetricSpec, ModelSpec, Option

_HOMES: dict[str, str] = {
    "PluginInfo": "probgen.plugin.records",
    "PluginProblem": "probgen.plugin.records",
    "Provenance": "probgen.plugin.provenance",
    "Registered": "probgen.plugin.records",
    "Registry": "probgen.plugin.manager",
    "Slot": "probgen.plugin.options",
    "build": "probgen.plugin.building",
    "build_estimator": "probgen.plugin.building",
    "check_fit": "probgen.plugin.fitting",
    "default_estimator": "probgen.plugin.fitting",
    "estimators_that_fit": "probgen.plugin.fitting",
    "parse_assignments": "probgen.plugin.options",
    "rebuild": "probgen.plugin.building",
    "registry": "probgen.plugin.manager",
    "resolve": "probgen.plugin.building",
    "validate": "probgen.plugin.options",
}

__all__ = [
    "CommandSpec",
    "DataSpec",
    "EstimatorSpec",
    "MetricSpec",
    "ModelSpec",
    "Option",
    "PluginInfo",
    "PluginProblem",
    "Provenance",
    "Registered",
    "Registry",
    "Slot",
    "build",
    "build_estimator",
    "check_fit",
    "default_estimator",
    "estimators_that_fit",
    "hookimpl",
    "parse_assignments",
    "rebuild",
    "registry",
    "resolve",
    "validate",
]

if TYPE_CHECKING:
    from probgen.plugin.building import build, build_estimator, rebuild, resolve
    from probgen.plugin.fitting import check_fit, default_estimator, estimators_that_fit
    from probgen.plugin.manager import Registry, registry
    from probgen.plugin.options import Slot, parse_assignments, validate
    from probgen.plugin.provenance import Provenance
    from probgen.plugin.records import PluginInfo, PluginProblem, Registered


__getattr__ = resolver(__name__, _HOMES)

"""What the core registers about itself is true of what it registers."""

from __future__ import annotations

import inspect

import pytest

from probgen.plugin import build_estimator, registry
from probgen.plugin.builtin import probgen_data, probgen_estimators

SPECS = [*probgen_estimators(), *probgen_data()]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_options_are_the_constructors_with_its_defaults(spec):
    find = registry().estimator if spec in probgen_estimators() else registry().dataset
    parameters = inspect.signature(find(spec.name).load()).parameters
    assert {option.name: option.default for option in spec.options} == {
        name: parameter.default for name, parameter in parameters.items()
    }


@pytest.mark.parametrize("spec", probgen_estimators(), ids=lambda spec: spec.name)
def test_estimators_are_built_by_name(spec):
    assert type(build_estimator(spec.name)).__name__ == spec.target.partition(":")[2]

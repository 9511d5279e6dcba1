"""What the core registers about itself is true of what it registers."""

from __future__ import annotations

import inspect

import pytest

from probgen import Estimator
from probgen.plugin import build_estimator, registry
from probgen.plugin.builtin import probgen_data, probgen_estimators

SPECS = [*probgen_estimators(), *probgen_data()]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_options_are_the_constructors_with_its_defaults(spec):
    find = registry().estimator if spec in probgen_estimators() else registry().dataset
    target = find(spec.name).load()
    if spec in probgen_estimators() and target.build.__func__ is not Estimator.build.__func__:
        target = target.build
    parameters = inspect.signature(target).parameters
    assert {option.name: option.default for option in spec.options} == {
        name: parameter.default for name, parameter in parameters.items()
    }


@pytest.mark.parametrize("spec", probgen_estimators(), ids=lambda spec: spec.name)
def test_estimators_are_built_by_name(spec):
    assert type(build_estimator(spec.name)).__name__ == spec.target.partition(":")[2]


def choices() -> list[tuple[str, str, str]]:
    """Return every word that an option of an estimator may be."""
    options = [(spec, option) for spec in probgen_estimators() for option in spec.options]
    return [(spec.name, option.name, choice) for spec, option in options for choice in option.choices or ()]


@pytest.mark.parametrize(("name", "option", "choice"), choices())
def test_every_word_of_an_option_names_something(name, option, choice):
    assert isinstance(build_estimator(name, **{option: choice}), Estimator)

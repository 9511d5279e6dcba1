"""Specs say at once what is wrong with them."""

from __future__ import annotations

import dataclasses

import pytest

from probgen import supports
from probgen.errors import PluginLoadError
from probgen.plugin import CommandSpec, DataSpec, EstimatorSpec, MetricSpec, ModelSpec, Option
from probgen.plugin.specs import SUPPORT_NAMES


def test_support_names_are_those_of_the_contract():
    assert set(SUPPORT_NAMES) == set(supports.SUPPORT_NAMES)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (Option("a", "int", 3, "", minimum=1), "an int of at least 1"),
        (Option("a", "float", None, "", minimum=0, maximum=1), "a float of at least 0 and at most 1, or none"),
        (Option("a", "ints", (4, 4), "", minimum=1), "ints, each of at least 1"),
        (Option("a", "float", 1, "", above=0), "a float above 0"),
        (Option("a", "ints", (4, 4), "", above=0, maximum=9), "ints, each above 0 and at most 9"),
        (Option("a", "float", 0, "", minimum=0, below=1), "a float of at least 0 and below 1"),
        (Option("a", "str", "x", "", choices=["x", "y"]), "one of 'x', 'y'"),
        (Option("a", "model", "flows/maf", ""), "a model"),
        (Option("a", "bool", default=True, help=""), "a bool"),
    ],
)
def test_an_option_says_what_it_may_be(option, words):
    assert option.words == words


def test_an_option_normalises_its_default():
    assert Option("a", "ints", [1, 2], "").default == (1, 2)
    assert type(Option("a", "float", 1, "").default) is float


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "num-particles"}, "expected a name that is an identifier"),
        ({"name": "support"}, "none of build's own"),
        ({"type": "complex"}, "expected a type among"),
        ({"default": "3"}, "expected a default that is an int"),
        ({"default": True}, "expected a default that is an int"),
        ({"default": 0, "minimum": 1}, "expected a default that is an int of at least 1; got 0"),
        ({"default": 0, "above": 0}, "expected a default that is an int above 0; got 0"),
        ({"default": 1, "below": 1}, "expected a default that is an int below 1; got 1"),
        ({"choices": ["a"]}, "choices only with type 'str'"),
        ({"type": "str", "default": "c", "choices": ["a", "b"]}, "expected a default that is one of 'a', 'b'; got 'c'"),
        ({"type": "ints", "default": (1, 0), "minimum": 1}, "each of at least 1"),
        ({"type": "float", "default": float("nan")}, "expected a default that is a float"),
    ],
)
def test_a_bad_option_is_refused(arguments, message):
    with pytest.raises(PluginLoadError, match=message):
        Option(**{"name": "a", "type": "int", "default": 3, "help": "A number."} | arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "cloud"}, "expected a name like 'family/model'"),
        ({"name": "Acme/Cloud"}, "expected a name like 'family/model'"),
        ({"name": "acme/cloud\n"}, "expected a name like 'family/model'"),
        ({"name": 3}, "expected a name like 'family/model'"),
        ({"name": "acme++/cloud"}, "plus signs only at the end"),
        ({"name": "acme/cl+oud"}, "plus signs only at the end"),
        ({"name": "acme/+"}, "plus signs only at the end"),
        ({"summary": ""}, "expected a summary of one line"),
        ({"summary": "one\ntwo"}, "expected a summary of one line"),
        ({"target": "acme.models"}, "expected target to be an import string"),
        ({"target": ""}, "expected target to be an import string"),
        ({"target": object}, "expected target to be an import string"),
        ({"recipe": "recipe"}, "expected recipe to be an import string"),
        ({"examples": "acme:1"}, "expected examples to be an import string"),
        ({"supports": ["reals"]}, "expected supports among"),
        ({"supports": "real"}, "expected supports to be a list or tuple"),
        ({"options": [3]}, "expected options that are all an Option"),
        ({"options": [Option("a", "int", 1, ""), Option("a", "int", 2, "")]}, "expected options with different names"),
    ],
)
def test_a_bad_model_spec_is_refused(arguments, message):
    with pytest.raises(PluginLoadError, match=message):
        ModelSpec(**{"name": "acme/cloud", "summary": "A cloud.", "target": "acme:Cloud"} | arguments)


def test_a_model_may_be_called_plus_plus():
    assert ModelSpec("acme/cloud++", "A better cloud.", "acme:Cloud").name == "acme/cloud++"
    with pytest.raises(PluginLoadError, match="Use lower case, digits and hyphens\\."):
        EstimatorSpec("cloud++", "Summary.", "package.module:thing")


@pytest.mark.parametrize("kind", [EstimatorSpec, DataSpec, MetricSpec, CommandSpec])
def test_the_other_specs_have_names_without_a_family(kind):
    assert kind("bars-and-stripes", "Summary.", "package.module:thing").name == "bars-and-stripes"
    with pytest.raises(PluginLoadError, match="expected a name like"):
        kind("acme/cloud", "Summary.", "package.module:thing")


def test_specs_are_frozen_and_hashable():
    spec = ModelSpec("acme/cloud", "A cloud.", "acme:Cloud", options=[Option("a", "ints", [1], "")], supports=["real"])
    assert hash(spec) == hash(dataclasses.replace(spec))
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "acme/other"

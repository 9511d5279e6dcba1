"""Options: what people type becomes what constructors take, or one readable message."""

from __future__ import annotations

import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probgen.errors import ConfigurationError, UnknownNameError
from probgen.plugin import Option, Slot, parse_assignments, validate
from probgen.plugin.options import plain

OPTIONS = (
    Option("latent", "int", 50, "Size of the code.", minimum=1, maximum=4096),
    Option("rate", "float", 0.5, "Share of units that are dropped.", minimum=0, maximum=1),
    Option("clip", "float", None, "Largest norm."),
    Option("tied", "bool", default=False, help="Share the weights."),
    Option("hidden", "ints", (200, 200), "Widths of the hidden layers.", minimum=1),
    Option("likelihood", "str", "bernoulli", "Of a pixel.", choices=["bernoulli", "gaussian"]),
    Option("note", "str", "", "Anything."),
)
DEFAULTS = {option.name: option.default for option in OPTIONS}


def check(**values):
    return validate(values, OPTIONS, owner="acme/thing")


def test_defaults_are_filled_in():
    assert check() == DEFAULTS


@pytest.mark.parametrize(
    ("name", "given_value", "expected"),
    [
        ("latent", "8", 8),
        ("latent", 8, 8),
        ("latent", 8.0, 8),
        ("rate", "0.25", 0.25),
        ("rate", 1, 1.0),
        ("clip", "none", None),
        ("clip", None, None),
        ("clip", "1e3", 1000.0),
        ("tied", "true", True),
        ("tied", "off", False),
        ("tied", True, True),
        ("hidden", "200,100", (200, 100)),
        ("hidden", "200, 100,", (200, 100)),
        ("hidden", "64", (64,)),
        ("hidden", 64, (64,)),
        ("hidden", [64, 32], (64, 32)),
        ("hidden", "", ()),
        ("likelihood", "gaussian", "gaussian"),
        ("note", "none", "none"),
    ],
)
def test_values_become_the_options_type(name, given_value, expected):
    converted = check(**{name: given_value})[name]
    assert converted == expected
    assert type(converted) is type(expected)


@pytest.mark.parametrize(
    ("name", "given_value", "message"),
    [
        ("latent", "abc", "expected latent to be an int of at least 1 and at most 4096; got 'abc'. Leave it out for"),
        ("latent", "8.5", "got '8.5'"),
        ("latent", 8.5, "got 8.5"),
        ("latent", True, "got True"),
        ("latent", 0, "got 0. Leave it out for the default, 50."),
        ("latent", None, "got None"),
        ("latent", "none", "got 'none'"),
        ("rate", "1.5", "expected rate to be a float of at least 0 and at most 1; got '1.5'"),
        ("rate", "nan", "got 'nan'"),
        ("rate", False, "got False"),
        ("clip", "inf", "expected clip to be a float, or none; got 'inf'. Leave it out for the default, none."),
        ("tied", "maybe", "expected tied to be a bool; got 'maybe'"),
        ("tied", 2, "got 2"),
        ("hidden", "200,x", "expected hidden to be ints, each of at least 1; got '200,x'"),
        ("hidden", "200;100", "got '200;100'"),
        ("hidden", "200,0", "got '200,0'"),
        ("hidden", "200,,100", "got '200,,100'"),
        ("hidden", [200, True], "got [200, True]"),
        ("hidden", 1.5, "got 1.5"),
        ("likelihood", "gausian", "to be one of 'bernoulli', 'gaussian'; got 'gausian'. Did you mean 'gaussian'?"),
        ("likelihood", 3, "got 3"),
        ("note", 3, "expected note to be a string; got 3"),
    ],
)
def test_a_bad_value_names_option_type_and_range(name, given_value, message):
    with pytest.raises(ConfigurationError, match=re.escape(message)) as caught:
        check(**{name: given_value})
    assert str(caught.value).startswith("acme/thing: ")


def test_an_unknown_option_gets_a_suggestion_and_the_list():
    listing = "clip, hidden, latent, likelihood, note, rate, tied"
    with pytest.raises(ConfigurationError, match=f"got 'latnet'. Did you mean 'latent'. Its options: {listing}."):
        check(latnet=3)
    with pytest.raises(ConfigurationError, match=f"got 'zzz'. Available: {listing}."):
        check(zzz=3)
    with pytest.raises(ConfigurationError, match=r"got 'zzz'\. It has none\."):
        validate({"zzz": 3}, (), owner="acme/thing")


TEXTS = {
    "latent": st.integers(1, 4096),
    "rate": st.floats(0, 1),
    "clip": st.none() | st.floats(allow_nan=False, allow_infinity=False),
    "tied": st.booleans(),
    "hidden": st.lists(st.integers(1)).map(tuple),
    "likelihood": st.sampled_from(["bernoulli", "gaussian"]),
    "note": st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"])),
}


def spell(value):
    """Return a value as one would type it."""
    if value is None:
        return "none"
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)


@given(values=st.fixed_dictionaries({}, optional=TEXTS))
def test_what_is_typed_is_what_was_meant(values):
    typed = parse_assignments(f"{name}={spell(value)}" for name, value in values.items())
    assert check(**typed) == DEFAULTS | values


@given(values=st.fixed_dictionaries({}, optional=TEXTS))
def test_validation_is_idempotent(values):
    once = check(**values)
    assert check(**once) == once


@given(values=st.fixed_dictionaries({}, optional=TEXTS))
def test_values_survive_json(values):
    once = check(**values)
    assert check(**json.loads(json.dumps(plain(once)))) == once


# ----------------------------------------------------------------------------------------------------------- assignments


KEYS = st.sampled_from(["a", "b", "c"])
TREES = st.recursive(
    st.text("xyz=,. ", max_size=4).map(str.strip),
    lambda leaves: st.dictionaries(KEYS, leaves, min_size=1),
    max_leaves=6,
)


def flatten(tree, path=()):
    """Return the assignments that spell a nested dict."""
    if isinstance(tree, dict):
        return [text for key, inner in tree.items() for text in flatten(inner, (*path, key))]
    return [f"{'.'.join(path)}={tree}"]


@given(tree=st.dictionaries(KEYS, TREES, max_size=3), data=st.data())
def test_assignments_round_trip_in_any_order(tree, data):
    assert parse_assignments(data.draw(st.permutations(flatten(tree)))) == tree


@pytest.mark.parametrize("order", [1, -1])
def test_a_slots_name_and_options_come_in_any_order(order):
    assignments = ["latent=50", "prior=flows/maf", "prior.transforms=4", "prior.base.scale=2"][::order]
    assert parse_assignments(assignments) == {
        "latent": "50",
        "prior": {"name": "flows/maf", "transforms": "4", "base": {"scale": "2"}},
    }


@pytest.mark.parametrize("text", ["latent", "=3", "prior.=3", ".transforms=3", "", "a..b=1"])
def test_what_is_no_assignment_is_refused(text):
    with pytest.raises(ConfigurationError, match="expected key=value; got"):
        parse_assignments([text])


@pytest.mark.parametrize("texts", [["a=1", "a=1"], ["a.b=1", "a.b=2"], ["a=x/y", "a.name=x/z"], ["a=x/y", "a.b=1", "a=x/z"]])
def test_an_option_given_twice_is_refused(texts):
    with pytest.raises(ConfigurationError, match="expected each option once"):
        parse_assignments(texts)


# ----------------------------------------------------------------------------------------------------------------- slots


SLOT = (Option("prior", "model", None, "Over the code."),)
CLOUD = {"scale": 1.0, "hidden": (8,), "shape": "round", "base": None}


@pytest.mark.parametrize(
    "given_value",
    [
        {"name": "acme/cloud", "scale": "2", "hidden": "4,4"},
        {"name": "acme/cloud", "scale": 2, "hidden": [4, 4]},
        Slot("acme/cloud", {"scale": 2.0, "hidden": (4, 4)}),
    ],
)
def test_a_slot_is_checked_against_the_inner_models_options(acme, given_value):
    (slot,) = validate({"prior": given_value}, SLOT, owner="acme/outer").values()
    assert slot == Slot("acme/cloud", CLOUD | {"scale": 2.0, "hidden": (4, 4)})


def test_a_slot_takes_a_name_and_nests(acme):
    assert validate({"prior": "acme/cloud"}, SLOT, owner="acme/outer") == {"prior": Slot("acme/cloud", CLOUD)}
    nested = {"name": "acme/cloud", "base": {"name": "acme/cloud", "shape": "flat"}}
    slot = validate({"prior": nested}, SLOT, owner="acme/outer")["prior"]
    assert slot.options["base"] == Slot("acme/cloud", CLOUD | {"shape": "flat"})


def test_a_slot_passes_a_live_object(acme):
    live = object()
    assert validate({"prior": live}, SLOT, owner="acme/outer")["prior"] is live
    assert validate({"prior": "none"}, SLOT, owner="acme/outer")["prior"] is None
    with pytest.raises(TypeError, match="got a live object"):
        plain({"prior": live})


def test_a_slot_survives_json(acme):
    slots = validate({"prior": {"name": "acme/cloud", "base": "acme/cloud"}}, SLOT, owner="acme/outer")
    assert validate(json.loads(json.dumps(plain(slots))), SLOT, owner="acme/outer") == slots


def test_options_alone_go_to_the_slots_default_model(acme):
    with_default = (Option("prior", "model", "acme/cloud", "Over the code."),)
    slot = validate({"prior": {"scale": "3"}}, with_default, owner="acme/outer")["prior"]
    assert slot == Slot("acme/cloud", CLOUD | {"scale": 3.0})
    assert validate({}, with_default, owner="acme/outer")["prior"] == Slot("acme/cloud", CLOUD)
    with pytest.raises(ConfigurationError, match="expected prior to name a model; got scale without one"):
        validate({"prior": {"scale": "3"}}, SLOT, owner="acme/outer")


def test_mistakes_inside_a_slot_are_placed(acme):
    with pytest.raises(UnknownNameError, match="Unknown model 'acme/clod'"):
        validate({"prior": "acme/clod"}, SLOT, owner="acme/outer")
    with pytest.raises(ConfigurationError, match=r"acme/cloud: expected prior\.scale to be a float of .* got '99'"):
        validate({"prior": {"name": "acme/cloud", "scale": "99"}}, SLOT, owner="acme/outer")
    nested = {"name": "acme/cloud", "base": {"name": "acme/cloud", "scal": "1"}}
    with pytest.raises(ConfigurationError, match=r"the name of an option; got 'prior\.base\.scal'. Did you mean 'scale'"):
        validate({"prior": nested}, SLOT, owner="acme/outer")

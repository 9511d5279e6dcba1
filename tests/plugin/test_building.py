"""Models by name: bound to data, to shapes or to a slot, and built again from what was written down."""

from __future__ import annotations

import json

import pyro.distributions
import pytest
import torch
from torch.distributions import Bernoulli, Independent, MultivariateNormal, Normal, constraints

import probgen
from probgen.errors import (
    CapabilityError,
    CheckpointError,
    ConfigurationError,
    PluginLoadError,
    ShapeError,
    SupportError,
    UnknownNameError,
)
from probgen.plugin import Provenance, Slot, build, build_estimator, rebuild, registry, resolve
from probgen.supports import categorical

pytestmark = pytest.mark.usefixtures("acme")


def cloud(**options):
    return build("acme/cloud", event_shape=(2,), support="real", **options)


def test_a_model_is_bound_to_explicit_shapes():
    model = build("acme/cloud", event_shape=[2, 3], context_shape=None, support=constraints.real, scale="2", hidden=[3])
    assert model.event_shape == torch.Size([2, 3])
    assert model.context_shape is None
    assert (model.scale, model.hidden, model.shape) == (2.0, (3,), "round")
    assert model.log_prob(torch.zeros(5, 2, 3)).shape == (5,)


def test_the_public_face_builds():
    assert probgen.build is build
    assert probgen.build_estimator is build_estimator


def test_a_model_is_bound_to_data():
    model = build("acme/coins", "digits")
    assert model.support is constraints.boolean
    assert model.provenance.view is not None
    assert model.event_shape.numel() == 64
    assert build("acme/cloud", torch.randn(20, 3)).event_shape == torch.Size([3])


def test_a_view_and_a_context_are_asked_of_the_data():
    model = build("acme/coins", "digits", view="binary", context="label")
    assert model.provenance.view == "binary"
    assert model.context_shape == torch.Size([10])
    with pytest.raises(SupportError):
        build("acme/cloud", "digits", view="binary")


@pytest.mark.parametrize(
    ("arguments", "got"),
    [
        ({}, "none of them"),
        ({"event_shape": (2,)}, "event_shape"),
        ({"support": "real"}, "support"),
        ({"data": "moons", "event_shape": (2,), "support": "real"}, "data, event_shape, support"),
        ({"data": "moons", "context_shape": (2,)}, "data, context_shape"),
        ({"event_shape": (2,), "support": "real", "view": "real"}, "event_shape, support, view"),
    ],
)
def test_either_data_or_shapes_are_given(arguments, got):
    with pytest.raises(ConfigurationError, match=f"build: expected either data, .*; got {got}. Give one of the two"):
        build("acme/cloud", **arguments)


@pytest.mark.parametrize("support", ["binary", constraints.unit_interval, categorical(4)])
def test_a_support_that_the_model_does_not_accept_is_refused(support):
    with pytest.raises(SupportError, match=r"acme/cloud: expected a support among real; got .* Choose a view of the data"):
        build("acme/cloud", event_shape=(2,), support=support)


def test_targets_of_the_wrong_kind_are_the_plugins_fault():
    with pytest.raises(
        PluginLoadError, match=r"acme/mistake \(acme 1\.2\): .* to be a subclass of Model; got .* Update acme"
    ):
        build("acme/mistake", event_shape=(2,), support="real")
    with pytest.raises(PluginLoadError, match=r"acme-mistake \(acme 1\.2\): .* to be a subclass of Estimator"):
        build_estimator("acme-mistake")
    with pytest.raises(PluginLoadError, match="acme/missing"):
        build("acme/missing", event_shape=(2,), support="real")


def test_an_estimator_is_built_by_name():
    assert build_estimator("score-only", weight="0.5").weight == 0.5
    with pytest.raises(ConfigurationError, match="expected weight to be a float of at least 0; got -1"):
        build_estimator("score-only", weight=-1)
    with pytest.raises(UnknownNameError, match="Did you mean 'score-only'"):
        build_estimator("score-onyl")


# ------------------------------------------------------------------------------------------------------------ provenance


def test_provenance_says_how_the_model_was_built():
    provenance = cloud(scale=2, base={"name": "acme/cloud", "hidden": "4,4"}).provenance
    inner = {"name": "acme/cloud", "scale": 1.0, "hidden": [4, 4], "shape": "round", "base": None}
    assert provenance == Provenance(
        name="acme/cloud",
        options={"scale": 2.0, "hidden": [8], "shape": "round", "base": inner},
        event_shape=[2],
        support="real",
        distribution="acme",
        version="1.2",
        parts={"acme/cloud": "acme 1.2"},
    )


def test_provenance_survives_json_and_builds_the_model_again():
    model = cloud(scale=3, shape="flat", base="acme/cloud")
    written = json.dumps(model.provenance.to_json())
    again = rebuild(Provenance.from_json(json.loads(written)))
    assert again.provenance == model.provenance
    assert (again.scale, again.shape) == (3.0, "flat")
    again.load_state_dict(model.state_dict())


def test_provenance_keeps_the_levels_of_a_categorical_support():
    provenance = Provenance(name="acme/cloud", event_shape=[2], support="categorical", levels=5)
    with pytest.raises(SupportError, match="expected a support among real; got categorical"):
        rebuild(provenance)


def test_a_live_part_that_was_built_by_name_is_written_as_its_name():
    part = cloud(scale=5)
    model = cloud(base=part)
    assert model.base is part
    assert model.provenance == cloud(base={"name": "acme/cloud", "scale": 5}).provenance
    assert rebuild(model.provenance).base.scale == 5.0


@pytest.mark.parametrize("depth", [1, 2])
def test_a_model_around_an_object_that_cannot_be_written_has_no_provenance(depth):
    part = Normal(0.0, 1.0)
    for _ in range(depth):
        part = cloud(base=part)
        assert part.provenance is None
    assert cloud(base={"name": "acme/cloud", "base": Normal(0.0, 1.0)}).provenance is None


def test_a_model_made_by_hand_has_no_provenance():
    target = registry().model("acme/coins").load()
    assert target(event_shape=torch.Size([2]), context_shape=None, support=constraints.boolean).provenance is None


@pytest.mark.parametrize("fields", [{}, {"name": "a/b"}, {"name": "a/b", "event_shape": [1], "support": "real", "x": 1}, []])
def test_altered_provenance_is_refused(fields):
    with pytest.raises(CheckpointError, match=r"Provenance\.from_json: expected event_shape, name, support"):
        Provenance.from_json(fields)


def test_rebuilding_names_the_plugin_to_install(monkeypatch):
    model = cloud(base="acme/cloud")
    elsewhere = Provenance.from_json(model.provenance.to_json() | {"parts": {"gone/part": "probgen-gone 0.7"}})
    with pytest.raises(UnknownNameError, match=r"expected 'gone/part' of probgen-gone 0\.7 .* pip install probgen-gone=="):
        rebuild(elsewhere)
    monkeypatch.setenv("PROBGEN_PLUGINS", "")
    registry.cache_clear()
    with pytest.raises(UnknownNameError, match=r"expected 'acme/cloud' of acme 1\.2 to be registered"):
        rebuild(model.provenance)


# ----------------------------------------------------------------------------------------------------------------- slots


REAL = {"event_shape": (2,), "support": constraints.real}


@pytest.mark.parametrize("part", ["acme/cloud", Slot("acme/cloud"), {"name": "acme/cloud"}])
def test_a_slot_is_filled_by_name(part):
    model = resolve(part, **REAL)
    assert model.event_shape == torch.Size([2])
    assert model.provenance.name == "acme/cloud"


def test_a_slot_takes_a_finished_model_of_its_shapes():
    model = cloud()
    assert resolve(model, **REAL) is model
    with pytest.raises(ShapeError, match=r"expected a model with event_shape \(3,\) in this slot; got Cloud with \(2,\)"):
        resolve(model, event_shape=(3,), support=constraints.real)
    with pytest.raises(ShapeError, match=r"expected a model with context_shape \(4,\) in this slot; got Cloud with None"):
        resolve(model, context_shape=(4,), **REAL)
    with pytest.raises(SupportError, match="expected a model with support"):
        resolve(model, event_shape=(2,), support=constraints.boolean)


@pytest.mark.parametrize(
    "distribution",
    [
        Normal(0.0, 1.0),
        Normal(torch.zeros(2), torch.ones(2)),
        Normal(torch.zeros(1), torch.ones(1)),
        Independent(Normal(torch.zeros(2), torch.ones(2)), 1),
        MultivariateNormal(torch.zeros(2), torch.eye(2)),
        pyro.distributions.Normal(0.0, 1.0),
        pyro.distributions.Normal(torch.zeros(2), torch.ones(2)).to_event(1),
    ],
    ids=["scalar", "batch", "expanded", "independent", "multivariate", "pyro", "pyro-to-event"],
)
def test_a_distribution_fills_a_slot(distribution):
    model = resolve(distribution, **REAL)
    assert model.event_shape == torch.Size([2])
    x = torch.tensor([[0.5, -1.0]])
    torch.testing.assert_close(model.log_prob(x), Normal(0.0, 1.0).log_prob(x).sum(1))


def test_a_small_event_is_repeated_over_the_leading_axes():
    pair = MultivariateNormal(torch.zeros(2), torch.eye(2))
    model = resolve(pair, event_shape=(3, 2), support=constraints.real)
    x = torch.randn(4, 3, 2)
    torch.testing.assert_close(model.log_prob(x), pair.log_prob(x).sum(1))


@pytest.mark.parametrize(
    ("part", "error"),
    [
        (Normal(torch.zeros(3), torch.ones(3)), ShapeError),
        (MultivariateNormal(torch.zeros(3), torch.eye(3)), ShapeError),
        (Independent(Normal(torch.zeros(4, 2), torch.ones(4, 2)), 2), ShapeError),
        (Bernoulli(0.5), SupportError),
        (3, CapabilityError),
        (torch.nn.Linear(1, 1), CapabilityError),
        (None, CapabilityError),
        ("acme/coins", SupportError),
        ("acme/cluod", UnknownNameError),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, type) else value.__name__,
)
def test_what_does_not_fit_the_slot_is_refused(part, error):
    with pytest.raises(error):
        resolve(part, **REAL)


@pytest.mark.parametrize(
    ("shape", "said"), [(2, r"got 2\. Write \(2,\) for 2 entries"), ("2", "got '2'"), ((2.5,), r"got \(2\.5,\)")]
)
def test_a_shape_is_a_sequence_of_whole_numbers(shape, said):
    with pytest.raises(ShapeError, match=f"build: expected event_shape as a sequence of whole numbers; {said}"):
        build("acme/cloud", event_shape=shape, support="real")

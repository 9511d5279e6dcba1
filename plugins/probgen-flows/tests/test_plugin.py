"""What the plugin registers, as the registry sees it."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys

import pytest
import torch

from probgen import MaximumLikelihood, build
from probgen.errors import SupportError
from probgen.nn import ACTIVATIONS
from probgen.plugin import registry
from probgen_flows.plugin import probgen_models

SPECS = {spec.name: spec for spec in probgen_models()}
of_every_spec = pytest.mark.parametrize("spec", SPECS.values(), ids=list(SPECS))


def loaded(text):
    module, _, attribute = text.partition(":")
    return getattr(importlib.import_module(module), attribute)


def test_registering_imports_no_torch():
    program = "import probgen_flows.plugin as p, sys; p.probgen_models(); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_they_are_registered():
    assert set(SPECS) == {"flows/realnvp", "flows/maf", "flows/iaf"} <= set(registry().models)


@of_every_spec
class TestSpecs:
    def test_options_are_those_of_the_class(self, spec):
        parameters = inspect.signature(loaded(spec.target)).parameters
        bound = {"event_shape", "context_shape", "support"}
        assert {o.name: o.default for o in spec.options} == {k: p.default for k, p in parameters.items() if k not in bound}
        assert set(next(o.choices for o in spec.options if o.name == "activation")) == set(ACTIVATIONS)

    def test_the_recipe_is_maximum_likelihood(self, spec):
        (stage,) = loaded(spec.recipe)(None).stages
        assert isinstance(stage.estimator, MaximumLikelihood)
        assert stage.settings_for("main").name == "adam"

    def test_examples_are_tiny(self, spec):
        models = loaded(spec.examples)()
        assert all(type(model) is loaded(spec.target) for model in models.values())
        assert all(sum(p.numel() for p in model.parameters()) < 5_000 for model in models.values())
        assert any(model.context_shape for model in models.values())
        assert any(model.event_shape == torch.Size([2]) for model in models.values())

    def test_it_is_built_by_name(self, spec):
        flow = build(spec.name, "digits", context="label", transforms=2, hidden="8,8", activation="silu")
        assert flow.event_shape == (1, 8, 8)
        assert flow.sample((), torch.eye(10)).shape == (10, 1, 8, 8)
        assert flow.provenance.name == spec.name

    def test_bits_are_refused(self, spec):
        with pytest.raises(SupportError):
            build(spec.name, event_shape=(3,), support="binary")

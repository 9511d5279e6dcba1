"""What the plugin registers, as the registry sees it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from torch.distributions import constraints

from probgen import ContrastiveDivergence, Recipe
from probgen_boltzmann.centering import CenteredContrastiveDivergence
from probgen_boltzmann.examples import rbm as examples
from probgen_boltzmann.plugin import probgen_estimators, probgen_models
from probgen_boltzmann.rbm import RBM
from probgen_boltzmann.recipes import persistent

(MODEL,) = probgen_models()
(ESTIMATOR,) = probgen_estimators()


def test_registering_imports_no_torch():
    calls = "p.probgen_models(); p.probgen_estimators()"
    program = f"import probgen_boltzmann.plugin as p, sys; {calls}; sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize(("spec", "accepts"), [(MODEL, RBM.build), (ESTIMATOR, CenteredContrastiveDivergence)])
def test_options_are_those_of_the_code(spec, accepts):
    accepted = inspect.signature(accepts).parameters
    options = {option.name: option.default for option in spec.options}
    assert options == {name: p.default for name, p in accepted.items() if p.kind is p.KEYWORD_ONLY}


@pytest.mark.parametrize(
    "string",
    [MODEL.target, MODEL.recipe, MODEL.examples, ESTIMATOR.target],
    ids=["model", "recipe", "examples", "estimator"],
)
def test_import_strings_lead_somewhere(string):
    module, _, attribute = string.partition(":")
    found = getattr(__import__(module, fromlist=[attribute]), attribute)
    assert found in (RBM, persistent, examples, CenteredContrastiveDivergence)


@pytest.mark.parametrize(("centred", "kind"), [(False, ContrastiveDivergence), (True, CenteredContrastiveDivergence)])
def test_the_recipe_is_persistent_contrastive_divergence_by_gradient_descent(centred, kind):
    recipe = persistent(RBM.build((3,), None, constraints.boolean, hidden=2, centered=centred))
    assert isinstance(recipe, Recipe)
    (stage,) = recipe.stages
    assert type(stage.estimator) is kind
    assert (stage.batch_size, stage.estimator.k, stage.estimator.persistent) == (100, 1, True)
    settings = stage.settings_for("main")
    assert (settings.name, settings.learning_rate, settings.betas[0]) == ("sgd", 0.01, 0.0)


def test_examples_are_tiny():
    assert all(sum(p.numel() for p in model.parameters()) < 1000 for model in examples().values())
    assert torch.Size([1, 2, 3]) in {model.event_shape for model in examples().values()}

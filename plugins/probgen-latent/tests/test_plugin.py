"""What the plugin registers, as the registry sees it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from torch.distributions import constraints

from probgen import ELBO, Recipe
from probgen.nn import ACTIVATIONS
from probgen_latent.examples import vae as examples
from probgen_latent.likelihoods import LIKELIHOODS
from probgen_latent.plugin import probgen_models
from probgen_latent.recipes import aevb
from probgen_latent.vae import VAE

SPEC = next(spec for spec in probgen_models() if spec.name == "latent/vae")


def test_registering_imports_no_torch():
    program = "import probgen_latent.plugin as p, sys; p.probgen_models(); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_options_are_those_of_build():
    accepted = inspect.signature(VAE.build).parameters
    options = {option.name: option.default for option in SPEC.options}
    assert options == {name: p.default for name, p in accepted.items() if p.kind is p.KEYWORD_ONLY}


def test_choices_are_those_of_the_code():
    choices = {option.name: option.choices for option in SPEC.options}
    assert set(choices["activation"]) == set(ACTIVATIONS)
    assert set(choices["likelihood"]) == {"auto", *LIKELIHOODS}


@pytest.mark.parametrize("field", ["target", "recipe", "examples"])
def test_import_strings_lead_somewhere(field):
    module, _, attribute = getattr(SPEC, field).partition(":")
    assert getattr(__import__(module, fromlist=[attribute]), attribute) in (VAE, aevb, examples)


def test_the_recipe_is_algorithm_one_of_the_paper():
    recipe = aevb(VAE.build((3,), None, constraints.boolean, latent=2, hidden=(4,)))
    assert isinstance(recipe, Recipe)
    (stage,) = recipe.stages
    assert isinstance(stage.estimator, ELBO)
    assert (stage.batch_size, stage.estimator.num_particles) == (100, 1)
    assert stage.settings_for("main").learning_rate == 1e-3


def test_examples_are_tiny():
    assert all(sum(p.numel() for p in model.parameters()) < 100_000 for model in examples().values())
    assert torch.Size([1, 5, 4]) in {model.event_shape for model in examples().values()}

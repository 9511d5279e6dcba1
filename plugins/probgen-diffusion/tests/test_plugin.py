"""What the plugin registers, as the registry sees it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch
from torch.distributions import constraints

from probgen import DenoisingScoreMatching, Recipe
from probgen_diffusion.ddpm import ARCHITECTURES, DDPM, TARGETS, VARIANCES
from probgen_diffusion.examples import ddpm as examples
from probgen_diffusion.plugin import probgen_models
from probgen_diffusion.recipes import denoising
from probgen_diffusion.sampling import SAMPLERS
from probgen_diffusion.schedules import SCHEDULES

(SPEC,) = probgen_models()


def test_registering_imports_no_torch():
    program = "import probgen_diffusion.plugin as p, sys; p.probgen_models(); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_options_are_those_of_build():
    accepted = inspect.signature(DDPM.build).parameters
    options = {option.name: option.default for option in SPEC.options}
    assert options == {name: p.default for name, p in accepted.items() if p.kind is p.KEYWORD_ONLY}


def test_the_constructor_has_the_same_defaults():
    built, made = (inspect.signature(function).parameters for function in (DDPM.build, DDPM.__init__))
    shared = [name for name, p in built.items() if name in made and p.default is not p.empty]
    assert {name: made[name].default for name in shared} == {name: built[name].default for name in shared}


def test_choices_are_those_of_the_code():
    choices = {option.name: set(option.choices) for option in SPEC.options if option.choices}
    assert choices == {
        "schedule": set(SCHEDULES),
        "target": set(TARGETS),
        "variance": set(VARIANCES),
        "sampler": set(SAMPLERS),
        "architecture": set(ARCHITECTURES),
    }


@pytest.mark.parametrize("field", ["target", "recipe", "examples"])
def test_import_strings_lead_somewhere(field):
    module, _, attribute = getattr(SPEC, field).partition(":")
    assert getattr(__import__(module, fromlist=[attribute]), attribute) in (DDPM, denoising, examples)


@pytest.mark.parametrize(
    ("target", "objective"), [("noise", "dsm[simple]"), ("event", "dsm[event]"), ("velocity", "dsm[velocity]")]
)
def test_the_recipe_trains_what_the_network_predicts(target, objective):
    recipe = denoising(DDPM.build((3,), None, constraints.real, width=4, target=target))
    assert isinstance(recipe, Recipe)
    (stage,) = recipe.stages
    assert isinstance(stage.estimator, DenoisingScoreMatching)
    assert stage.estimator.objective.name == objective


def test_examples_are_tiny():
    assert all(sum(p.numel() for p in model.parameters()) < 20_000 for model in examples().values())
    assert torch.Size([2, 9, 8]) in {model.event_shape for model in examples().values()}

"""What the plugin registers, as the registry sees it."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest
import torch

import probgen
from probgen import MaximumLikelihood, Recipe
from probgen.nn import ACTIVATIONS
from probgen_autoregressive.base import ORDERS
from probgen_autoregressive.made import MASK_ORDERS
from probgen_autoregressive.mask_sampling import MaskSampling
from probgen_autoregressive.plugin import probgen_estimators, probgen_models
from probgen_autoregressive.running import RUNNING_ACTIVATIONS

SPECS = {spec.name: spec for spec in probgen_models()}
BITS = (torch.rand(60, 4, generator=torch.Generator().manual_seed(1)) < 0.3).float()


def found(import_string):
    module, _, attribute = import_string.partition(":")
    return getattr(__import__(module, fromlist=[attribute]), attribute)


def test_registering_imports_no_torch():
    program = "import probgen_autoregressive.plugin as p, sys; p.probgen_models(); sys.exit('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_the_rows_are_there():
    assert set(SPECS) == {"autoregressive/linear", "autoregressive/made", "autoregressive/nade"}


@pytest.mark.parametrize("name", list(SPECS))
def test_options_are_those_of_the_constructor(name):
    accepted = inspect.signature(found(SPECS[name].target)).parameters
    shapes = {"event_shape", "context_shape", "support"}
    options = {option.name: option.default for option in SPECS[name].options}
    assert options == {key: value.default for key, value in accepted.items() if key not in shapes}


def test_choices_are_those_of_the_code():
    choices = {name: {option.name: option.choices for option in spec.options} for name, spec in SPECS.items()}
    assert set(choices["autoregressive/made"]["activation"]) == set(ACTIVATIONS)
    assert set(choices["autoregressive/made"]["order"]) == set(MASK_ORDERS)
    assert set(choices["autoregressive/nade"]["activation"]) == set(RUNNING_ACTIVATIONS)
    assert set(choices["autoregressive/nade"]["order"]) == set(choices["autoregressive/linear"]["order"]) == set(ORDERS)


@pytest.mark.parametrize("name", list(SPECS))
def test_recipes_and_examples(name):
    models = found(SPECS[name].examples)()
    for model in models.values():
        recipe = found(SPECS[name].recipe)(model)
        assert isinstance(recipe, Recipe)
        (stage,) = recipe.stages
        several = getattr(model, "num_masks", 1) > 1
        assert isinstance(stage.estimator, MaskSampling if several else MaximumLikelihood)


def test_the_estimator_is_registered():
    (spec,) = probgen_estimators()
    assert found(spec.target) is MaskSampling


@pytest.mark.parametrize("name", list(SPECS))
def test_training_raises_the_likelihood_and_survives_a_restart(name, tmp_path):
    options = {"autoregressive/linear": {"order": "random", "order_seed": 3}, "autoregressive/nade": {"hidden": 8}}
    data = torch.cat([BITS, BITS[:, :2]], 1)  # the last two entries follow from the first two
    model = probgen.build(name, data, **options.get(name, {"hidden": (16,), "masks": 2, "mask_seed": 3}))
    model.initialize(probgen.Batch(data))
    before = model.log_prob(data).mean()
    probgen.fit(model, data, epochs=30, batch_size=20, learning_rate=0.03, progress=False)
    assert model.log_prob(data).mean() > before + 0.5
    probgen.save(model, tmp_path / "model")
    again = probgen.load(tmp_path / "model")
    assert torch.equal(again.log_prob(data), model.log_prob(data))


@pytest.mark.parametrize("name", list(SPECS))
def test_a_killed_run_goes_on_bitwise(name, tmp_path):
    def trained(folder, steps, *, resume=False):
        torch.manual_seed(0)
        model = probgen.build(name, BITS)
        options = {"batch_size": 20, "checkpoint_every": 4, "run_dir": folder, "resume": resume, "progress": False}
        kill = [] if steps is None else [Kill(steps)]
        try:
            probgen.fit(model, BITS, steps=12, callbacks=kill, **options)
        except Killed:
            return None
        return model.state_dict()

    whole = trained(tmp_path / "whole", None)
    assert trained(tmp_path / "cut", 7) is None
    resumed = trained(tmp_path / "cut", None, resume=True)
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


class Killed(BaseException):
    """What takes the place of a signal."""


class Kill:
    """Ends a run at a step."""

    def __init__(self, step):
        self.step = step

    def __call__(self, event):
        if event.step >= self.step:
            raise Killed

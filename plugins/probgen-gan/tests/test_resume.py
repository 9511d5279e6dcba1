"""Every model of this distribution, killed and resumed, ends as if nobody had stopped it: its critic is saved as well."""

from __future__ import annotations

import pytest

from probgen.testing import assert_resumes

SMALL = {"hidden": (16,), "noise_size": 4}
GAME = {"loss": "wasserstein-gp", "critic_steps": 2, "critic_hidden": (16,)}
MODELS = {"gan/mlp": {"estimator": "adversarial", "estimator_options": GAME}, "gan/gmmn": {}}


@pytest.mark.parametrize("kills", [[7], pytest.param(range(1, 11), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_killed_and_resumed(name, kills):
    assert_resumes(name, "digits", options=SMALL, kills=kills, **MODELS[name])

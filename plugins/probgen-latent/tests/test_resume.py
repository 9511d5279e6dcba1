"""Every model of this distribution, killed and resumed, ends as if nobody had stopped it."""

from __future__ import annotations

import pytest

from probgen.testing import assert_resumes

MODELS = {
    "latent/vae": {"hidden": (24,), "latent": 4, "dropout": 0.2},
    "latent/sbn": {"hidden": (8, 4)},
    "latent/helmholtz": {"hidden": (8, 4)},
}


@pytest.mark.parametrize("kills", [[7], pytest.param(range(1, 11), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_killed_and_resumed(name, kills):
    assert_resumes(name, "digits", view="binary-renewed", options=MODELS[name], kills=kills)

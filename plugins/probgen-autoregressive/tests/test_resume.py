"""Every model of this distribution, killed and resumed, ends as if nobody had stopped it."""

from __future__ import annotations

import pytest

from probgen.testing import assert_resumes

MODELS = {
    "autoregressive/linear": {},
    "autoregressive/nade": {"hidden": 8},
    "autoregressive/made": {"hidden": (8,), "masks": 2, "dropout": 0.2},
}


@pytest.mark.parametrize("kills", [[7], pytest.param(range(1, 11), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("name", MODELS)
def test_killed_and_resumed(name, kills):
    assert_resumes(name, "digits", view="binary-renewed", options=MODELS[name], kills=kills)

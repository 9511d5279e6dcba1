"""Every model of this distribution, killed and resumed, ends as if nobody had stopped it."""

from __future__ import annotations

import pytest

from probgen.testing import assert_resumes

SMALL = {"transforms": 2, "hidden": (8,)}


@pytest.mark.parametrize("kills", [[7], pytest.param(range(1, 11), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("name", ["flows/realnvp", "flows/maf", "flows/iaf"])
def test_killed_and_resumed(name, kills):
    assert_resumes(name, "moons", data_options={"n": 200}, options=SMALL, kills=kills)

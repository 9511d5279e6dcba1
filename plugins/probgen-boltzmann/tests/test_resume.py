"""Killed and resumed, a machine ends as if nobody had stopped it: its chains and its offsets are in the checkpoint."""

from __future__ import annotations

import pytest

from probgen.testing import assert_resumes


@pytest.mark.parametrize("kills", [[7], pytest.param(range(1, 11), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("centered", [False, True])
def test_killed_and_resumed(centered, kills):
    assert_resumes("boltzmann/rbm", "digits", options={"hidden": 8, "centered": centered}, kills=kills)

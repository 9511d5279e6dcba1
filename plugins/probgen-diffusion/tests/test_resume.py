"""The process, killed and resumed, ends as if nobody had stopped it, with either network."""

from __future__ import annotations

import pytest

from probgen.testing import assert_resumes

NETWORKS = {"mlp": "moons", "unet": "digits"}


@pytest.mark.parametrize("kills", [[7], pytest.param(range(1, 11), marks=pytest.mark.slow)], ids=str)
@pytest.mark.parametrize("network", NETWORKS)
def test_killed_and_resumed(network, kills):
    options = {"architecture": network, "num_steps": 5, "width": 4}
    assert_resumes("diffusion/ddpm", NETWORKS[network], options=options, kills=kills)

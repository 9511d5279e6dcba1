"""What every test shares: one thread for each worker, a seed for each test, and where the real data are."""

from __future__ import annotations

import os
import random
from pathlib import Path

import hypothesis
import pytest
import torch

if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
    torch.set_num_threads(1)

hypothesis.settings.register_profile("probgen", deadline=None, derandomize=True, max_examples=60)
hypothesis.settings.load_profile("probgen")


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start each test from the same global streams, so that it does not depend on which tests ran before it."""
    torch.manual_seed(0)
    random.seed(0)


@pytest.fixture
def generator() -> torch.Generator:
    """Return a stream of the test's own."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def data_root() -> Path:
    """Return the folder of real data sets, `$PROBGEN_DATA`; skip the test where it is unset."""
    folder = os.environ.get("PROBGEN_DATA")
    if not folder:
        pytest.skip("PROBGEN_DATA is unset")
    return Path(folder)

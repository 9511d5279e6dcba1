"""Where the benchmark data are, for tests that need them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def benchmarks() -> Path:
    folder = os.environ.get("PROBGEN_DATA")
    if not folder:
        pytest.skip("PROBGEN_DATA is not set")
    return Path(folder)

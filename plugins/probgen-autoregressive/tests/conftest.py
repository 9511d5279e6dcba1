"""What every test of this plugin shares."""

from __future__ import annotations

import pytest
import torch


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """Start each test from the same global stream, so that it does not depend on which tests ran before it."""
    torch.manual_seed(0)

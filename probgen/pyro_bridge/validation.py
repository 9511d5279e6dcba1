"""Argument checks of torch and Pyro, off for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyro

__all__ = ["without_validation"]


@contextmanager
def without_validation() -> Iterator[None]:
    """Switch off the validation of `torch.distributions` and Pyro inside the block; restore each setting afterwards.

    Validation costs about as much as the small operations that it checks. A program that has passed its first step needs it
    no more, and nobody else's settings change.
    """
    off = {name: False for name in pyro.settings.get() if name.startswith("validate_")}
    with pyro.settings.context(**off):
        yield

"""The two programs of a model that is made of three parts: prior, decoder, posterior."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pyro
from torch import Tensor

if TYPE_CHECKING:
    from probgen.density import Density

__all__ = ["PLATE", "generate", "infer"]

PLATE = "data"
"""Name of the plate over the batch."""


def generate(
    prior: Density, decoder: Density, x: Tensor, given: Callable[[Tensor], Tensor], context: Tensor | None = None
) -> None:
    """Draw a code `z` from `prior` at `context` for each example; observe `x` from `decoder` at the context `given(z)`."""
    with pyro.plate(PLATE, len(x)):
        z = pyro.sample("z", prior.given(context))
        pyro.sample("x", decoder.given(given(z)), obs=x)


def infer(posterior: Density, seen: Tensor) -> None:
    """Draw a code `z` for each example from `posterior` given what is `seen` of it."""
    with pyro.plate(PLATE, len(seen)):
        pyro.sample("z", posterior.given(seen))

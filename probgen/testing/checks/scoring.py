"""The ways in which models score and draw, so that a check can ask all of them alike."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import BoundedLikelihood, LatentVariable, Reparameterized, UnnormalizedDensity, capabilities
from probgen.density import Density
from probgen.pyro_bridge import run_pair
from probgen.sampler import Sampler

__all__ = ["Score", "draws_of", "scores_of"]


@dataclasses.dataclass(frozen=True)
class Score:
    """A method that gives each event a number.

    Args:
        name: What it is called.
        call: Maps a flat batch, `(N, *event_shape), (N, *context_shape) | None -> (N,)`.
        random: Whether it may draw.
    """

    name: str
    call: Callable[[Tensor, Tensor | None], Tensor]
    random: bool = False


def scores_of(model: Any) -> list[Score]:
    """Return every way in which `model` scores events."""
    held = capabilities(model)
    scores = []
    if Density in held:
        scores.append(Score("log_prob", model.log_prob))
    if UnnormalizedDensity in held:
        scores.append(Score("energy", model.energy))
    if BoundedLikelihood in held:
        scores.append(Score("log_prob_bound", model.log_prob_bound, random=True))
    if LatentVariable in held:
        scores.append(Score("log_weights", lambda x, context: run_pair(model, x, context).log_weights[0], random=True))
    return scores


def draws_of(model: Any) -> dict[str, Callable[[int, Tensor | None], Tensor]]:
    """Return every way in which `model` draws, by name, as functions of how many draws and of one context."""
    held = capabilities(model)
    ways: dict[str, Callable[[int, Tensor | None], Tensor]] = {}
    if Sampler in held:
        ways["sample"] = lambda n, context: model.sample((n,), context)
    if Reparameterized in held:
        ways["rsample"] = lambda n, context: model.rsample((n,), context)
    return ways


def seeded(seed: int, fn: Callable[[], Any]) -> Any:
    """Return what `fn` gives on the global stream that starts at `seed`; a check's runner puts the stream back."""
    torch.manual_seed(seed)
    return fn()

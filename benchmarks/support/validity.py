"""What must hold before a time counts: weights move, the loss falls, the network is as large as the base's."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from benchmarks.support.contest import Contestant

__all__ = ["check_learning", "check_sizes", "size_of"]

_SIZE_TOLERANCE = 0.1  # libraries split, mask and bias their layers a little differently


def check_learning(contestant: Contestant, steps: int) -> None:
    """Run some steps, which also warm it up, and raise `ValueError` unless they train something.

    The mean loss of the last quarter of the steps has to be below that of the first.
    """
    before = None if contestant.weights is None else [_array(each).copy() for each in contestant.weights()]
    losses = []
    for _ in range(steps if contestant.weights is not None else 1):
        contestant.step()
        if contestant.loss is not None:
            losses.append(contestant.loss())
    contestant.finish()
    if before is not None and contestant.weights is not None:
        still = sum(np.array_equal(old, _array(new)) for old, new in zip(before, contestant.weights(), strict=True))
        if still:
            raise ValueError(f"{still} of {len(before)} weights did not change in {steps} steps")
    if losses:
        quarter = max(1, steps // 4)
        first, last = statistics.fmean(losses[:quarter]), statistics.fmean(losses[-quarter:])
        if not (math.isfinite(last) and last < first):
            raise ValueError(f"the loss went from {first:.4g} to {last:.4g} in {steps} steps")


def check_sizes(contestants: Mapping[str, Contestant], base: str) -> None:
    """Raise `ValueError` unless all train about as many numbers as the base does."""
    expected = size_of(contestants[base])
    for name, contestant in contestants.items():
        size = size_of(contestant)
        if size and expected and abs(size - expected) > _SIZE_TOLERANCE * expected:
            raise ValueError(f"{name} trains {size} numbers and {base} {expected}")


def size_of(contestant: Contestant) -> int:
    """Return how many numbers a contestant trains."""
    return 0 if contestant.weights is None else sum(_array(each).size for each in contestant.weights())


def _array(weights: Any) -> np.ndarray:
    return weights.detach().float().cpu().numpy() if isinstance(weights, torch.Tensor) else np.asarray(weights)

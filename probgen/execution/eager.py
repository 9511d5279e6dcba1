"""A phase as it is written: estimate, then differentiate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from probgen.batch import Batch
from probgen.estimator import Phase, State
from probgen.execution.program import Results, estimate_of

__all__ = ["EagerPhase"]


class EagerPhase:
    """A phase run by Python at every step.

    Args:
        phase: What is run.
        model: What the phase is given.
        parameters: What the gradient is taken by.
        autocast: Dtype of automatic mixed precision, or None.
    """

    def __init__(
        self, phase: Phase, model: Any, parameters: Sequence[nn.Parameter], *, autocast: torch.dtype | None = None
    ) -> None:
        self._phase, self._model = phase, model
        self._parameters = list(parameters)
        self._autocast = autocast

    def __call__(self, batch: Batch, state: State) -> Results:
        """Run the phase and return its estimate and gradients."""
        estimate = estimate_of(self._phase, self._model, batch, state, autocast=self._autocast)
        if not self._parameters or not estimate.surrogate.requires_grad:
            return Results(estimate, [None] * len(self._parameters))
        return Results(estimate, torch.autograd.grad(estimate.surrogate, self._parameters, allow_unused=True))

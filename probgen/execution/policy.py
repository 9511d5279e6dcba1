"""Which way a phase runs: as it is written, or as a graph that was recorded from it."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, Literal, get_args

import torch
from torch import nn

from probgen.batch import Batch
from probgen.errors import ConfigurationError, StagingError
from probgen.estimator import Phase, State
from probgen.execution.eager import EagerPhase
from probgen.execution.program import Results
from probgen.execution.staged import StagedPhase

__all__ = ["EXECUTIONS", "Execution", "PhaseExecution", "check_execution"]

Execution = Literal["auto", "eager", "graph", "inductor"]
"""`eager`: as written, at every step. `graph`: recorded once, rewritten, replayed. `inductor`: the same, compiled. `auto`:
`graph` where the phase can be recorded and runs often enough for it, else `eager`."""

EXECUTIONS: tuple[Execution, ...] = get_args(Execution)

_WORTH_RECORDING = 1_000
"""Runs of a phase from which on `auto` records it: recording takes 0.1 to 1 second, which steps of a millisecond earn
back in about so many. It is a count and not a time, so that a run repeats."""


def check_execution(name: str) -> None:
    """Raise `ConfigurationError` unless `name` is a way to run phases."""
    if name not in EXECUTIONS:
        raise ConfigurationError(
            f"fit: expected execution auto, eager, graph or inductor; got {name!r}. Leave it out for auto."
        )


class PhaseExecution:
    """Runs a phase one way, and says which.

    Args:
        phase: What is run.
        model: What the phase is given.
        estimator: Whose phase it is.
        parameters: What the gradient is taken by.
        execution: How to run it.
        runs: How often it will run.
        autocast: Dtype of automatic mixed precision, or None.

    Raises:
        StagingError: at a run, if `execution` is `graph` or `inductor` and the phase cannot be recorded.
    """

    def __init__(
        self,
        phase: Phase,
        model: Any,
        estimator: Any,
        parameters: Sequence[nn.Parameter],
        *,
        execution: Execution,
        runs: int,
        autocast: torch.dtype | None = None,
    ) -> None:
        self._eager = EagerPhase(phase, model, parameters, autocast=autocast)
        self._name = phase.name
        self._may_fall_back = execution == "auto"
        self._staged: StagedPhase | None = None
        if execution in ("graph", "inductor") or (execution == "auto" and runs >= _WORTH_RECORDING):
            compiler = "inductor" if execution == "inductor" else None
            self._staged = StagedPhase(phase, model, estimator, parameters, autocast=autocast, compiler=compiler)
        self.chosen: Execution = execution if execution != "auto" else "eager" if self._staged is None else "graph"

    @property
    def in_words(self) -> str:
        """How the phase runs, for a person."""
        return (
            "as written" if self.chosen == "eager" else f"from a recorded graph{' (inductor)' * (self.chosen == 'inductor')}"
        )

    def history(self) -> dict[str, Any]:
        """Return how the phase runs, and what that depends on in the steps to come, as JSON values."""
        return {"chosen": self.chosen, "recorded": {} if self._staged is None else self._staged.history()}

    def load_history(self, history: Mapping[str, Any]) -> None:
        """Run as an earlier process did, and go on counting where it stopped."""
        self.chosen = history["chosen"]
        if self.chosen == "eager":
            self._staged = None
        elif self._staged is not None:
            self._staged.load_history(history["recorded"])

    def __call__(self, batch: Batch, state: State) -> Results:
        """Run the phase and return its estimate and gradients."""
        if self._staged is not None:
            try:
                return self._staged(batch, state)
            except StagingError as error:
                if not self._may_fall_back:
                    raise StagingError(f"{error} Use execution auto or eager.") from error
                self._staged, self.chosen = None, "eager"
                warnings.warn(f"fit: phase {self._name!r} runs as it is written, and slower. {error}", stacklevel=2)
        return self._eager(batch, state)

"""Choosing weights by validation: the metric, the best weights so far, and when to stop early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from probgen.errors import CheckpointError, ConfigurationError, suggest
from probgen.training.stage_run import StageRun

__all__ = ["Selection"]


class Selection:
    """Keeps the best weights by a validation metric, and says when the metric has stopped improving.

    The metric is the value of the estimator's first phase in its objective's direction; where the objective has none (a
    game), it is the one that the stage names.

    Args:
        run: The stage that is validated.
        patience: How many validations in a row may pass without improvement before the stage ends.

    Raises:
        ConfigurationError: there is nothing to select by: no direction and no metric, or no validation data.
    """

    def __init__(self, run: StageRun, patience: int) -> None:
        self._run = run
        self._patience = patience
        objective = run.estimator.objective
        self.metric: str
        self._direction: Literal["maximise", "minimise"]
        if run.stage.metric is not None:
            self.metric, self._direction = run.stage.metric
        elif objective.direction is not None:
            self.metric, self._direction = f"{run.phase_runs[0].phase.name}/value", objective.direction
        else:
            raise ConfigurationError(
                f"fit: expected a metric to select by; got none, and {type(run.estimator).__name__} plays a game, whose "
                "value says nothing of quality. Name a metric in the stage, or leave out patience."
            )
        if not run.has_validation:
            raise ConfigurationError("fit: expected validation data for patience; got none. Leave out patience.")
        self.best_value = math.nan
        self.best_step = 0
        self._since_best = 0
        self._best: dict[str, Tensor] = {}

    def consider(self, validation: Mapping[tuple[str, str], float], step: int) -> bool:
        """Take a validation into account, and return whether the stage should end."""
        by_name = {"/".join(key): value for key, value in validation.items()}
        if self.metric not in by_name:
            raise ConfigurationError(
                f"fit: expected the stage's metric among what validation reports; got {self.metric!r}. "
                f"{suggest(self.metric, by_name)}"
            )
        value = by_name[self.metric]
        better = value > self.best_value if self._direction == "maximise" else value < self.best_value
        if better or math.isnan(self.best_value):
            self.best_value, self.best_step, self._since_best = value, step, 0
            self._best = {name: tensor.detach().clone() for name, tensor in self._weights().items()}
        else:
            self._since_best += 1
        return self.exhausted

    @property
    def exhausted(self) -> bool:
        """Whether patience has run out."""
        return self._since_best >= self._patience

    @torch.no_grad()
    def apply(self) -> None:
        """Give the model its best weights."""
        if self._best:
            self._run.model.load_state_dict(self._best)

    def tensors(self) -> dict[str, Tensor]:
        """Return the best weights, for a checkpoint."""
        return {f"best.{name}": tensor for name, tensor in self._best.items()}

    def values(self) -> dict[str, Any]:
        """Return the rest of what a checkpoint needs."""
        value = None if math.isnan(self.best_value) else self.best_value
        return {"best_value": value, "best_step": self.best_step, "since_best": self._since_best}

    def restore(self, tensors: Mapping[str, Tensor], values: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        try:
            self.best_value = math.nan if values["best_value"] is None else values["best_value"]
            self.best_step, self._since_best = values["best_step"], values["since_best"]
        except KeyError as error:
            raise CheckpointError(
                f"fit: expected a checkpoint of a run with patience; got one without {error}. Resume with the same options."
            ) from error
        device = next(iter(self._run.model.state_dict().values())).device
        prefix = "best."
        self._best = {n.removeprefix(prefix): t.to(device) for n, t in tensors.items() if n.startswith(prefix)}

    def _weights(self) -> dict[str, Tensor]:
        average = self._run.average
        if average is None:
            return self._run.model.state_dict()
        with average.applied():
            return {name: tensor.clone() for name, tensor in self._run.model.state_dict().items()}

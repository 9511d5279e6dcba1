"""The settings of a run: what `fit` takes besides model, data and estimator."""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

from probgen.errors import ConfigurationError, suggest
from probgen.execution import Execution, check_execution
from probgen.training.recipe import OptimizerSettings, Stage

__all__ = ["Settings", "refuse_unknown"]

_ELSEWHERE = {
    "lr": "learning_rate",
    "num_steps": "steps",
    "max_steps": "steps",
    "iterations": "steps",
    "num_epochs": "epochs",
    "n_epochs": "epochs",
    "max_epochs": "epochs",
    "bs": "batch_size",
    "grad_clip": "clip_norm",
    "random_state": "seed",
    "accelerator": "device",
    "output_dir": "run_dir",
    "verbose": "progress",
}
"""What other libraries call some settings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Settings:
    """Overrides of a recipe, and how a run is carried out. `fit` documents each field."""

    steps: int | None = None
    epochs: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    schedule: str | None = None
    clip_norm: float | None = None
    ema: float | None = None
    patience: int | None = None
    validate_every: int | None = None
    checkpoint_every: int | None = None
    log_every: int | None = None
    seed: int = 0
    device: str = "auto"
    precision: str = "float32"
    execution: Execution = "auto"

    def __post_init__(self) -> None:
        for name in ("steps", "batch_size", "patience", "validate_every", "checkpoint_every", "log_every"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ConfigurationError(f"fit: expected {name} as a whole number of at least 1; got {value!r}. Try 100.")
        for name in ("epochs", "clip_norm", "learning_rate"):
            value = getattr(self, name)
            if value is not None and not (value > 0 and math.isfinite(value)):
                raise ConfigurationError(f"fit: expected {name} above 0; got {value!r}. Leave it out to use the recipe's.")
        if self.steps is not None and self.epochs is not None:
            raise ConfigurationError("fit: expected steps or epochs; got both. Leave one out.")
        if self.ema is not None and not 0.0 <= self.ema < 1.0:
            raise ConfigurationError(f"fit: expected ema, a decay, in [0, 1); got {self.ema!r}. Try 0.999.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise ConfigurationError(f"fit: expected seed as a whole number; got {self.seed!r}. Try 0.")
        if self.precision not in ("float32", "bfloat16"):
            raise ConfigurationError(
                f"fit: expected precision float32 or bfloat16; got {self.precision!r}. Weights stay as they are in both."
            )

        check_execution(self.execution)

    def applied_to(self, stage: Stage) -> Stage:
        """Return `stage` with the overrides of its budget, batch size and optimisers."""
        changes: dict[str, object] = {
            name: value for name in ("learning_rate", "schedule", "clip_norm") if (value := getattr(self, name)) is not None
        }
        known = stage.optimizers or {"*": OptimizerSettings()}
        optimizers = {phase: dataclasses.replace(settings, **changes) for phase, settings in known.items()}
        optimizers.setdefault("*", dataclasses.replace(OptimizerSettings(), **changes))
        budget: dict[str, object] = {}
        if self.steps is not None:
            budget = {"steps": self.steps}
        elif self.epochs is not None:
            budget = {"steps": None, "epochs": self.epochs}
        return dataclasses.replace(
            stage,
            optimizers=optimizers,
            batch_size=self.batch_size or stage.batch_size,
            **budget,
        )


def refuse_unknown(names: Iterable[str], function: Callable[..., Any]) -> None:
    """Refuse keywords that `function` does not take, and say which one was meant.

    Raises:
        ConfigurationError: there is such a keyword.

    Example:
        >>> refuse_unknown(["lr"], lambda *, steps, learning_rate: None)
        Traceback (most recent call last):
        probgen.errors.ConfigurationError: fit: expected keywords that fit has; got 'lr'. Did you mean 'learning_rate'?
    """
    for name in names:
        known = [each.name for each in inspect.signature(function).parameters.values() if each.kind is each.KEYWORD_ONLY]
        hint = f"Did you mean {_ELSEWHERE[name]!r}?" if _ELSEWHERE.get(name) in known else suggest(name, known)
        raise ConfigurationError(f"fit: expected keywords that fit has; got {name!r}. {hint}")

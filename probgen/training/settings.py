"""The settings of a run: what `fit` takes besides model, data and estimator."""

from __future__ import annotations

import dataclasses
import math

from probgen.errors import ConfigurationError
from probgen.execution import Execution, check_execution
from probgen.training.recipe import OptimizerSettings, Stage

__all__ = ["Settings"]


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
    execution: Execution = "eager"

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

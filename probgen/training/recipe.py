"""Recipes: how a model is trained unless somebody says otherwise, as plain data."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from probgen.batch import Batch
from probgen.errors import ConfigurationError
from probgen.estimator import Estimator

__all__ = ["OptimizerSettings", "Recipe", "Stage"]


@dataclasses.dataclass(frozen=True)
class OptimizerSettings:
    r"""The optimiser of one phase.

    Args:
        name: `"adam"`, `"adamw"`, `"sgd"` or `"rmsprop"`.
        learning_rate: Step size at the start of the schedule.
        betas: Adam's decay rates $(\beta_1, \beta_2)$; the first is the momentum of the others.
        epsilon: Adam's $\epsilon$.
        weight_decay: L2 penalty per step (decoupled for `adamw`).
        schedule: The learning rate over the stage: `"constant"`, `"cosine"` or `"linear"` (both down to zero), or
            `"steps"` (IWAE's staircase, $10^{-i/7}$ during the stage's share $3^i / \sum_j 3^j$, $i = 0, …, 7$).
        clip_norm: Largest norm of the phase's whole gradient; None leaves gradients as they are.
    """

    name: Literal["adam", "adamw", "sgd", "rmsprop"] = "adam"
    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine", "linear", "steps"] = "constant"
    clip_norm: float | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """One stage of training: an estimator, what it trains, on which view of the data, for how long.

    Args:
        estimator: What estimates the gradient.
        name: Unique within the recipe; it stands in the metrics.
        part: Dotted name of the submodule that is trained (`"prior"`), which the estimator then sees as its model; empty
            for the whole model.
        prepare: `(model, batch) -> Batch`, applied to each batch without gradients before the estimator sees it: a trained
            encoder, say, whose codes the next stage learns.
        train: Globs over parameter names of the part; those that match none stay as they are.
        view: Preferred view of the data by name; None for the model's own preference.
        steps: Budget in steps; None to use `epochs`.
        epochs: Budget in passes through the training data.
        batch_size: Examples in a batch.
        shuffle: Whether each epoch visits the examples in an order of its own; otherwise in that of the data.
        optimizers: Settings by phase name; `"*"` holds for the phases not named.
        metric: Metric that validation selects by, with its direction (`("mmd", "minimise")`), for an estimator whose
            objective has none; None to take the estimator's own.
    """

    estimator: Estimator
    name: str = "main"
    part: str = ""
    prepare: Callable[[Any, Batch], Batch] | None = None
    train: tuple[str, ...] = ("*",)
    view: str | None = None
    steps: int | None = None
    epochs: float = 100
    batch_size: int = 100
    shuffle: bool = True
    optimizers: Mapping[str, OptimizerSettings] = dataclasses.field(
        default_factory=lambda: MappingProxyType({"*": OptimizerSettings()})
    )
    metric: tuple[str, Literal["maximise", "minimise"]] | None = None

    def settings_for(self, phase: str) -> OptimizerSettings:
        """Return the optimiser settings of the phase called `phase`."""
        return self.optimizers.get(phase) or self.optimizers.get("*") or OptimizerSettings()


@dataclasses.dataclass(frozen=True, eq=False)
class Recipe:
    """The stages that train a model, in order: one for most, two for a VQ-VAE and the prior over its codes."""

    stages: tuple[Stage, ...]

    def __post_init__(self) -> None:
        names = [stage.name for stage in self.stages]
        if not names or len(set(names)) != len(names):
            raise ConfigurationError(
                f"Recipe: expected one stage or more, each with its own name; got {names}. Rename the stages."
            )

"""What a report says of a run besides its pictures and figures."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["RunFacts"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunFacts:
    """A run in words.

    Args:
        model: The model's name.
        summary: What the model is, in one line.
        data: The source's name.
        view: One line about the view of the data that was taken.
        parameters: How many numbers were learned.
        seconds: How long training took; None where nobody noted it.
        objectives: What each stage trained for, with its unit, by the stage's name: `elbo [nats]`.
        used: What training used, in words by heading: the estimator, the budget, the batch size, the learning rate.
        context: What the model is conditioned on; None for nothing.
        warnings: What a reader must know before the figures: that training diverged.
        options: The model's options.
        training: The settings of training.
        versions: Versions of what the run was made with.
        command: What was typed.
        created: When.
    """

    model: str
    summary: str
    data: str
    view: str
    parameters: int
    seconds: float | None
    objectives: Mapping[str, str]
    used: Mapping[str, str]
    context: str | None
    warnings: Sequence[str]
    options: Mapping[str, Any]
    training: Mapping[str, Any]
    versions: Mapping[str, str]
    command: str
    created: str

"""Did training end far worse than it began?"""

from __future__ import annotations

from collections.abc import Sequence

from probgen.training import MetricRow, Recipe

__all__ = ["divergence"]

_TIMES = 10
"""So many times its own size, and so many units for each entry of an event, an objective may get worse without a word."""


def divergence(rows: Sequence[MetricRow], recipe: Recipe, *, entries: int) -> list[str]:
    """Return a warning for each stage whose objective ended far worse than in its first step.

    Loss and gradient stayed finite, or training would have stopped. Noise, or a weight that grows, may make an objective
    worse by a little; ten times its size, and ten units an entry, is no training. Games have no better and worse.

    Args:
        rows: The metrics of the run.
        recipe: What the run did.
        entries: How many entries an event has.

    Example:
        >>> from probgen import MaximumLikelihood, Stage
        >>> rows = [MetricRow("main", step, 0.0, "train", "main", "value", -(10.0**step)) for step in (1, 5)]
        >>> print(*divergence(rows, Recipe((Stage(MaximumLikelihood()),)), entries=2))
        log_prob of stage 'main' got worse in training, from -10 to -1e+05 nats: it diverged. Lower --lr, or set --clip-norm.
    """
    warnings = []
    for stage in recipe.stages:
        objective = stage.estimator.objective
        points = [row for row in rows if (row.stage, row.split, row.name) == (stage.name, "train", "value")]
        if objective.direction is None or not points:
            continue
        first, last = (next(row for row in each if row.phase == points[0].phase) for each in (points, reversed(points)))
        loss = first.value - last.value if objective.direction == "maximise" else last.value - first.value
        if loss > _TIMES * (abs(first.value) + entries):
            warnings.append(
                f"{objective.name} of stage {stage.name!r} got worse in training, from {first.value:.3g} to "
                f"{last.value:.3g} {objective.unit}: it diverged. Lower --lr, or set --clip-norm."
            )
    return warnings

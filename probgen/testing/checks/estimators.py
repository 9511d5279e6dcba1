"""The checks of estimators."""

from __future__ import annotations

from probgen.testing.check import Check
from probgen.testing.checks.batches import check_order, check_small_batches, check_splitting, check_state
from probgen.testing.checks.claims import check_claims
from probgen.testing.checks.conduct import check_claimed, check_pure, check_repeatable, check_replayed, check_value
from probgen.testing.checks.memory import check_resumed
from probgen.testing.checks.objective import check_objective
from probgen.testing.checks.robustness import check_extremes, check_own_parameters, check_precision
from probgen.testing.twins import (
    contrastive,
    discrepancy,
    estimator_conduct,
    estimator_memory,
    game,
    latent_bounds,
    objective,
    score,
    score_functions,
    strategies,
)

__all__ = ["estimator_checks"]


def estimator_checks() -> tuple[Check, ...]:
    """Return every check of an estimator."""
    return (
        Check(
            "claims",
            "Value and gradients have the expectations that it claims, by parameter group, on every problem that it fits.",
            "estimator",
            check_claims,
            {
                name: twin
                for module in (latent_bounds, score_functions, strategies, contrastive, discrepancy, game, score)
                for name, twin in module.TWINS.items()
            },
        ),
        Check(
            "every-parameter-claimed",
            "It speaks of the value of every phase and of the gradient of every parameter, by names of quantities.",
            "estimator",
            check_claimed,
            estimator_conduct.SILENT,
        ),
        Check(
            "objective",
            "The value estimates the objective, and training makes that larger or smaller as the objective says.",
            "estimator",
            check_objective,
            objective.TWINS,
        ),
        Check(
            "value-detached",
            "The surrogate is a scalar; value, state and info carry no graph and have their shapes; all are finite.",
            "estimator",
            check_value,
            estimator_conduct.MISSHAPEN,
        ),
        Check(
            "repeatable",
            "One seed gives one result, bit by bit; other seeds give others, if it draws.",
            "estimator",
            check_repeatable,
            estimator_conduct.UNREPEATABLE,
        ),
        Check(
            "hidden-randomness",
            "Torch's random operations alone decide the result.",
            "estimator",
            check_replayed,
            estimator_conduct.HIDDEN,
        ),
        Check(
            "pure",
            "A draw leaves model, batch, state and gradients as they were, and remembers nothing outside of its state.",
            "estimator",
            check_pure,
            estimator_conduct.IMPURE,
        ),
        Check(
            "state",
            "The state keeps names, shapes and types from step to step, whatever the batch's size, and carries no gradient.",
            "estimator",
            check_state,
            estimator_memory.CHANGING,
        ),
        Check(
            "resumes",
            "A fresh copy that is given the state goes on as the one that returned it, and a state that changes matters.",
            "estimator",
            check_resumed,
            estimator_memory.STALE,
        ),
        Check(
            "small-batches",
            "A smaller last batch, or one example, is served, or refused with a message of probgen's.",
            "estimator",
            check_small_batches,
            estimator_memory.BRITTLE,
        ),
        Check(
            "batch-order",
            "The order of examples orders the values and changes no expectation.",
            "estimator",
            check_order,
            estimator_memory.ORDERED,
        ),
        Check(
            "batch-splitting",
            "Unless it calls its examples coupled, the mean estimate of a batch is the mean of those of its examples.",
            "estimator",
            check_splitting,
            estimator_memory.COUPLED,
        ),
        Check(
            "own-parameters",
            "Phases train parameters that are saved, all that the estimator learns among them, and every phase moves some.",
            "estimator",
            check_own_parameters,
            estimator_conduct.IDLE,
        ),
        Check(
            "extremes",
            "Values and gradients stay finite where the model's weights are thirty times as large.",
            "estimator",
            check_extremes,
            latent_bounds.UNSTABLE,
        ),
        Check(
            "precision",
            "Expectations in single precision are those in double to 1e-4.",
            "estimator",
            check_precision,
            latent_bounds.IMPRECISE,
        ),
    )

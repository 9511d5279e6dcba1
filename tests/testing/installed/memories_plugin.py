"""What the fake distribution registers: a model and an estimator that remember in different places."""

from __future__ import annotations

from probgen.plugin import EstimatorSpec, ModelSpec, Option, hookimpl

PLACES = ("buffer", "attribute", "scratch", "process", "crash")


@hookimpl
def probgen_models():
    return [
        ModelSpec(
            "memory/tired",
            "A Gaussian that learns the less the more it has learned.",
            "memories:Tired",
            options=[Option("memory", "str", "buffer", "Where it counts what it has seen.", choices=PLACES)],
            supports=["real"],
            recipe="memories:recipe",
        )
    ]


@hookimpl
def probgen_estimators():
    return [
        EstimatorSpec(
            "momentous",
            "Maximum likelihood against a moving average.",
            "memories:Momentous",
            options=[Option("memory", "str", "state", "Where the average is.", choices=("state", "attribute"))],
        )
    ]

"""A small plugin that does everything right; the tests install it under a fake distribution."""

from __future__ import annotations

from probgen.plugin import DataSpec, EstimatorSpec, MetricSpec, ModelSpec, Option, hookimpl


@hookimpl
def probgen_models():
    cloud = ModelSpec(
        "acme/cloud",
        "Independent entries around a learned centre.",
        "acme_models:Cloud",
        options=[
            Option("scale", "float", 1.0, "Standard deviation of an entry.", minimum=0.1, maximum=10),
            Option("hidden", "ints", (8,), "Widths of nothing in particular.", minimum=1),
            Option("shape", "str", "round", "What it looks like.", choices=["round", "flat"]),
            Option("base", "model", None, "Where the centre comes from."),
        ],
        supports=["real"],
        recipe="acme_models:recipe",
    )
    coins = ModelSpec("acme/coins", "Independent fair coins.", "acme_models:Coins", supports=["binary"])
    mistake = ModelSpec("acme/mistake", "Its target is no model.", "acme_models:recipe")
    missing = ModelSpec("acme/missing", "Its target does not exist.", "acme_models:Nowhere")
    return [cloud, coins, mistake, missing]


@hookimpl
def probgen_estimators():
    return [
        EstimatorSpec(
            "score-only",
            "Needs a density.",
            "acme_models:ScoreOnly",
            options=[Option("weight", "float", 1.0, "Weight of the score.", minimum=0)],
        ),
        EstimatorSpec("needs-latents", "Needs latent variables.", "acme_models:NeedsLatents"),
        EstimatorSpec("acme-missing", "Its module does not exist.", "acme_nowhere:Missing"),
        EstimatorSpec("acme-mistake", "Its target is no estimator.", "acme_models:Cloud"),
    ]


@hookimpl
def probgen_data():
    return [DataSpec("acme-points", "Points.", "acme_models:points")]


@hookimpl
def probgen_metrics():
    return [MetricSpec("acme-metric", "A number.", "acme_models:metric")]

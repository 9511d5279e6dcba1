"""What this distribution registers. It imports no torch, so that listings stay quick."""

from __future__ import annotations

from probgen.plugin import EstimatorSpec, ModelSpec, Option, hookimpl

__all__ = ["probgen_estimators", "probgen_models"]


@hookimpl
def probgen_models() -> list[ModelSpec]:
    """Return the models of this distribution."""
    return [
        ModelSpec(
            "tutorial/skew-normal",
            "Independent skew-normal coordinates.",
            "probgen_tutorial.skew_normal:SkewNormal",
            options=[Option("skewness", "float", 1.0, "Shape of every coordinate before training; 0 is a Gaussian.")],
            supports=["real"],
            reference="Azzalini (1985), A class of distributions which includes the normal ones.",
            examples="probgen_tutorial.skew_normal:examples",
        )
    ]


@hookimpl
def probgen_estimators() -> list[EstimatorSpec]:
    """Return the estimators of this distribution."""
    return [
        EstimatorSpec(
            "log-variance",
            "ELBO whose guide follows the variance of the log-weights; latents may be discrete.",
            "probgen_tutorial.log_variance:LogVariance",
            options=[Option("num_particles", "int", 2, "Draws for each example.", minimum=2)],
            reference="Richter et al. (2020), VarGrad, arXiv:2010.10436.",
        )
    ]

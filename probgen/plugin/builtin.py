"""The core's own plugin: its estimators and data sets are registered as anyone's are."""

from __future__ import annotations

from probgen.data.specs import DATA_SPECS
from probgen.plugin.hookspecs import hookimpl
from probgen.plugin.specs import DataSpec, EstimatorSpec, Option

__all__ = ["probgen_data", "probgen_estimators"]


@hookimpl
def probgen_estimators() -> list[EstimatorSpec]:
    """Return the core's estimators."""
    return [
        EstimatorSpec(
            "elbo",
            "Evidence lower bound of a latent-variable model, by sampled or analytic KL divergence.",
            "probgen.estimators.elbo:ELBO",
            options=(
                Option("beta", "float", 1.0, "Weight of the KL divergence; below 1 it is no bound.", minimum=0),
                Option("analytic_kl", "bool", default=True, help="Use the KL divergence in closed form where one is known."),
                Option("num_particles", "int", 1, "Draws of the latents for each example.", minimum=1),
            ),
            reference="Kingma & Welling (2014), arXiv:1312.6114; Higgins et al. (2017) for beta.",
        ),
        EstimatorSpec(
            "maximum-likelihood",
            "Log-likelihood of a model that can score exactly.",
            "probgen.estimators.maximum_likelihood:MaximumLikelihood",
        ),
    ]


@hookimpl
def probgen_data() -> list[DataSpec]:
    """Return the core's data sets."""
    return list(DATA_SPECS)

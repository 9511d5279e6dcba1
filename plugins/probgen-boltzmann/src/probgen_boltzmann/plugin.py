"""What this distribution registers. It imports no torch."""

from __future__ import annotations

from probgen.plugin import EstimatorSpec, ModelSpec, Option, hookimpl

__all__ = ["probgen_estimators", "probgen_models"]


@hookimpl
def probgen_models() -> list[ModelSpec]:
    """Return the models of this family."""
    return [
        ModelSpec(
            "boltzmann/rbm",
            "Restricted Boltzmann machine; exact where a layer has at most 20 units.",
            "probgen_boltzmann.rbm:RBM",
            options=(
                Option("hidden", "int", 64, "Number of hidden units.", minimum=1),
                Option("centered", "bool", default=False, help="Start and train with centred units."),
                Option("burn_in", "int", 1000, "Gibbs steps before a chain's draw, where draws are not exact.", minimum=1),
                Option(
                    "temperatures",
                    "int",
                    5000,
                    "Steps of annealed importance sampling, where the log-partition is not exact.",
                    minimum=1,
                ),
            ),
            supports=("binary",),
            reference="Smolensky (1986); Hinton (2002).",
            recipe="probgen_boltzmann.recipes:persistent",
            examples="probgen_boltzmann.examples:rbm",
        )
    ]


@hookimpl
def probgen_estimators() -> list[EstimatorSpec]:
    """Return the estimators of this family."""
    return [
        EstimatorSpec(
            "centered-contrastive-divergence",
            "Contrastive divergence by the centred gradient, the same for a pixel and its negative.",
            "probgen_boltzmann.centering:CenteredContrastiveDivergence",
            options=(
                Option("k", "int", 1, "Steps of the chain for each of the estimator's.", minimum=1),
                Option("persistent", "bool", default=False, help="Keep the chains from one step to the next."),
                Option("num_chains", "int", None, "Persistent chains; none for one an example of the batch.", minimum=1),
                Option("offset_rate", "float", 0.01, "Share of the batch's mean in the new offsets.", minimum=0, maximum=1),
            ),
            reference="Melchior, Fischer & Wiskott (2016), JMLR 17(99).",
            problems="probgen_boltzmann.problems:centered_problems",
        )
    ]

"""What this distribution registers. It imports no torch."""

from __future__ import annotations

from probgen.plugin import EstimatorSpec, ModelSpec, Option, hookimpl

__all__ = ["probgen_estimators", "probgen_models"]

_SUPPORTS = ("binary", "categorical", "real")
_ACTIVATIONS = ("elu", "gelu", "leaky-relu", "relu", "silu", "softplus", "tanh")
_ORDER = Option("order", "str", "natural", "Order of the entries: as they lie, or random.", choices=("natural", "random"))
_ORDER_SEED = Option("order_seed", "int", 0, "Seed of the random order.", minimum=0)
_COMPONENTS = Option("components", "int", 10, "Gaussians in the conditional of a real entry.", minimum=1)
_RECIPE = "probgen_autoregressive.recipes:networks"


@hookimpl
def probgen_models() -> list[ModelSpec]:
    """Return the models of this family."""
    return [_linear(), _made(), _nade()]


@hookimpl
def probgen_estimators() -> list[EstimatorSpec]:
    """Return the estimator of models with several masks."""
    return [
        EstimatorSpec(
            "mask-sampling",
            "Log-likelihood under a mask drawn for each batch.",
            "probgen_autoregressive.mask_sampling:MaskSampling",
            reference="Germain et al. (2015), arXiv:1502.03509.",
            problems="probgen_autoregressive.problems:mask_ensembles",
        )
    ]


def _linear() -> ModelSpec:
    return ModelSpec(
        "autoregressive/linear",
        "Fully visible belief net: logistic, softmax or Gaussian regression of each entry on those before it.",
        "probgen_autoregressive.linear:FVBN",
        options=(_ORDER, _ORDER_SEED),
        supports=_SUPPORTS,
        reference="Frey (1998), Graphical Models for Machine Learning and Digital Communication.",
        recipe="probgen_autoregressive.recipes:regression",
        examples="probgen_autoregressive.examples:linear",
    )


def _made() -> ModelSpec:
    return ModelSpec(
        "autoregressive/made",
        "Masked autoencoder: all conditionals in one pass, under one mask or many.",
        "probgen_autoregressive.made:MADE",
        options=(
            Option("hidden", "ints", (500,), "Width of each hidden layer.", minimum=1),
            Option("activation", "str", "tanh", "Activation between layers.", choices=_ACTIVATIONS),
            Option("masks", "int", 1, "How many masks share the weights.", minimum=1),
            Option(
                "order",
                "str",
                "natural",
                "Order of the entries: as they lie, random, or random for each mask.",
                choices=("natural", "random", "shuffled"),
            ),
            Option("mask_seed", "int", 0, "Seed of random orders and of several masks.", minimum=0),
            Option("average", "bool", default=True, help="Whether several masks are averaged; else the first is the model."),
            Option("direct", "bool", default=True, help="Whether weights also lead straight from entries to outputs."),
            _COMPONENTS,
            Option("dropout", "float", 0.0, "Share of hidden units dropped in training.", minimum=0, maximum=0.99),
        ),
        supports=_SUPPORTS,
        reference="Germain, Gregor, Murray & Larochelle (2015), arXiv:1502.03509.",
        recipe=_RECIPE,
        examples="probgen_autoregressive.examples:made",
    )


def _nade() -> ModelSpec:
    return ModelSpec(
        "autoregressive/nade",
        "Neural autoregressive distribution estimator: one hidden state, accumulated entry by entry.",
        "probgen_autoregressive.nade:NADE",
        options=(
            Option("hidden", "int", 500, "Number of hidden units.", minimum=1),
            Option("activation", "str", "sigmoid", "Activation.", choices=("relu", "sigmoid", "tanh")),
            _ORDER,
            _ORDER_SEED,
            _COMPONENTS,
        ),
        supports=_SUPPORTS,
        reference="Larochelle & Murray (2011); Uria, Murray & Larochelle (2013), arXiv:1306.0186.",
        recipe=_RECIPE,
        examples="probgen_autoregressive.examples:nade",
    )

"""What this distribution registers. It imports no torch."""

from __future__ import annotations

from probgen.plugin import ModelSpec, Option, hookimpl

__all__ = ["probgen_models"]

_ACTIVATIONS = ("elu", "gelu", "leaky-relu", "relu", "silu", "softplus", "tanh")


@hookimpl
def probgen_models() -> list[ModelSpec]:
    """Return the models of this family."""
    return [
        _generator(
            "gan/mlp",
            "Generative adversarial net with a dense generator, by any of eight games.",
            reference="Goodfellow et al. (2014), arXiv:1406.2661; Lucic et al. (2018), arXiv:1711.10337.",
            recipe="probgen_gan.recipes:adversarial",
        ),
        _generator(
            "gan/gmmn",
            "Generative moment matching net: a dense generator trained by maximum mean discrepancy, without a critic.",
            reference="Li, Swersky & Zemel (2015), arXiv:1502.02761.",
            recipe="probgen_gan.recipes:moment_matching",
        ),
    ]


def _generator(name: str, summary: str, *, reference: str, recipe: str) -> ModelSpec:
    """Return the spec of a dense generator that is trained by one comparison or another."""
    return ModelSpec(
        name,
        summary,
        "probgen_gan.generator:DenseGenerator",
        options=(
            Option("noise_size", "int", 32, "Entries of the noise.", minimum=1),
            Option("noise", "str", "normal", "Law of the noise.", choices=("normal", "uniform")),
            Option("hidden", "ints", (256, 256), "Width of each hidden layer of the generator.", minimum=1),
            Option("activation", "str", "relu", "Activation between layers.", choices=_ACTIVATIONS),
        ),
        supports=("unit-interval", "real"),
        reference=reference,
        recipe=recipe,
        examples="probgen_gan.examples:generators",
    )

"""What this distribution registers. It imports no torch."""

from __future__ import annotations

from probgen.plugin import ModelSpec, Option, hookimpl

__all__ = ["probgen_models"]

_ACTIVATIONS = ("elu", "gelu", "leaky-relu", "relu", "silu", "softplus", "tanh")
_LIKELIHOODS = ("auto", "bernoulli", "categorical", "discretised-logistic", "gaussian")


@hookimpl
def probgen_models() -> list[ModelSpec]:
    """Return the models of this family."""
    return [
        ModelSpec(
            "latent/vae",
            "Variational autoencoder with a Gaussian, or any other, prior and posterior.",
            "probgen_latent.vae:VAE",
            options=(
                Option("latent", "int", 50, "Size of the code.", minimum=1),
                Option("hidden", "ints", (200, 200), "Width of each hidden layer of the encoder.", minimum=1),
                Option("activation", "str", "tanh", "Activation between layers.", choices=_ACTIVATIONS),
                Option(
                    "architecture", "str", "mlp", "Networks: dense, or convolutional for images.", choices=("mlp", "conv")
                ),
                Option("likelihood", "str", "auto", "Distribution of an entry given the code.", choices=_LIKELIHOODS),
                Option("prior", "model", None, "Model of the code; none for a standard Gaussian."),
                Option("posterior", "model", None, "Model of the code given features; none for a diagonal Gaussian."),
                Option(
                    "dropout", "float", 0.0, "Share of hidden entries dropped in training (mlp).", minimum=0, maximum=0.99
                ),
            ),
            supports=("binary", "real", "categorical"),
            reference="Kingma & Welling (2014), arXiv:1312.6114.",
            recipe="probgen_latent.recipes:aevb",
            examples="probgen_latent.examples:vae",
        ),
        _belief_net(
            "latent/sbn",
            "Sigmoid belief net of any depth with a recognition net, by VIMCO.",
            reference="Neal (1992); Mnih & Rezende (2016), arXiv:1602.06725.",
            recipe="probgen_latent.recipes:vimco",
        ),
        _belief_net(
            "latent/helmholtz",
            "Helmholtz machine: a sigmoid belief net and its recognition net, by wake-sleep.",
            reference="Dayan, Hinton, Neal & Zemel (1995); Hinton, Dayan, Frey & Neal (1995).",
            recipe="probgen_latent.recipes:wake_sleep",
        ),
    ]


def _belief_net(name: str, summary: str, *, reference: str, recipe: str) -> ModelSpec:
    """Return the spec of a sigmoid belief net that is trained by one rule or the other."""
    return ModelSpec(
        name,
        summary,
        "probgen_latent.sbn:SigmoidBeliefNet",
        options=(Option("hidden", "ints", (200,), "Units of each layer of latents, from the data upwards.", minimum=1),),
        supports=("binary",),
        reference=reference,
        recipe=recipe,
        examples="probgen_latent.examples:sbn",
    )

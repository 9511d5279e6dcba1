"""What this distribution registers. It imports no torch."""

from __future__ import annotations

from probgen.plugin import ModelSpec, Option, hookimpl

__all__ = ["probgen_models"]

_ACTIVATIONS = ("elu", "gelu", "leaky-relu", "relu", "silu", "softplus", "tanh")


def _spec(name: str, summary: str, target: str, *, transforms: int, reference: str) -> ModelSpec:
    return ModelSpec(
        f"flows/{name}",
        summary,
        f"probgen_flows.{name}:{target}",
        options=(
            Option("transforms", "int", transforms, "Number of layers.", minimum=1),
            Option("hidden", "ints", (64, 64), "Width of each hidden layer of a layer's network.", minimum=1),
            Option("activation", "str", "relu", "Activation between them.", choices=_ACTIVATIONS),
        ),
        supports=("real",),
        reference=reference,
        recipe="probgen_flows.recipes:maximum_likelihood",
        examples=f"probgen_flows.examples:{name}",
    )


@hookimpl
def probgen_models() -> list[ModelSpec]:
    """Return the models of this family."""
    return [
        _spec(
            "realnvp",
            "Flow of affine coupling layers: scores and draws in one pass.",
            "RealNVP",
            transforms=8,
            reference="Dinh, Sohl-Dickstein & Bengio (2017), arXiv:1605.08803.",
        ),
        _spec(
            "maf",
            "Masked autoregressive flow: scores in one pass, draws by iteration.",
            "MAF",
            transforms=5,
            reference="Papamakarios, Pavlakou & Murray (2017), arXiv:1705.07057.",
        ),
        _spec(
            "iaf",
            "Inverse autoregressive flow: draws in one pass, scores others' events by iteration.",
            "IAF",
            transforms=5,
            reference="Kingma et al. (2016), arXiv:1606.04934.",
        ),
    ]

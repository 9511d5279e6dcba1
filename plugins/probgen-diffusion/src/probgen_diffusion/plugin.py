"""What this distribution registers. It imports no torch."""

from __future__ import annotations

from probgen.plugin import ModelSpec, Option, hookimpl

__all__ = ["probgen_models"]


@hookimpl
def probgen_models() -> list[ModelSpec]:
    """Return the models of this family."""
    return [
        ModelSpec(
            "diffusion/ddpm",
            "Denoising diffusion of vectors and images, in discrete time.",
            "probgen_diffusion.ddpm:DDPM",
            options=(
                Option("num_steps", "int", 200, "Steps of the chain.", minimum=1),
                Option("schedule", "str", "cosine", "How the noise grows.", choices=("cosine", "linear")),
                Option("target", "str", "noise", "What the network predicts.", choices=("noise", "event", "velocity")),
                Option(
                    "variance",
                    "str",
                    "large",
                    "Of the reverse steps: that of the forward step, or that given the event.",
                    choices=("large", "small"),
                ),
                Option(
                    "sampler", "str", "ancestral", "Random steps back, or deterministic ones.", choices=("ancestral", "ddim")
                ),
                Option("sampling_steps", "int", None, "Steps that a sampler takes; none for all.", minimum=1),
                Option(
                    "bound_evaluations",
                    "int",
                    None,
                    "Passes of the network for the bound, at random steps; none for one a step.",
                    minimum=1,
                ),
                Option(
                    "architecture",
                    "str",
                    "auto",
                    "Network: dense, or a U-Net; auto takes it for images of sides of 8 pixels or more.",
                    choices=("auto", "mlp", "unet"),
                ),
                Option("width", "int", None, "Width of the network, even; none for 128 (mlp), 32 (unet).", minimum=2),
                Option("depth", "int", None, "Residual blocks; none for 3 (mlp), 1 a level and way (unet).", minimum=1),
                Option("attention", "bool", default=False, help="Self-attention at the lowest resolution (unet)."),
            ),
            supports=("unit-interval", "real"),
            reference="Ho, Jain & Abbeel (2020), arXiv:2006.11239.",
            recipe="probgen_diffusion.recipes:denoising",
            examples="probgen_diffusion.examples:ddpm",
        )
    ]

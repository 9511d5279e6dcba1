"""What the fake distribution registers; it imports no torch."""

from __future__ import annotations

from probgen.plugin import CommandSpec, ModelSpec, Option, hookimpl


@hookimpl
def probgen_models():
    return [
        ModelSpec(
            "toy/gaussian",
            "Independent Gaussians, shifted by the context.",
            "toys:Gaussian",
            options=[
                Option("scale", "float", 1.0, "Initial standard deviation.", minimum=0.01),
                Option("fault", "str", "none", "What goes wrong.", choices=("none", "nan", "far", "bug", "interrupt")),
            ],
            supports=["real"],
            recipe="toys:recipe",
            reference="Gauss (1809).",
        ),
        ModelSpec("toy/coder", "Principal components with a code.", "toys:Coder", supports=["real"], recipe="toys:recipe"),
        ModelSpec("toy/mute", "Draws, and scores nothing.", "toys:Mute", supports=["real"]),
    ]


@hookimpl
def probgen_commands():
    return [
        CommandSpec("greet", "Greet somebody.", "toys_commands:greet"),
        CommandSpec("broken", "A command that is not there.", "toys_commands:missing"),
    ]

"""Problems with known answers, one model a file."""

from __future__ import annotations

import importlib

from probgen.testing.problem import Problem

__all__ = ["known_problems"]

_MODULES = (
    "belief_nets",
    "gaussian_autoencoders",
    "conditional_bits",
    "belief_chains",
    "gaussian_hierarchies",
    "mixed_latents",
    "densities",
    "discrepancies",
    "games",
    "boltzmann",
    "scores",
    "diffusions",
)
"""Where they are, each as a tuple `PROBLEMS`; the smallest of a kind come first."""


def known_problems() -> dict[str, Problem]:
    """Return the kit's problems by name."""
    modules = (importlib.import_module(f"{__name__}.{module}") for module in _MODULES)
    return {problem.name: problem for module in modules for problem in module.PROBLEMS}

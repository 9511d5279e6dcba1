"""Parameter names that say which of a pair's programs reads them, for claims and phases that treat the two apart."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import nn

from probgen.errors import ConfigurationError
from probgen.estimator import parameters_of
from probgen.latent import LatentVariable

__all__ = ["GENERATIVE", "INFERENCE", "parameters_by_program", "parameters_of_program"]

INFERENCE = "inference.*"
"""Glob over the names that `parameters_by_program` gives to the guide's parameters."""

GENERATIVE = "generative.*"
"""Glob over those that it gives to all others."""


def parameters_by_program(model: LatentVariable) -> dict[str, nn.Parameter]:
    """Return the trainable parameters as `inference.<name>` where they are the guide's, and `generative.<name>` elsewhere.

    Raises:
        ConfigurationError: the model does not say which are the guide's.
    """
    inferring = model.inference_parameters()
    return {
        f"{'inference' if name in inferring else 'generative'}.{name}": parameter
        for name, parameter in parameters_of(model).items()
    }


def parameters_of_program(model: LatentVariable, program: str) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of one program, which is `GENERATIVE` or `INFERENCE`, under the same names.

    Raises:
        ConfigurationError: the model does not say which are the guide's, or the program has none.
    """
    found = {name: p for name, p in parameters_by_program(model).items() if fnmatchcase(name, program)}
    if not found:
        raise ConfigurationError(
            f"{type(model).__name__}: expected trainable parameters in both programs; got none under {program!r}. "
            "Train the other one alone by ELBO or REINFORCE."
        )
    return found

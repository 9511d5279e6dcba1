"""Parameter names that say which of a pair's programs reads them, for claims and phases that treat the two apart."""

from __future__ import annotations

from torch import nn

from probgen.estimator import parameters_of
from probgen.latent import LatentVariable

__all__ = ["GENERATIVE", "INFERENCE", "parameters_by_program"]

INFERENCE = "inference.*"
"""Glob over the names that `parameters_by_program` gives to the guide's parameters."""

GENERATIVE = "generative.*"
"""Glob over those that it gives to all others."""


def parameters_by_program(model: LatentVariable) -> dict[str, nn.Parameter]:
    """Return the trainable parameters under `inference.<name>` where they are the guide's, and `generative.<name>` elsewhere.

    Raises:
        ConfigurationError: the model does not say which are the guide's.
    """
    inferring = model.inference_parameters()
    return {
        f"{'inference' if name in inferring else 'generative'}.{name}": parameter
        for name, parameter in parameters_of(model).items()
    }

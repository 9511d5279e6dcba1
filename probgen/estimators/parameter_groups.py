"""The parameters of a latent-variable model, told apart by what they belong to."""

from __future__ import annotations

from torch import nn

from probgen.errors import ConfigurationError
from probgen.estimator import parameters_of
from probgen.latent import LatentVariable

__all__ = ["generative_parameters", "inference_parameters"]


def inference_parameters(model: LatentVariable, group: str = "inference") -> dict[str, nn.Parameter]:
    """Return the guide's trainable parameters, each under its name with `group` and a dot before it.

    Raises:
        ConfigurationError: the model cannot say which they are.
    """
    return {f"{group}.{name}": parameter for name, parameter in model.inference_parameters().items()}


def generative_parameters(model: LatentVariable, group: str = "generative") -> dict[str, nn.Parameter]:
    """Return all other trainable parameters, likewise.

    Raises:
        ConfigurationError: the model cannot say which they are, or every parameter is the guide's.
    """
    theirs = set(map(id, model.inference_parameters().values()))
    found = {f"{group}.{name}": p for name, p in parameters_of(model).items() if id(p) not in theirs}
    if not found:
        raise ConfigurationError(
            f"{type(model).__name__}: expected parameters of the generative program; got those of the guide alone. "
            "Train a guide whose model is fixed by ELBO."
        )
    return found

"""Tiny instances of the models, for checks."""

from __future__ import annotations

from math import prod
from typing import Any, TypeVar

import torch
from torch import nn
from torch.distributions import constraints

from probgen.supports import categorical
from probgen_autoregressive.linear import FVBN
from probgen_autoregressive.made import MADE
from probgen_autoregressive.nade import NADE

__all__ = ["linear", "made", "nade", "stirred"]

_Module = TypeVar("_Module", bound=nn.Module)

_SHAPES: dict[str, dict[str, Any]] = {
    "binary": {"event_shape": (4,), "context_shape": None, "support": constraints.boolean},
    "categorical": {"event_shape": (1, 3), "context_shape": None, "support": categorical(3)},
    "conditional": {"event_shape": (2, 2), "context_shape": (2,), "support": constraints.boolean},
    "conditional-real": {"event_shape": (2,), "context_shape": (3,), "support": constraints.real},
    "one-entry": {"event_shape": (), "context_shape": (2,), "support": constraints.boolean},
    "real": {"event_shape": (2,), "context_shape": None, "support": constraints.real},
    "real-line": {"event_shape": (1,), "context_shape": (2,), "support": constraints.real},
}


def linear() -> dict[str, FVBN]:
    """Return belief nets of every support, with and without a context."""
    models = {name: FVBN(**shapes) for name, shapes in _SHAPES.items()}
    models["random-order"] = FVBN(**_SHAPES["binary"], order="random")
    return {name: stirred(model) for name, model in models.items()}


def made() -> dict[str, MADE]:
    """Return MADEs of every support, with and without a context, under one mask and several."""
    small: dict[str, Any] = {"hidden": (8, 7), "components": 2}
    models = {name: MADE(**shapes, **small) for name, shapes in _SHAPES.items()}
    binary, conditional = _SHAPES["binary"], _SHAPES["conditional"]
    models["indirect"] = MADE(**binary, **small, direct=False, order="random")
    models["gaussian"] = MADE(**_SHAPES["real"], hidden=(8,), components=1)
    models["masks"] = MADE(**binary, **small, masks=3)
    models["masks-and-orders"] = MADE(**conditional, **small, masks=3, order="shuffled")
    models["first-of-several-masks"] = MADE(**binary, **small, masks=3, order="shuffled", average=False)
    return {name: stirred(model) for name, model in models.items()}


def nade() -> dict[str, NADE]:
    """Return NADEs of every support, with and without a context, of two entries or more: the last one enters nothing."""
    several = {name: shapes for name, shapes in _SHAPES.items() if prod(shapes["event_shape"]) > 1}
    models = {name: NADE(**shapes, hidden=8, components=2) for name, shapes in several.items()}
    models["random-order"] = NADE(**_SHAPES["binary"], hidden=8, order="random", activation="tanh")
    models["relu"] = NADE(**_SHAPES["binary"], hidden=8, activation="relu")
    return {name: stirred(model) for name, model in models.items()}


def stirred(model: _Module) -> _Module:
    """Draw all parameters anew, wide enough that conditionals differ and biases are not at zero; return the model."""
    generator = torch.Generator().manual_seed(0)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return model

"""Tiny instances of the models, for checks."""

from __future__ import annotations

from probgen_flows.iaf import IAF
from probgen_flows.maf import MAF
from probgen_flows.realnvp import RealNVP

__all__ = ["iaf", "maf", "realnvp"]


def realnvp() -> dict[str, RealNVP]:
    """Return flows of the plane and of tiny pictures, with and without a context, of an odd and an even number of layers."""
    return {
        "plane": RealNVP(event_shape=(2,), transforms=2, hidden=(8,)),
        "conditional": RealNVP(event_shape=(2,), context_shape=(3,), transforms=3, hidden=(8,), activation="tanh"),
        "picture": RealNVP(event_shape=(1, 3, 3), transforms=3, hidden=(8, 8)),
    }


def maf() -> dict[str, MAF]:
    """Return flows of the line, of the plane and of tiny pictures, with and without a context."""
    return {
        "line": MAF(event_shape=(), transforms=2, hidden=(8,)),
        "line-conditional": MAF(event_shape=(1,), context_shape=(2,), transforms=2, hidden=(8,)),
        "plane": MAF(event_shape=(2,), transforms=2, hidden=(8,)),
        "conditional": MAF(event_shape=(2,), context_shape=(3,), transforms=3, hidden=(8,), activation="tanh"),
        "picture": MAF(event_shape=(1, 2, 2), transforms=2, hidden=(8, 8)),
    }


def iaf() -> dict[str, IAF]:
    """Return flows of the line, of the plane and of tiny pictures, with and without a context."""
    return {
        "line": IAF(event_shape=(), transforms=2, hidden=(8,)),
        "line-conditional": IAF(event_shape=(1,), context_shape=(2,), transforms=2, hidden=(8,)),
        "plane": IAF(event_shape=(2,), transforms=2, hidden=(8,)),
        "conditional": IAF(event_shape=(2,), context_shape=(3,), transforms=3, hidden=(8,), activation="tanh"),
        "picture": IAF(event_shape=(1, 2, 2), transforms=2, hidden=(8, 8)),
    }

"""Tiny instances of the models, for checks."""

from __future__ import annotations

from torch.distributions import constraints

from probgen_gan.generator import DenseGenerator

__all__ = ["generators"]


def generators() -> dict[str, DenseGenerator]:
    """Return generators of both supports and noises, with and without a context."""
    small = {"noise_size": 2, "hidden": (6,)}
    return {
        "conditional": DenseGenerator(event_shape=(2,), context_shape=(3,), **small),
        "real": DenseGenerator(event_shape=(2,), **small),
        "scalar": DenseGenerator(event_shape=(), noise_size=1, hidden=(4,), activation="tanh"),
        "unit-interval": DenseGenerator(event_shape=(1, 2, 2), support=constraints.unit_interval, noise="uniform", **small),
    }

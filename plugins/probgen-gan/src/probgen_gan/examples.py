"""Tiny instances of the models, for checks."""

from __future__ import annotations

from torch.distributions import constraints

from probgen_gan.generator import Generator

__all__ = ["generators"]


def generators() -> dict[str, Generator]:
    """Return generators of both supports and noises, with and without a context."""
    small = {"noise_size": 2, "hidden": (6,)}
    return {
        "conditional": Generator(event_shape=(2,), context_shape=(3,), **small),
        "real": Generator(event_shape=(2,), **small),
        "scalar": Generator(event_shape=(), noise_size=1, hidden=(4,), activation="tanh"),
        "unit-interval": Generator(event_shape=(1, 2, 2), support=constraints.unit_interval, noise="uniform", **small),
    }

"""Tiny instances of the models, for checks."""

from __future__ import annotations

from torch.distributions import constraints

from probgen.supports import categorical
from probgen_latent.sbn import SigmoidBeliefNet
from probgen_latent.vae import VAE

__all__ = ["sbn", "vae"]


def vae() -> dict[str, VAE]:
    """Return VAEs of every likelihood and architecture, with and without a context."""
    return {
        "bernoulli": VAE.build((6,), None, constraints.boolean, latent=2, hidden=(8,)),
        "bernoulli-conv": VAE.build((1, 5, 4), None, constraints.boolean, latent=2, hidden=(8,), architecture="conv"),
        "categorical": VAE.build((2, 3), None, categorical(4), latent=2, hidden=(8,)),
        "conditional": VAE.build((3,), (2,), constraints.boolean, latent=2, hidden=(8,)),
        "discretised-logistic": VAE.build(
            (3,), None, categorical(5), latent=2, hidden=(8,), likelihood="discretised-logistic"
        ),
        "gaussian": VAE.build((3,), None, constraints.real, latent=2, hidden=(8, 7)),
    }


def sbn() -> dict[str, SigmoidBeliefNet]:
    """Return sigmoid belief nets of one and two layers, with and without a context."""
    return {
        "one-layer": SigmoidBeliefNet.build((3,), None, constraints.boolean, hidden=(2,)),
        "two-layers": SigmoidBeliefNet.build((1, 2, 1), None, constraints.boolean, hidden=(2, 2)),
        "conditional": SigmoidBeliefNet.build((2,), (2,), constraints.boolean, hidden=(2,)),
    }

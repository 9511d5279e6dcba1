"""Tiny instances of the models, for checks."""

from __future__ import annotations

import torch

from probgen_boltzmann.rbm import RBM

__all__ = ["rbm"]


def rbm() -> dict[str, RBM]:
    """Return machines with fewer visible than hidden units, with more, over pictures, and too large to be exact."""
    machines = {
        "few-visible": RBM(event_shape=(3,), hidden=5),
        "few-hidden": RBM(event_shape=(6,), hidden=4),
        "picture": RBM(event_shape=(1, 2, 3), hidden=3),
        "estimated": RBM(event_shape=(22,), hidden=21, burn_in=20, temperatures=50),
    }
    for machine in machines.values():
        torch.nn.init.uniform_(machine.visible_bias, -1, 1)
        torch.nn.init.uniform_(machine.hidden_bias, -1, 1)
    return machines

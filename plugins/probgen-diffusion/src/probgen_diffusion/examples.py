"""Tiny instances of the models, for checks."""

from __future__ import annotations

from torch.distributions import constraints

from probgen_diffusion.ddpm import DDPM

__all__ = ["ddpm"]


def ddpm() -> dict[str, DDPM]:
    """Return diffusions of every target, schedule, variance, sampler and network, with and without a context."""
    return {
        "conditional": DDPM.build((3,), (2,), constraints.real, num_steps=8, width=8, depth=1),
        "conditional-unet": DDPM.build((1, 8, 8), (2,), constraints.unit_interval, num_steps=4, width=4),
        "ddim": DDPM.build((2,), None, constraints.real, num_steps=8, width=8, depth=1, sampler="ddim", sampling_steps=3),
        "event": DDPM.build((3,), None, constraints.real, num_steps=8, width=8, depth=1, target="event"),
        "linear-small": DDPM.build(
            (2,), None, constraints.unit_interval, num_steps=8, width=8, depth=1, schedule="linear", variance="small"
        ),
        "one-step": DDPM.build((), None, constraints.real, num_steps=1, width=8, depth=1),
        "unet": DDPM.build((2, 9, 8), None, constraints.real, num_steps=4, width=4, depth=2, attention=True),
        "velocity": DDPM.build((3,), None, constraints.real, num_steps=8, width=8, depth=1, target="velocity"),
    }

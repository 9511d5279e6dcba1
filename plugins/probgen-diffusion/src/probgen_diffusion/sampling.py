"""From noise to events: the steps that a denoiser is used in. They work for any noise process."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import torch
from torch import Tensor

from probgen import NoiseProcess
from probgen.estimators.diffusion_bound import Transition

__all__ = ["SAMPLERS", "ancestral_step", "ddim_step", "run_back", "time_grid"]

Step = Callable[[NoiseProcess, Tensor, Tensor, Tensor, Tensor | None], Tensor]
"""`(model, z_t, t, s, context) -> z_s`, with times of shape `(1,)`."""


def ancestral_step(model: NoiseProcess, z: Tensor, t: Tensor, s: Tensor, context: Tensor | None) -> Tensor:
    r"""Draw $z_s$ from the model's $p(z_s \mid z_t, c)$; at $s = 0$, return its mean.

    The last noise would be all that is left to see of a picture's imperfection, so the paper leaves it out.

    References:
        Ho, Jain & Abbeel (2020), arXiv:2006.11239, algorithm 2.
    """
    transition = Transition.of(model, t, s)
    noise = model.denoise(z, t.expand(len(z)), context)
    z_0 = (z - transition.sigma * noise) / transition.alpha
    mean = transition.noise_gain * z + transition.event_gain * z_0
    return mean + (s > 0) * model.reverse_variance(t, s).sqrt() * torch.randn_like(z)


def ddim_step(model: NoiseProcess, z: Tensor, t: Tensor, s: Tensor, context: Tensor | None) -> Tensor:
    r"""Return $z_s = \alpha_s \hat z_0 + \sigma_s \hat\varepsilon$, a step along the probability flow.

    References:
        Song, Meng & Ermon (2021), arXiv:2010.02502, equation 12 with $\sigma = 0$.
    """
    (alpha_t, alpha_s), (sigma_t, sigma_s) = (levels.unbind() for levels in model.schedule(torch.cat([t, s])))
    noise = model.denoise(z, t.expand(len(z)), context)
    return alpha_s * (z - sigma_t * noise) / alpha_t + sigma_s * noise


SAMPLERS: dict[str, Step] = {"ancestral": ancestral_step, "ddim": ddim_step}
"""Samplers by name."""


def run_back(model: NoiseProcess, z: Tensor, times: Tensor, context: Tensor | None = None, *, step: Step) -> Tensor:
    """Return where noise comes to over falling times.

    Args:
        model: The noise process.
        z: Where to start, at the first of the times, `(N, *event_shape)`.
        times: From the first down to the last, which may be 0, `(K + 1,)`.
        context: What each event is conditioned on, `(N, *context_shape)`.
        step: One of `SAMPLERS`.

    Shapes:
        `-> (N, *event_shape)`, on the scale of the noise.
    """
    for t, s in pairwise(times.split(1)):
        z = step(model, z, t, s, context)
    return z


def time_grid(num_steps: int, evaluations: int) -> Tensor:
    """Return the times that a sampler passes: `evaluations + 1` of the multiples of `1 / num_steps`, evenly, from 1 to 0.

    Example:
        >>> time_grid(10, 3).tolist()
        [1.0, 0.7, 0.3, 0.0]
    """
    steps = torch.linspace(num_steps, 0, evaluations + 1, dtype=torch.float64).round()
    return steps / num_steps

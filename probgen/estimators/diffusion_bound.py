r"""The variational bound of a diffusion model in discrete time, term by term.

With times $0 = t_0 < t_1 < \dots < t_T = 1$ and $q$ the forward process,

$$\log p(x) \ge \log\left|\frac{\partial z_0}{\partial x}\right| - \mathrm{KL}(q(z_1 \mid z_0) \,\|\, \mathcal{N}(0, I))
  - \sum_{i=2}^T \mathbb{E}_q\, \mathrm{KL}(q(z_{t_{i-1}} \mid z_{t_i}, z_0) \,\|\, p(z_{t_{i-1}} \mid z_{t_i}))
  + \mathbb{E}_q \log p(z_0 \mid z_{t_1}).$$

Each divergence, and the last term, is a function of the variances alone and a weighted squared error of the predicted noise.
The former is summed over all steps without the network (`known_part`); the latter takes a pass of the network for each step,
and so is what one samples (`step_error`).
"""

from __future__ import annotations

import dataclasses
import math
from typing import Self

import torch
from torch import Tensor

from probgen.capabilities import NoiseProcess
from probgen.errors import CapabilityError

__all__ = ["Transition", "known_part", "num_steps_of", "step_error", "variational_bound"]


@dataclasses.dataclass(frozen=True, eq=False)
class Transition:
    r"""The forward process between two times $s < t$: all there is to know of $q(z_s \mid z_t, z_0)$ but the events.

    $$q(z_s \mid z_t, z_0) = \mathcal{N}(a z_t + b z_0,\, u I), \qquad
      a = \frac{\alpha_t \sigma_s^2}{\alpha_s \sigma_t^2}, \quad
      b = \frac{\alpha_s \sigma_{t|s}^2}{\sigma_t^2}, \quad
      u = \frac{\sigma_{t|s}^2 \sigma_s^2}{\sigma_t^2}, \quad
      \sigma_{t|s}^2 = \sigma_t^2 - \frac{\alpha_t^2}{\alpha_s^2} \sigma_s^2$$

    Args:
        alpha: $\alpha_t$; this and the others of any one shape.
        sigma: $\sigma_t$.
        noise_gain: $a$.
        event_gain: $b$.
        variance: $u$, which is 0 at $s = 0$.

    References:
        Ho, Jain & Abbeel (2020), arXiv:2006.11239, equations 6 and 7. Kingma et al. (2021), arXiv:2107.00630, appendix A.
    """

    alpha: Tensor
    sigma: Tensor
    noise_gain: Tensor
    event_gain: Tensor
    variance: Tensor

    @classmethod
    def of(cls, model: NoiseProcess, t: Tensor, s: Tensor) -> Self:
        """Return the transition of `model` from times `t` to `s`, of one shape."""
        (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
        ratio = (sigma_s / sigma_t).square()
        kept = alpha_t / alpha_s
        share = 1 - kept.square() * ratio  # of the variance at t that was added since s
        return cls(alpha_t, sigma_t, kept * ratio, alpha_s * share, share * sigma_s.square())

    def error_weight(self, reverse_variance: Tensor) -> Tensor:
        r"""Return what a squared error of the noise costs in nats, $(b \sigma_t / \alpha_t)^2 / 2 v$."""
        return (self.event_gain * self.sigma / self.alpha).square() / (2 * reverse_variance)


def known_part(model: NoiseProcess, x: Tensor) -> Tensor:
    """Return what the bound is but for the errors of the denoiser, for a flat batch of events, `(N,)` in nats."""
    z_0, log_det = model.scaled(x)
    entries = math.prod(model.event_shape)
    times = torch.arange(num_steps_of(model) + 1, dtype=z_0.dtype, device=z_0.device) / num_steps_of(model)
    alpha, sigma = model.schedule(times[-1])
    prior = 0.5 * ((alpha * z_0).square() + sigma.square() - 1 - 2 * sigma.log()).reshape(len(z_0), entries).sum(1)
    forward = Transition.of(model, times[2:], times[1:-1]).variance
    ratio = forward / model.reverse_variance(times[2:], times[1:-1])
    divergences = 0.5 * (ratio - 1 - ratio.log()).sum()
    last = 0.5 * (2 * math.pi * model.reverse_variance(times[1], times[0])).log()
    return log_det - prior - entries * (divergences + last)


def step_error(model: NoiseProcess, x: Tensor, step: Tensor, noise: Tensor, context: Tensor | None = None) -> Tensor:
    """Return what the denoiser's error at one step for each event takes from the bound, in nats.

    Args:
        model: A process in discrete time.
        x: A flat batch of events, `(N, *event_shape)`.
        step: The number of the step, from 1 to `num_steps`, `(N,)` of int64.
        noise: Standard normal, shaped as `x`.
        context: What each event is conditioned on.

    Shapes:
        `-> (N,)`.
    """
    z_0, _ = model.scaled(x)
    t, s = (number.to(z_0.dtype) / num_steps_of(model) for number in (step, step - 1))
    transition = Transition.of(model, t, s)
    alpha, sigma = (factor.reshape(-1, *[1] * (z_0.ndim - 1)) for factor in (transition.alpha, transition.sigma))
    error = noise - model.denoise(alpha * z_0 + sigma * noise, t, context)
    weight = transition.error_weight(model.reverse_variance(t, s))
    return weight * error.square().reshape(len(z_0), math.prod(model.event_shape)).sum(1)


def variational_bound(
    model: NoiseProcess, x: Tensor, context: Tensor | None = None, *, num_evaluations: int | None = None
) -> Tensor:
    """Return an unbiased estimate of the bound for a flat batch of events, `(N,)` in nats.

    Args:
        model: A process in discrete time.
        x: Events, `(N, *event_shape)`.
        context: What each event is conditioned on.
        num_evaluations: How many steps to look at: one at random in each of as many equal parts of the time, so that the
            estimate varies little. None for every step.
    """
    steps = num_steps_of(model)
    parts = steps if num_evaluations is None else min(num_evaluations, steps)
    bound = known_part(model, x)
    for part in range(parts):
        first, end = part * steps // parts + 1, (part + 1) * steps // parts + 1
        step = torch.randint(first, end, (len(x),), device=x.device)
        bound = bound - (end - first) * step_error(model, x, step, torch.randn_like(x), context)
    return bound


def num_steps_of(model: NoiseProcess) -> int:
    """Return how many steps a process in discrete time has.

    Raises:
        CapabilityError: the process is in continuous time.
    """
    if model.num_steps is None:
        raise CapabilityError(
            f"VariationalDiffusion: expected a process in discrete time; got {type(model).__name__}, whose num_steps is "
            "None. Set its num_steps, or train it by DenoisingScoreMatching."
        )
    return model.num_steps

r"""Variance-preserving schedules, $\alpha_t^2 + \sigma_t^2 = 1$, as functions of continuous time.

A process of $T$ steps takes them at $1/T, 2/T, \dots, 1$. They are written in closed form, so that every number of
steps, also a small one, is a grid on the same process, and $\sigma_t$ is accurate where it is small.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["SCHEDULES", "cosine", "linear"]

_FIRST_RATE, _LAST_RATE = 0.1, 20.0  # 1000 times the first and last variance of a step in the paper
_OFFSET = 0.008
_LAST_ALPHA = 0.006  # about that of the linear schedule


def linear(t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return $\alpha_t$ and $\sigma_t$ where noise comes at a rate that is linear in time.

    $$\alpha_t^2 = \exp\left(-\beta_0 t - \tfrac{1}{2} (\beta_1 - \beta_0) t^2\right), \quad \beta_0 = 0.1, \; \beta_1 = 20$$

    is what the products of $1 - \beta_i$, $\beta_i$ from $10^{-4}$ to $0.02$ in 1000 steps, tend to.

    References:
        Ho, Jain & Abbeel (2020), arXiv:2006.11239. Song et al. (2021), arXiv:2011.13456, appendix C.
    """
    log_square = -_FIRST_RATE * t - 0.5 * (_LAST_RATE - _FIRST_RATE) * t.square()
    return (0.5 * log_square).exp(), (-torch.expm1(log_square)).sqrt()


def cosine(t: Tensor) -> tuple[Tensor, Tensor]:
    r"""Return $\alpha_t$ and $\sigma_t$ where the signal falls like a cosine, and little is lost near both ends.

    $$\alpha_t = \frac{\cos \theta_t}{\cos \theta_0}, \qquad \theta_t = \theta_0 + (\theta_1 - \theta_0) t,
      \qquad \theta_0 = \frac{\pi}{2} \frac{0.008}{1.008}$$

    The paper lets $\theta_1 = \pi / 2$, where nothing is left of the signal, and bounds the last steps. Here $\theta_1$ is a
    little less, so that $\alpha_1 = 0.006$: all ratios stay finite without a bound.

    References:
        Nichol & Dhariwal (2021), arXiv:2102.09672, equation 17.
    """
    first = 0.5 * math.pi * _OFFSET / (1 + _OFFSET)
    last = math.acos(_LAST_ALPHA * math.cos(first))
    turned = (last - first) * t
    variance = turned.sin() * (turned + 2 * first).sin() / math.cos(first) ** 2  # 1 - alpha^2 without cancellation
    return (turned + first).cos() / math.cos(first), variance.clamp(min=0).sqrt()


SCHEDULES: dict[str, Callable[[Tensor], tuple[Tensor, Tensor]]] = {"cosine": cosine, "linear": linear}
"""Schedules by name."""

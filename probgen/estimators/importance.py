"""What several particles' importance weights say together."""

from __future__ import annotations

import math

from torch import Tensor

__all__ = ["effective_particles", "log_mean_exp"]


def log_mean_exp(log_weights: Tensor) -> Tensor:
    r"""Return $\log \frac{1}{K} \sum_k w_k$ from log-weights, `(K, N) -> (N,)`.

    Example:
        >>> import torch
        >>> log_mean_exp(torch.tensor([[0.0], [0.0]]))
        tensor([0.])
    """
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def effective_particles(log_weights: Tensor) -> Tensor:
    r"""Return $(\sum_k w_k)^2 / \sum_k w_k^2$, `(K, N) -> (N,)`: $K$ when all weigh the same, 1 when one has all the weight.

    Example:
        >>> import torch
        >>> effective_particles(torch.zeros(4, 1))
        tensor([4.])
    """
    return (2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0)).exp()

"""Approximate posteriors over a vector of latents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen import Density, Reparameterized
from probgen.nn import Linear, soft_limit

__all__ = ["DiagonalGaussian"]


class DiagonalGaussian(nn.Module, Density, Reparameterized):
    r"""A Gaussian with diagonal covariance whose mean and scale are affine in the features that it is conditioned on.

    $$q(z \mid h) = \mathcal{N}(z;\, W_\mu h + b_\mu,\, \mathrm{diag}(\sigma^2)), \qquad
      \log \sigma = \ell \tanh\left((W_\sigma h + b_\sigma) / \ell\right)$$

    `given` returns Pyro's own Normal, so that its divergence from a Gaussian prior is known in closed form.

    Args:
        event_shape: `(D,)`.
        context_shape: Shape `(H,)` of the features $h$.
        support: The reals.
        limit: Bound $\ell$ of $|\log \sigma|$.

    Example:
        >>> posterior = DiagonalGaussian(event_shape=(3,), context_shape=(8,))
        >>> posterior.rsample((2,), torch.zeros(5, 8)).shape
        torch.Size([2, 5, 3])
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int],
        support: Constraint = constraints.real,
        limit: float = 7.0,
    ) -> None:
        super().__init__()
        self.event_shape = torch.Size(event_shape)
        self.context_shape = torch.Size(context_shape)
        self.support = support
        self.limit = limit
        (size,), (features,) = self.event_shape, self.context_shape
        self.head = Linear(features, 2 * size)

    def parameters_at(self, context: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation, each `(..., D)`, at features `(..., H)`."""
        mean, log_scale = self.head(context).chunk(2, -1)
        return mean, soft_limit(log_scale, self.limit).exp()

    def given(self, context: Tensor | None = None) -> Any:
        """Return the Gaussian at the features `context`, `(..., H)`."""
        self._context_batch(context, f"{type(self).__name__}.given")
        return self._at(context)

    def _at(self, context: Tensor | None) -> Any:
        mean, scale = self.parameters_at(context)  # pyright: ignore[reportArgumentType]  # conditional: the base checked
        return dist.Independent(dist.Normal(mean, scale), 1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._at(context).log_prob(x)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self._at(context).rsample()

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        gaussian = self._at(context)
        draws = gaussian.rsample()
        return draws, gaussian.log_prob(draws)

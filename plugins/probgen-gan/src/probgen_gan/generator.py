"""The generator of an implicit model."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen import Batch, Reparameterized
from probgen.errors import ConfigurationError, SupportError
from probgen.nn import MLP
from probgen.supports import support_name

__all__ = ["DenseGenerator"]

_NOISES = ("normal", "uniform")


class DenseGenerator(nn.Module, Reparameterized):
    r"""A network that turns noise into events: something to draw from that cannot score.

    $$x = G(\varepsilon, c), \qquad \varepsilon \sim \mathcal{N}(0, I) \text{ or } \mathcal{U}(-1, 1)^H$$

    It is trained by comparing its draws with data: by a critic (`Adversarial`, with any loss) or by kernel means (`MMD`).
    The last layer starts where draws have the mean and, for real values, the spread of the data.

    Args:
        event_shape: Shape of an event, which is flattened inside.
        context_shape: Shape of a context, which joins the noise; None when not conditional.
        support: Real, or the unit interval, on which draws are squashed by a sigmoid.
        noise_size: Entries $H$ of the noise.
        noise: `"normal"` or `"uniform"`.
        hidden: Width of each hidden layer.
        activation: Name of the activation.

    Shapes:
        rsample: `sample_shape, (..., *context_shape) -> (*sample_shape, ..., *event_shape)`.

    Raises:
        SupportError: the events are neither real nor in the unit interval.
        ConfigurationError: a size is below 1, or the noise is unknown.

    Example:
        >>> generator = DenseGenerator(event_shape=(1, 8, 8), support=constraints.unit_interval)
        >>> generator.sample((3,)).shape
        torch.Size([3, 1, 8, 8])

    References:
        Goodfellow et al. (2014), arXiv:1406.2661. Li, Swersky & Zemel (2015), arXiv:1502.02761.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None = None,
        support: Constraint = constraints.real,
        noise_size: int = 32,
        noise: Literal["normal", "uniform"] = "normal",
        hidden: Sequence[int] = (256, 256),
        activation: str = "relu",
    ) -> None:
        super().__init__()
        if support_name(support) not in ("real", "unit-interval"):
            raise SupportError(
                f"DenseGenerator: expected real events or ones in the unit interval; got {support}. No gradient passes "
                "through discrete draws: choose another view of the data."
            )
        if noise_size < 1 or not hidden or min(hidden) < 1 or noise not in _NOISES:
            raise ConfigurationError(
                f"DenseGenerator: expected sizes of at least 1 and noise among {', '.join(_NOISES)}; got noise_size "
                f"{noise_size}, hidden {tuple(hidden)} and noise {noise!r}."
            )
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.support = support
        self.noise_size, self.noise = noise_size, noise
        self._squashed = support_name(support) == "unit-interval"
        sizes = (noise_size + prod(self.context_shape or (0,)), *hidden, prod(event_shape))
        self.network = MLP(sizes, activation=activation)

    @torch.no_grad()
    def initialize(self, batch: Batch) -> None:
        """Start draws at the mean (and real ones at the spread) of the data, once."""
        last = self.network[-1]
        bias, weight = last.get_parameter("bias"), last.get_parameter("weight")
        if bias.any():
            return
        x = batch.x.reshape(len(batch), -1).to(bias.dtype)
        if self._squashed:
            bias.copy_(torch.logit((x.sum(0) + 0.5) / (len(x) + 1.0)))
        else:
            weight.mul_(x.std(0, correction=0).clamp_min(1e-3)[:, None])
            bias.copy_(x.mean(0))

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        like = self.network[0].get_parameter("weight")
        draw = torch.randn if self.noise == "normal" else torch.rand
        noise = draw(n, self.noise_size, dtype=like.dtype, device=like.device)
        if self.noise == "uniform":
            noise = 2.0 * noise - 1.0
        if context is not None:
            noise = torch.cat([noise, context.reshape(n, -1).to(noise.dtype)], -1)
        events = self.network(noise).reshape(n, *self.event_shape)
        return events.sigmoid() if self._squashed else events

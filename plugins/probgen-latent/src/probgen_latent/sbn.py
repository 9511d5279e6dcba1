"""Sigmoid belief nets, with a recognition net: the model of NVIL, VIMCO and the Helmholtz machine."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from math import prod
from typing import Literal, Self

import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen import Batch, BoundedLikelihood, LatentVariable, Sampler, run_pair
from probgen.claims import LowerBound
from probgen.draws import bernoulli
from probgen.errors import ConfigurationError, SupportError
from probgen.nn import Linear

__all__ = ["SigmoidBeliefNet"]


class SigmoidBeliefNet(nn.Module, LatentVariable, Sampler, BoundedLikelihood):
    r"""Layers of binary units, each of which turns on with a probability that the layer above decides.

    $$p(x, z \mid c) = p(z_L \mid c) \prod_{l=1}^{L} p(z_{l-1} \mid z_l, c), \qquad
      p(z_{l-1, i} = 1 \mid z_l, c) = \sigma(W_l z_l + V_l c + b_l)_i, \qquad z_0 = x$$

    The recognition net goes the other way, $q(z \mid x, c) = \prod_l q(z_l \mid z_{l-1}, c)$, with layers of the same form;
    the first sees $x$ less its mean. Both are linear between layers of units, as in the papers.

    The latents are discrete, so that no gradient passes through a draw: train it by `VIMCO`, `REINFORCE`, `RELAX`,
    `ReweightedWakeSleep` or `WakeSleep` (which makes it a Helmholtz machine).

    Args:
        event_shape: Shape of an event, which is flattened inside.
        context_shape: Shape of a context, flattened; None when not conditional.
        support: Binary.
        hidden: Units of each layer of latents, from the data upwards.

    Shapes:
        log_prob_bound: `(..., *event_shape), (..., *context_shape) -> (...)`, one draw of the evidence lower bound.

    Raises:
        SupportError: the events are not binary.
        ConfigurationError: there is no layer, or a layer without units.

    Example:
        >>> net = SigmoidBeliefNet.build((1, 8, 8), None, constraints.boolean, hidden=(5, 3))
        >>> net.sample((2,)).shape, net.log_prob_bound(torch.zeros(4, 1, 8, 8)).shape
        (torch.Size([2, 1, 8, 8]), torch.Size([4]))

    References:
        Neal (1992), Connectionist learning of belief networks. Hinton, Dayan, Frey & Neal (1995) for the recognition net and
        wake-sleep. Mnih & Gregor (2014), arXiv:1402.0030; Mnih & Rezende (2016), arXiv:1602.06725.
    """

    particles: Literal["fold", "plate", "loop"] = "plate"
    batch_plate = "data"
    inference = ("recognition.*",)

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None = None,
        support: Constraint = constraints.boolean,
        hidden: Sequence[int] = (200,),
    ) -> None:
        super().__init__()
        if support is not constraints.boolean:
            raise SupportError(f"SigmoidBeliefNet: expected binary events; got {support}. Use a binary view of the data.")
        if not hidden or min(hidden) < 1:
            raise ConfigurationError(
                f"SigmoidBeliefNet: expected a layer or more, each of one unit or more; got {tuple(hidden)}."
            )
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self.support = support
        sizes = (prod(event_shape), *hidden)
        extra = prod(self.context_shape or (0,))
        self.generation = nn.ModuleList([Linear(above + extra, below) for below, above in pairwise(sizes)])
        self.recognition = nn.ModuleList([Linear(below + extra, above) for below, above in pairwise(sizes)])
        self.top = nn.Parameter(torch.zeros(sizes[-1]))
        self.top_context = Linear(extra, sizes[-1], bias=False) if extra else None
        self.register_buffer("mean", torch.full((sizes[0],), 0.5))

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        *,
        hidden: Sequence[int] = (200,),
    ) -> Self:
        """Bind a net to data; see the class for the arguments."""
        return cls(event_shape=event_shape, context_shape=context_shape, support=support, hidden=hidden)

    @property
    def bound_claim(self) -> LowerBound:
        """A draw of the evidence lower bound."""
        return LowerBound("log_prob")

    @torch.no_grad()
    def initialize(self, batch: Batch) -> None:
        """Start the visible biases at the log-odds of the data, and centre what the recognition net sees, once."""
        biases = self.generation[0].get_parameter("bias")
        if not biases.any():
            x = self._flat(batch.x)
            self.get_buffer("mean").copy_((x.sum(0) + 1.0) / (len(x) + 2.0))
            biases.copy_(torch.logit(self.get_buffer("mean")))

    def model(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw layers from the top and observe the event."""
        flat, extra = self._flat(x), self._extra(context, len(x))
        with pyro.plate("data", len(x)):
            z = pyro.sample(f"z{len(self.generation)}", _units(self._prior(extra)))
            for layer in range(len(self.generation) - 1, 0, -1):
                z = pyro.sample(f"z{layer}", _units(self.generation[layer](_beside(z, extra))))
            pyro.sample("x", _units(self.generation[0](_beside(z, extra))), obs=flat)

    def guide(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw layers from the bottom, given the event."""
        extra = self._extra(context, len(x))
        below = self._flat(x) - self.get_buffer("mean")
        with pyro.plate("data", len(x)):
            for layer, recognise in enumerate(self.recognition, 1):
                below = pyro.sample(f"z{layer}", _units(recognise(_beside(below, extra))))

    def _prior(self, extra: Tensor) -> Tensor:
        """Return the logits of the top layer, `(N, C) -> (N, H)`."""
        context = 0.0 if self.top_context is None else self.top_context(extra)
        return self.top.expand(len(extra), -1) + context

    def _flat(self, x: Tensor) -> Tensor:
        return x.reshape(len(x), -1).to(self.top.dtype)

    def _extra(self, context: Tensor | None, n: int) -> Tensor:
        """Return flattened contexts, `(N, C)`; without a context C is 0."""
        if context is None:
            return self.top.new_zeros(n, 0)
        return context.reshape(n, -1).to(self.top.dtype)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        extra = self._extra(context, n)
        z = bernoulli(self._prior(extra).sigmoid())
        for generate in reversed(self.generation):
            z = bernoulli(generate(_beside(z, extra)).sigmoid())
        return z.reshape(n, *self.event_shape)

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        return run_pair(self, x, context).log_weights[0]


def _units(logits: Tensor) -> dist.TorchDistribution:
    return dist.Bernoulli(logits=logits).to_event(1)


def _beside(units: Tensor, extra: Tensor) -> Tensor:
    """Return the units of a layer with the context behind them, `(..., H), (N, C) -> (..., H + C)`."""
    return units if not extra.shape[-1] else torch.cat([units, extra.expand(*units.shape[:-1], -1)], -1)

"""Small models without mistakes. Each wrong twin is one of them with a single thing changed."""

from __future__ import annotations

import abc
import math
from collections.abc import Mapping
from typing import Any

import pyro
import pyro.distributions as dist
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.capabilities import (
    Autoregressive,
    BoundedLikelihood,
    Enumerable,
    Invertible,
    LatentVariable,
    LogPartition,
    MarkovKernel,
    NoiseProcess,
    Reparameterized,
    UnnormalizedDensity,
)
from probgen.claims import Claim, Exact, LowerBound
from probgen.density import Density
from probgen.pyro_bridge import run_pair
from probgen.sampler import Sampler

__all__ = ["Affine", "BitChain", "BitPair", "Coins", "Gaussian", "Machine", "NormalPair", "Noising", "RealChain"]


class Gaussian(nn.Module, Density, Reparameterized):
    r"""Independent normals, $x_d = \mu_d + (W c)_d + \sigma_d \varepsilon_d$.

    Args:
        features: Size of an event.
        context: Size of a context; None for a model that is not conditional.
    """

    def __init__(self, *, features: int = 2, context: int | None = None) -> None:
        super().__init__()
        self.event_shape = torch.Size([features])
        self.context_shape = None if context is None else torch.Size([context])
        self.support = constraints.real
        self.loc = nn.Parameter(torch.linspace(-0.5, 0.8, features))
        self.log_scale = nn.Parameter(torch.linspace(-0.3, 0.2, features))
        if context is not None:
            self.weight = nn.Parameter(torch.linspace(-1.0, 0.7, context * features).reshape(context, features))

    def location(self, context: Tensor | None) -> Tensor:
        """Return the mean, `(features,)` or `(N, features)`."""
        return self.loc if context is None else self.loc + context @ self.weight

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z = (x - self.location(context)) / self.log_scale.exp()
        return (-0.5 * z.square() - self.log_scale - 0.5 * math.log(2 * math.pi)).sum(-1)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        noise = torch.randn(n, *self.event_shape, dtype=self.loc.dtype, device=self.loc.device)
        return self.location(context) + self.log_scale.exp() * noise


class Coins(nn.Module, Density, Sampler, Enumerable):
    r"""Independent bits, $x_d \sim \mathrm{Bernoulli}(\sigma(l_d))$."""

    def __init__(self, *, features: int = 3) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([features]), None
        self.support = constraints.boolean
        self.logits = nn.Parameter(torch.linspace(-1.0, 1.5, features))

    def enumerate_support(self) -> Tensor:
        """Return every pattern of bits."""
        bits = torch.arange(2.0, dtype=self.logits.dtype, device=self.logits.device)
        return torch.cartesian_prod(*[bits] * self.event_shape[0]).reshape(-1, *self.event_shape)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.logits.expand(x.shape), x, reduction="none").sum(-1)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.bernoulli(self.logits.sigmoid().expand(n, -1))


class Machine(nn.Module, UnnormalizedDensity, MarkovKernel):
    r"""A restricted Boltzmann machine of three visible and two hidden units, with block Gibbs sampling."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([3]), None
        self.support = constraints.boolean
        self.weight = nn.Parameter(torch.linspace(-1.5, 1.2, 6).reshape(3, 2))
        self.visible_bias = nn.Parameter(torch.tensor([0.4, -0.3, 0.1]))
        self.hidden_bias = nn.Parameter(torch.tensor([-0.2, 0.5]))

    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return chains at `x`."""
        return {"x": x}

    def step(
        self, state: Mapping[str, Tensor], context: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Draw the hidden units given the visible ones, and then the visible ones afresh."""
        hidden = torch.bernoulli((state["x"] @ self.weight + self.hidden_bias).sigmoid())
        return {"x": torch.bernoulli((hidden @ self.weight.T + self.visible_bias).sigmoid())}, {}

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        return -(x @ self.visible_bias) - F.softplus(x @ self.weight + self.hidden_bias).sum(-1)

    def _log_partition(self, context: Tensor | None, num_particles: int) -> LogPartition:
        bits = torch.arange(2.0, dtype=self.weight.dtype, device=self.weight.device)
        total = torch.logsumexp(-self.energy(torch.cartesian_prod(bits, bits, bits)), 0)
        return LogPartition(total, torch.zeros_like(total), Exact("log_partition"), "a sum over all events")


class BitPair(nn.Module, LatentVariable, Sampler, BoundedLikelihood):
    r"""A latent bit that decides two visible ones, $z \to x$, with a guide that looks at both."""

    inference = ("guide_weight", "guide_bias")

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([2]), None
        self.support = constraints.boolean
        self.prior = nn.Parameter(torch.tensor(0.4))
        self.weight = nn.Parameter(torch.tensor([2.0, -1.5]))
        self.bias = nn.Parameter(torch.tensor([-0.7, 0.3]))
        self.guide_weight = nn.Parameter(torch.tensor([1.5, -1.0]))
        self.guide_bias = nn.Parameter(torch.tensor(0.2))

    @property
    def bound_claim(self) -> Claim:
        """A draw of the evidence lower bound."""
        return LowerBound("log_prob")

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent bit and observe the others."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.prior.expand(len(x))))
            pyro.sample("x", dist.Bernoulli(logits=self.logits(z)).to_event(1), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent bit given the others."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=x @ self.guide_weight + self.guide_bias))

    def logits(self, z: Tensor) -> Tensor:
        """Return the log-odds of the visible bits."""
        return z[..., None] * self.weight + self.bias

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.bernoulli(self.logits(torch.bernoulli(self.prior.sigmoid().expand(n))).sigmoid())

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        return run_pair(self, x, context).log_weights[0]


class NormalPair(nn.Module, LatentVariable, Sampler, BoundedLikelihood):
    r"""A normal latent that decides two bits, $z \to x$, with a guide that looks at both."""

    inference = ("guide_weight", "guide_log_scale")
    particles = "plate"

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([2]), None
        self.support = constraints.boolean
        self.weight = nn.Parameter(torch.tensor([2.0, -1.5]))
        self.bias = nn.Parameter(torch.tensor([-0.7, 0.3]))
        self.guide_weight = nn.Parameter(torch.tensor([1.0, -0.8]))
        self.guide_log_scale = nn.Parameter(torch.tensor(-0.4))

    @property
    def bound_claim(self) -> Claim:
        """A draw of the evidence lower bound."""
        return LowerBound("log_prob")

    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent and observe the bits."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(self.bias.new_zeros(len(x)), 1.0))
            pyro.sample("x", dist.Bernoulli(logits=self.logits(z)).to_event(1), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Draw the latent given the bits."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal((x - 0.5) @ self.guide_weight, self.guide_log_scale.exp()))

    def logits(self, z: Tensor) -> Tensor:
        """Return the log-odds of the bits."""
        return z[..., None] * self.weight + self.bias

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.bernoulli(self.logits(torch.randn(n, dtype=self.bias.dtype)).sigmoid())

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        return run_pair(self, x, context).log_weights[0]


class Affine(nn.Module, Density, Reparameterized, Invertible):
    r"""A normal variable through a triangular matrix, $x = \mu + (W c) + L z$."""

    def __init__(self, *, context: int | None = None) -> None:
        super().__init__()
        self.event_shape = torch.Size([3])
        self.context_shape = None if context is None else torch.Size([context])
        self.support = constraints.real
        self.loc = nn.Parameter(torch.tensor([0.3, -0.6, 1.0]))
        self.below = nn.Parameter(torch.tensor([[0.0, 0.0, 0.0], [0.5, 0.0, 0.0], [-0.8, 0.4, 0.0]]))
        self.log_diagonal = nn.Parameter(torch.tensor([0.2, -0.5, 0.7]))
        if context is not None:
            self.weight = nn.Parameter(torch.linspace(-0.7, 0.9, 3 * context).reshape(context, 3))

    def _factor(self) -> Tensor:
        return self.below.tril(-1) + torch.diag(self.log_diagonal.exp())

    def _centre(self, context: Tensor | None) -> Tensor:
        return self.loc if context is None else self.loc + context @ self.weight

    def _transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = torch.linalg.solve_triangular(self._factor(), (x - self._centre(context)).T, upper=False).T
        return z, -self.log_diagonal.sum().expand(len(x))

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z @ self._factor().T + self._centre(context), self.log_diagonal.sum().expand(len(z))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, log_det = self._transform(x, context)
        return (-0.5 * z.square() - 0.5 * math.log(2 * math.pi)).sum(-1) + log_det

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self._inverse(torch.randn(n, 3, dtype=self.loc.dtype, device=self.loc.device), context)[0]


class _Chain(nn.Module, Autoregressive, Sampler):
    r"""Three entries of which each depends on those before it in the order 1, 2, 0, through a linear predictor."""

    precedes: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([3]), None
        self.weight = nn.Parameter(torch.linspace(-1.2, 1.4, 9).reshape(3, 3))
        self.bias = nn.Parameter(torch.tensor([0.2, -0.4, 0.1]))
        places = torch.argsort(self.order)
        self.register_buffer("precedes", (places[:, None] < places[None, :]).float())

    @property
    def order(self) -> Tensor:
        """The second entry comes first, then the third, then the first."""
        return torch.tensor([1, 2, 0])

    def predicted(self, x: Tensor) -> Tensor:
        """Return what the entries before each predict for it, `(N, 3)`."""
        return x @ (self.weight * self.precedes) + self.bias

    @abc.abstractmethod
    def drawn(self, predicted: Tensor) -> Tensor:
        """Return entries drawn at their predictions."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        x = self.bias.new_zeros(n, 3)
        for entry in self.order.tolist():
            x[:, entry] = self.drawn(self.predicted(x)[:, entry])
        return x


class BitChain(_Chain):
    """Three bits, each given those before it."""

    support = constraints.boolean

    def drawn(self, predicted: Tensor) -> Tensor:
        """Return bits of these log-odds."""
        return torch.bernoulli(predicted.sigmoid())

    def _log_prob_terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        return -F.binary_cross_entropy_with_logits(self.predicted(x), x, reduction="none")


class RealChain(_Chain):
    """Three normal entries of variance one, each around what those before it predict."""

    support = constraints.real

    def drawn(self, predicted: Tensor) -> Tensor:
        """Return normal draws around the predictions."""
        return predicted + torch.randn_like(predicted)

    def _log_prob_terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        return -0.5 * (x - self.predicted(x)).square() - 0.5 * math.log(2 * math.pi)


class Noising(nn.Module, NoiseProcess):
    r"""The process $\alpha_t = \cos(\pi t / 2)$ with a linear denoiser."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([2]), None, constraints.real
        self.linear = nn.Linear(3, 2)

    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Return cosine and sine."""
        return (0.5 * math.pi * t).cos(), (0.5 * math.pi * t).sin()

    def denoise(self, z_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return a linear guess of the noise."""
        return self.linear(torch.cat([z_t, t[:, None].to(z_t.dtype)], 1))

"""The same two flows five ways: by hand, and as zuko, nflows and Pyro build them.

Each has `log_prob(x)` and `sample(n)`, affine layers in alternating order and networks of the sizes that are asked for.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.support.contest import Unavailable
from probgen_flows.maf import MAF
from probgen_flows.realnvp import RealNVP

__all__ = ["HandMAF", "HandRealNVP", "Kind", "PeerFlow", "by_hand", "nflows_flow", "probgen_flow", "pyro_flow", "zuko_flow"]

Kind = Literal["realnvp", "maf"]

_LIMIT = 5.0


class PeerFlow(Protocol):
    """What a contestant's flow can do."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log-densities, `(N, D) -> (N,)`."""
        ...

    def sample(self, n: int) -> Tensor:
        """Return draws, `(n, D)`."""
        ...

    def parameters(self) -> Any:
        """Return what is trained."""
        ...


def probgen_flow(kind: Kind, features: int, transforms: int, hidden: Sequence[int]) -> RealNVP | MAF:
    """Return probgen's flow, at the same weights every time."""
    torch.manual_seed(0)
    return {"realnvp": RealNVP, "maf": MAF}[kind](event_shape=(features,), transforms=transforms, hidden=tuple(hidden))


def by_hand(flow: RealNVP | MAF) -> HandRealNVP | HandMAF:
    """Return the hand-written flow with a copy of the weights of probgen's."""
    return HandRealNVP(flow) if isinstance(flow, RealNVP) else HandMAF(flow)


class _ByHand(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.features = features
        self.register_buffer("like", torch.zeros(()))

    def _normal(self, z: Tensor) -> Tensor:
        return -0.5 * (z.square() + math.log(2 * math.pi)).sum(1)

    def _noise(self, n: int) -> Tensor:
        return torch.randn(n, self.features, device=self.like.device)


def _shift_and_log_scale(outputs: Tensor) -> tuple[Tensor, Tensor]:
    shift, log_scale = outputs.chunk(2, 1)
    return shift, _LIMIT * torch.tanh(log_scale / _LIMIT)


class HandRealNVP(_ByHand):
    """Coupling layers as a plain loop, one pass either way."""

    def __init__(self, flow: RealNVP) -> None:
        super().__init__(flow.features)
        self.networks = copy.deepcopy(flow.conditioners)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log-densities."""
        halves, log_det = [x[:, 0::2], x[:, 1::2]], torch.zeros(len(x), device=x.device)
        for index, network in enumerate(self.networks):
            shift, log_scale = _shift_and_log_scale(network(halves[index % 2]))
            halves[1 - index % 2] = (halves[1 - index % 2] - shift) * torch.exp(-log_scale)
            log_det = log_det - log_scale.sum(1)
        return self._normal(torch.cat(halves, 1)) + log_det

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Return draws."""
        z = self._noise(n)
        halves = [z[:, 0::2], z[:, 1::2]]
        for index in reversed(range(len(self.networks))):
            shift, log_scale = _shift_and_log_scale(self.networks[index](halves[index % 2]))
            halves[1 - index % 2] = shift + halves[1 - index % 2] * torch.exp(log_scale)
        x = torch.empty_like(z)
        x[:, 0::2], x[:, 1::2] = halves
        return x


class HandMAF(_ByHand):
    """Masked layers as a plain loop: one pass to score, and one for every number of an event to draw."""

    def __init__(self, flow: MAF) -> None:
        super().__init__(flow.features)
        self.weights, self.biases = nn.ModuleList(), nn.ModuleList()
        for index, layer in enumerate(flow.layers):
            linears = list(layer.conditioner.layers)
            self.weights.append(nn.ParameterList(nn.Parameter(each.weight.detach().clone()) for each in linears))
            self.biases.append(nn.ParameterList(nn.Parameter(each.bias.detach().clone()) for each in linears))
            for number, each in enumerate(linears):
                self.register_buffer(f"mask_{index}_{number}", each.mask.clone())

    def _conditioned(self, index: int, x: Tensor) -> tuple[Tensor, Tensor]:
        for number, (weight, bias) in enumerate(zip(self.weights[index], self.biases[index], strict=True)):
            x = F.linear(F.relu(x) if number else x, weight * self.get_buffer(f"mask_{index}_{number}"), bias)
        return _shift_and_log_scale(x)

    def log_prob(self, x: Tensor) -> Tensor:
        """Return log-densities."""
        log_det = torch.zeros(len(x), device=x.device)
        for index in range(len(self.weights)):
            shift, log_scale = self._conditioned(index, x)
            x = (x - shift) * torch.exp(-log_scale)
            log_det = log_det - log_scale.sum(1)
        return self._normal(x) + log_det

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        """Return draws."""
        z = self._noise(n)
        for index in reversed(range(len(self.weights))):
            x = torch.zeros_like(z)
            order = range(self.features) if index % 2 == 0 else reversed(range(self.features))
            for feature in order:
                shift, log_scale = self._conditioned(index, x)
                x[:, feature] = shift[:, feature] + z[:, feature] * torch.exp(log_scale[:, feature])
            z = x
        return z


def zuko_flow(kind: Kind, features: int, transforms: int, hidden: Sequence[int]) -> PeerFlow:
    """Return zuko's flow."""
    import zuko

    flow = {"realnvp": zuko.flows.RealNVP, "maf": zuko.flows.MAF}[kind](
        features, transforms=transforms, hidden_features=tuple(hidden)
    )
    return _Lazy(flow)


class _Lazy(nn.Module):
    """zuko's flows are functions of a context that return a distribution."""

    def __init__(self, flow: Any) -> None:
        super().__init__()
        self.flow = flow

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow().log_prob(x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        return self.flow().sample((n,))


def nflows_flow(kind: Kind, features: int, transforms: int, hidden: Sequence[int]) -> PeerFlow:
    """Return nflows' flow, with plain networks in place of its residual ones."""
    from nflows.distributions.normal import StandardNormal
    from nflows.flows.base import Flow
    from nflows.transforms.autoregressive import MaskedAffineAutoregressiveTransform
    from nflows.transforms.base import CompositeTransform
    from nflows.transforms.coupling import AffineCouplingTransform
    from nflows.transforms.permutations import ReversePermutation

    layers: list[Any] = []
    for index in range(transforms):
        if kind == "realnvp":
            mask = torch.arange(features) % 2 != index % 2
            layers.append(AffineCouplingTransform(mask.int() * 2 - 1, lambda i, o: _Plain((i, *hidden, o))))
        else:
            blocks = len(hidden) - 1
            layers.append(
                MaskedAffineAutoregressiveTransform(features, hidden[0], num_blocks=blocks, use_residual_blocks=False)
            )
            layers.append(ReversePermutation(features))
    return Flow(CompositeTransform(layers), StandardNormal([features]))


class _Plain(nn.Module):
    """A perceptron that takes a context, which is None."""

    def __init__(self, sizes: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(sizes):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        return self.layers(x)


def pyro_flow(kind: Kind, features: int, transforms: int, hidden: Sequence[int]) -> PeerFlow:
    """Return Pyro's flow, its autoregressive layers turned so that scoring takes one pass."""
    if kind == "maf" and min(hidden) < features:
        raise Unavailable("its masked layers must be at least as wide as the event")
    return _PyroFlow(kind, features, transforms, hidden)


class _PyroFlow(nn.Module):
    def __init__(self, kind: Kind, features: int, transforms: int, hidden: Sequence[int]) -> None:
        import pyro.distributions as dist
        from pyro.distributions import transforms as library

        super().__init__()
        self.layers = nn.ModuleList()
        chain: list[Any] = []
        for _ in range(transforms):
            make = library.affine_coupling if kind == "realnvp" else library.affine_autoregressive
            layer = make(features, hidden_dims=list(hidden))
            self.layers.append(layer)
            chain += [layer if kind == "realnvp" else layer.inv, library.permute(features, torch.arange(features).flip(0))]
        base = dist.Normal(torch.zeros(features), torch.ones(features)).to_event(1)
        self.flow = dist.TransformedDistribution(base, chain)

    def log_prob(self, x: Tensor) -> Tensor:
        self.flow.clear_cache()
        return self.flow.log_prob(x)

    @torch.no_grad()
    def sample(self, n: int) -> Tensor:
        self.flow.clear_cache()
        return self.flow.sample((n,))

r"""The moments of RELAX's gradient on a small belief net, by quadrature over the uniform noise that it draws.

A draw of the gradient is a function of two uniform vectors: $u$, whose components a threshold at $1 - q$ turns into the bits
$b$, and $v$, which the noise given $b$ is made from. It is smooth in the box of all $u$ that lead to one $b$, so that a
Gauss-Legendre rule in each box converges fast, once its nodes crowd at the ends. RELAX itself is run, as it stands, at the
nodes.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import Tensor, nn
from torch.distributions import constraints
from torch.overrides import TorchFunctionMode

from probgen import RELAX, Batch, PyroPair
from probgen.testing.checks.scenes import Scene, gradients_of
from probgen.testing.problems.latent_program import program_of

__all__ = ["GradientMoments", "relax_moments"]

_PORTION = 2**17
"""So many nodes are examples of one batch."""


@dataclasses.dataclass(frozen=True)
class GradientMoments:
    """Moments of the gradient by all of a net's parameters, for one particle.

    Args:
        mean: Its expectation, `(P,)`.
        variance: The sum of its components' variances; that of an average of $K$ particles is the $K$-th part.
        draws: At how many nodes it was evaluated.
    """

    mean: Tensor
    variance: float
    draws: int


def relax_moments(scene: Scene, *, nodes: int) -> GradientMoments:
    """Return the moments of the gradient of a `RELAX` of one particle, on a belief net and a batch of one example.

    Args:
        scene: The estimator on one of the kit's belief nets.
        nodes: How many of them each uniform variable takes in a box; there are two variables for each latent bit.
    """
    estimator: Any = scene.estimator
    if not isinstance(estimator, RELAX) or len(scene.batch) > 1:
        raise ValueError("relax_moments: expected a RELAX and one example")
    mass, first, second, draws = 0.0, torch.zeros(0), 0.0, 0
    for before, given, weights in _nodes(_chances(scene), nodes):
        rows = _gradients(scene, before, given)
        mass += weights.sum().item()
        first = weights @ rows + (first if draws else 0.0)
        second += (weights @ rows.square().sum(1)).item()
        draws += len(weights)
    if abs(mass - 1) > 1e-12:
        raise ArithmeticError(f"relax_moments: the weights of the rule sum to {mass}")
    return GradientMoments(first, second - first.square().sum().item(), draws)


def _chances(scene: Scene) -> Tensor:
    """Return the guide's probabilities that the latent bits of the one example are 1."""
    q = program_of(scene.model).q
    return (scene.batch.x[0] @ q.weight + q.bias).detach().sigmoid()


def _nodes(chances: Tensor, nodes: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Yield portions of nodes, `(n, d)` for $u$ and for $v$, and of their weights, `(n,)`."""
    bits = len(chances)
    for outcome in itertools.product((0, 1), repeat=bits):
        cuts = [1 - float(chance) for chance in chances]
        boxes = [(cut, 1.0) if bit else (0.0, cut) for bit, cut in zip(outcome, cuts, strict=True)]
        rules = [_rule(low, high, nodes) for low, high in [*boxes, *[(0.0, 1.0)] * bits]]
        points = torch.cartesian_prod(*[points for points, _ in rules])
        weights = torch.cartesian_prod(*[weights for _, weights in rules]).prod(1)
        for here, share in zip(points.split(_PORTION), weights.split(_PORTION), strict=True):
            yield here[:, :bits], here[:, bits:], share


def _rule(low: float, high: float, nodes: int) -> tuple[Tensor, Tensor]:
    r"""Return nodes and weights on an interval, the nodes graded towards its ends by $3 t^2 - 2 t^3$.

    Near 0 a relaxed bit goes as $u^{1/\tau}$, which no polynomial is close to unless it rises like one.
    """
    points, weights = np.polynomial.legendre.leggauss(nodes)
    t, share = (points + 1) / 2, weights / 2
    graded, slope = t**2 * (3 - 2 * t), 6 * t * (1 - t)
    return torch.from_numpy(low + (high - low) * graded), torch.from_numpy((high - low) * share * slope)


def _gradients(scene: Scene, before: Tensor, given: Tensor) -> Tensor:
    """Return the gradient at each node, `(n, P)`: each is a copy of the example, with parameters of its own."""
    net = _UntiedNet(program_of(scene.model), len(before))
    pair = PyroPair(net.model, net.guide, event_shape=scene.model.event_shape, support=constraints.boolean)
    (phase,) = scene.estimator.phases(pair)
    with _Prescribed(before, given):
        estimate = phase(pair, Batch(scene.batch.x.expand(len(before), -1)), scene.state)
    found = gradients_of(phase, estimate)
    own = [name for name, parameter in phase.parameters.items() if any(parameter is each for each in net.parameters())]
    return len(before) * torch.cat([found[name].flatten(1) for name in own], 1)


class _UntiedNet(nn.Module):
    """A belief net with its own parameters for each example, so that one pass gives the gradient of each draw apart."""

    def __init__(self, net: nn.Module, examples: int) -> None:
        super().__init__()
        self.p, self.q = nn.Module(), nn.Module()
        for path, parameter in net.named_parameters():
            side, name = path.split(".")
            copies = parameter.detach().expand(examples, *parameter.shape).clone()
            self.get_submodule(side).register_parameter(name, nn.Parameter(copies))

    def model(self, x: Tensor) -> None:
        """Draw the latents, observe the visible bits."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.p.prior).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=_layer(z, self.p)).to_event(1), obs=x)

    def guide(self, x: Tensor) -> None:
        """Draw the latents, given the visible bits."""
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=_layer(x, self.q)).to_event(1))


def _layer(x: Tensor, weights: Any) -> Tensor:
    return (x.unsqueeze(-2) @ weights.weight).squeeze(-2) + weights.bias


class _Prescribed(TorchFunctionMode):
    """A block in which one call of `torch.rand_like` after the other returns the noise given."""

    def __init__(self, *noise: Tensor) -> None:
        super().__init__()
        self._noise = iter(noise)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Answer `rand_like`, run everything else."""
        return next(self._noise).reshape(args[0].shape) if func is torch.rand_like else func(*args, **(kwargs or {}))

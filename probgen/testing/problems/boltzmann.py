"""Restricted Boltzmann machines with known transition matrices: what contrastive divergence is held against."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.capabilities import MarkovKernel, UnnormalizedDensity
from probgen.testing.problem import Oracle, Problem, Situation
from probgen.testing.problems.chains import chain_oracles
from probgen.testing.problems.langevin import langevin_problem
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "BoltzmannMachine", "boltzmann_problem"]


class BoltzmannMachine(nn.Module, UnnormalizedDensity, MarkovKernel):
    r"""Bits $x$ tied to hidden bits $h$, with $p(x, h) \propto \exp(x^\top W h + a^\top x + b^\top h)$.

    The chain draws the hidden bits and then the visible ones.

    Args:
        weight: $W$, `(visible, hidden)`.
        visible_bias: $a$, `(visible,)`.
        hidden_bias: $b$, `(hidden,)`.
    """

    def __init__(self, weight: Tensor, visible_bias: Tensor, hidden_bias: Tensor) -> None:
        super().__init__()
        self.event_shape, self.context_shape = visible_bias.shape, None
        self.support = constraints.boolean
        self.weight = nn.Parameter(weight.clone())
        self.visible_bias, self.hidden_bias = nn.Parameter(visible_bias.clone()), nn.Parameter(hidden_bias.clone())

    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        return -(x @ self.visible_bias) - F.softplus(x @ self.weight + self.hidden_bias).sum(1)

    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return chains at the events."""
        return {"x": x}

    def step(
        self, state: Mapping[str, Tensor], context: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Draw the hidden bits given the visible ones, and these given those."""
        hidden = torch.bernoulli(torch.sigmoid(state["x"] @ self.weight + self.hidden_bias))
        return {"x": torch.bernoulli(torch.sigmoid(hidden @ self.weight.T + self.visible_bias))}, {}


def boltzmann_problem(
    weight: Tensor,
    visible_bias: Tensor,
    hidden_bias: Tensor,
    x: Tensor,
    *,
    name: str = "boltzmann-machine",
    statistical: bool = False,
) -> Problem:
    r"""Return the problem of a `BoltzmannMachine`, with sums over all its configurations.

    Quantities: `log_prob`, and those of `chain_oracles`.

    Args:
        weight: `(visible, hidden)`.
        visible_bias: `(visible,)`.
        hidden_bias: `(hidden,)`.
        x: The batch, bits `(N, visible)`.
        name: What to call it.
        statistical: Whether the chains have too many paths to walk.
    """

    def make(dtype: torch.dtype) -> tuple[BoltzmannMachine, Batch]:
        machine = BoltzmannMachine(weight.to(dtype), visible_bias.to(dtype), hidden_bias.to(dtype))
        return machine, Batch(x.to(dtype))

    oracles = {"log_prob": Oracle(_log_prob, maximised=True), **chain_oracles(_energies)}
    return Problem(name, make, oracles, statistical=statistical)


@functools.cache
def _bits(count: int) -> tuple[tuple[float, ...], ...]:
    return tuple(itertools.product((0.0, 1.0), repeat=count))


def _joint(model: BoltzmannMachine) -> Tensor:
    """Return the unnormalised log-mass of every visible with every hidden configuration, `(2^V, 2^H)`."""
    visible, hidden = (model.weight.new_tensor(_bits(size)) for size in model.weight.shape)
    return visible @ model.weight @ hidden.T + (visible @ model.visible_bias)[:, None] + hidden @ model.hidden_bias


def _number(x: Tensor) -> Tensor:
    """Return the position of events among all, `(N, V) -> (N,)`."""
    places = 2 ** torch.arange(x.shape[1] - 1, -1, -1, device=x.device)
    return (x.long() * places).sum(1)


def _log_prob(situation: Situation) -> Tensor:
    joint = _joint(situation.model)
    return (joint.logsumexp(1) - joint.logsumexp((0, 1)))[_number(situation.batch.x)]


def _energies(model: BoltzmannMachine, starts: Tensor, steps: int) -> Tensor:
    """Return the energy that is expected of a chain that has moved on by `steps`, with the chain's law as a constant."""
    joint = _joint(model)
    table = joint.detach()
    transition = torch.linalg.matrix_power(table.softmax(1) @ table.softmax(0).T, steps)
    return transition[_number(starts)] @ -joint.logsumexp(1)


def _machine(
    visible: int, hidden: int, x: Sequence[Sequence[float]], *, seed: int, name: str, statistical: bool = False
) -> Problem:
    return boltzmann_problem(
        generic_weights(visible, hidden, seed=seed, scale=1.5),
        generic_weights(visible, seed=100 + seed),
        generic_weights(hidden, seed=200 + seed),
        torch.tensor(x, dtype=torch.float64),
        name=name,
        statistical=statistical,
    )


PROBLEMS = (
    _machine(2, 1, [[1, 0], [0, 0]], seed=0, name="boltzmann-pair"),
    langevin_problem(*(torch.tensor(values, dtype=torch.float64) for values in ([0.4], [0.3], [[1.5], [-0.2]]))),
    _machine(3, 2, [[1, 0, 1]], seed=1, name="boltzmann-machine"),
    _machine(4, 3, [[1, 0, 1, 1], [0, 0, 1, 0], [1, 1, 0, 0]], seed=2, name="boltzmann-machine-4x3", statistical=True),
)

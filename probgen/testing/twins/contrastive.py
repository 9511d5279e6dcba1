"""Contrastive divergence, wrong."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import MarkovKernel, UnnormalizedDensity
from probgen.claims import Biased, Claims, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, State
from probgen.testing.twins.single_phase import SinglePhase

__all__ = ["TWINS", "FrozenChain", "MovingOneStepLess", "RestartedChain", "ThroughTheChain"]


class _EnergyGap(SinglePhase, abc.ABC):
    """The energy of the data less that of chains.

    Args:
        k: Steps of the chain.
    """

    requires = (UnnormalizedDensity, MarkovKernel)
    objective = Objective("energy-gap", "nats", None)
    persistent = False

    def __init__(self, *, k: int = 1) -> None:
        self.k = k

    @property
    def claims(self) -> Claims:
        """Those of contrastive divergence."""
        update = f"{'pcd' if self.persistent else 'cd'}[{self.k}]"
        return Claims(value=Unbiased("energy-gap"), gradient={"*": Biased("grad:log_prob", update)})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the gap between the data and the chains."""
        gap = model.energy(batch.x) - model.energy(self.chains(model, batch))
        gap = gap.mean() if self.persistent else gap
        return Estimate(gap.mean(), gap.detach(), state=state)

    @abc.abstractmethod
    def chains(self, model: Any, batch: Batch) -> Tensor:
        """Return where the chains stand after their steps."""


class FrozenChain(_EnergyGap):
    """The chain never moves, so nothing is learned."""

    def chains(self, model: Any, batch: Batch) -> Tensor:
        """Return the data."""
        return model.init(batch.x)["x"]


class ThroughTheChain(_EnergyGap):
    """The gradient flows through the chain's steps. Discrete draws stop it; those that carry gradients do not."""

    def chains(self, model: Any, batch: Batch) -> Tensor:
        """Return draws in the graph."""
        return _moved(model, model.init(batch.x), self.k)


class MovingOneStepLess(_EnergyGap):
    """The chain makes a step too few."""

    def chains(self, model: Any, batch: Batch) -> Tensor:
        """Return draws after k - 1 steps."""
        with torch.no_grad():
            return _moved(model, model.init(batch.x), self.k - 1)


class RestartedChain(_EnergyGap):
    """Chains that are called persistent, and carried along, but start at the data each time."""

    persistent = True
    batch_coupled = True

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return one chain at the first example."""
        return {"chains.x": batch.x[:1]}

    def chains(self, model: Any, batch: Batch) -> Tensor:
        """Return draws from chains that know nothing of the state."""
        with torch.no_grad():
            return _moved(model, model.init(batch.x), self.k)


def _moved(model: Any, chains: Mapping[str, Tensor], steps: int) -> Tensor:
    for _ in range(steps):
        chains, _ = model.step(chains)
    return chains["x"]


TWINS: dict[str, Callable[[], Estimator]] = {
    "the chain never moves": FrozenChain,
    "the gradient goes through the chain": ThroughTheChain,
    "the chain makes a step too few": lambda: MovingOneStepLess(k=2),
    "persistent chains start at the data again": RestartedChain,
}

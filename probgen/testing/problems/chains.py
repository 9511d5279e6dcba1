r"""What contrastive divergence estimates, for any model whose chain's law is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from probgen.testing.problem import Oracle, Situation

__all__ = ["chain_oracles"]


def chain_oracles(energies: Callable[[Any, Tensor, int], Tensor]) -> dict[str, Oracle]:
    r"""Return the quantities of contrastive divergence.

    `cd[k]` is $E(x_0) - \mathbb{E}_{T^k(x_0, \cdot)} E$ for each example, where the chain's law counts as a constant, so
    that its gradient is the update of $k$ steps. `pcd[k]` is its mean over the batch, with the chains starting where the
    state says (`chains.x`). `energy-gap` is the one of the two that the estimator takes, by its `k` and `persistent`.

    Args:
        energies: `(model, starts, steps)` to $\mathbb{E}_{T^{\text{steps}}(x, \cdot)} E$ for each of `starts`, `(N,)`,
            differentiable by the model's parameters as far as the energy depends on them, and not the chain.
    """

    def gap(situation: Situation, steps: int) -> Tensor:
        model, x = situation.model, situation.batch.x
        return energies(model, x, 0) - energies(model, x, steps)

    def persistent_gap(situation: Situation, steps: int) -> Tensor:
        model, x = situation.model, situation.batch.x
        return energies(model, x, 0).mean() - energies(model, situation.state["chains.x"], steps).mean()

    def gap_of_the_estimator(situation: Situation) -> Tensor:
        estimator: Any = situation.estimator
        return (persistent_gap if estimator.persistent else gap)(situation, estimator.k)

    return {
        "cd": Oracle(lambda situation: gap(situation, int(situation.argument))),
        "pcd": Oracle(lambda situation: persistent_gap(situation, int(situation.argument))),
        "energy-gap": Oracle(gap_of_the_estimator),
    }

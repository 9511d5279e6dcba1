"""Contrastive divergence by the centred gradient, which does not mind which of a unit's values is called 1."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from probgen import (
    Batch,
    ConfigurationError,
    ContrastiveDivergence,
    Estimate,
    Estimator,
    MarkovKernel,
    Model,
    Phase,
    UnnormalizedDensity,
)
from probgen.claims import Biased, Claims, Unbiased
from probgen.estimator import State, parameters_of

__all__ = ["CenteredContrastiveDivergence", "Layered", "centered"]

_PREFIX = "offsets."


class Layered(Model, contract=True):
    """An energy model whose units stand in layers, each with a bias, with a weight matrix between some pairs of layers.

    Attributes:
        couplings: For each weight's name the biases' names of the layers that its rows and its columns belong to.
    """

    couplings: Mapping[str, tuple[str, str]]

    @abc.abstractmethod
    def layer_means(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return the mean of each layer's units given each event, `(N, units)`, by the name of the layer's bias."""


class CenteredContrastiveDivergence(Estimator):
    r"""Contrastive divergence in the coordinates of centred units, one offset for each.

    $$\begin{aligned}
    \nabla_{\!c}\, W &= \nabla W - (\nabla a)\, \mu_b^\top - \mu_a (\nabla b)^\top \\
    \nabla_{\!c}\, a &= \nabla a - (\nabla_{\!c}\, W)\, \mu_b, \qquad
    \nabla_{\!c}\, b = \nabla b - (\nabla_{\!c}\, W)^\top \mu_a
    \end{aligned}$$

    for a weight $W$ between layers with biases $a$ and $b$ and offsets $\mu_a$ and $\mu_b$, the running means of their
    units on the data. A step of gradient descent along it is exactly a step of a machine whose energy is written in
    $v - \mu_a$ and $h - \mu_b$, expressed in the ordinary parameters: the model needs no offsets, and nothing has to be
    changed when they move. Unlike the plain gradient it is the same whether a pixel's ink is called 1 or 0.

    Use it for any Boltzmann machine that is trained by gradient descent, and most of all for data with many ones. The three
    gradients go together: train all of the model's parameters, or none.

    Args:
        k: Steps of the chain for each of the estimator's.
        persistent: Keep the chains from one step to the next.
        num_chains: How many persistent chains there are; None for as many as the first batch has examples.
        offset_rate: Share of the batch's mean in the new offsets, in [0, 1]; at 0 they stay as the first batch sets them.

    Raises:
        ConfigurationError: an option is out of range.

    Estimates:
        The energy gap, as `ContrastiveDivergence` does.

    Claims:
        value: unbiased for the gap after $k$ steps.
        gradient: biased for the likelihood's; its expectation is the centred form of the update of `k` steps
            (`centered-cd[k]`, `centered-pcd[k]`), which a small model's transition matrix gives exactly.

    Example:
        >>> print(CenteredContrastiveDivergence(persistent=True).claims.for_parameter("weight"))
        biased for grad:log_prob; unbiased for centered-pcd[1]

    References:
        Melchior, Fischer & Wiskott (2016), How to center deep Boltzmann machines, JMLR 17(99). Cho, Raiko & Ilin (2011),
        Enhanced gradient and adaptive learning rate for training restricted Boltzmann machines.
    """

    requires = (UnnormalizedDensity, MarkovKernel, Layered)
    objective = ContrastiveDivergence.objective

    def __init__(
        self, *, k: int = 1, persistent: bool = False, num_chains: int | None = None, offset_rate: float = 0.01
    ) -> None:
        if not 0 <= offset_rate <= 1:
            raise ConfigurationError(
                f"CenteredContrastiveDivergence: expected offset_rate in [0, 1]; got {offset_rate}. Try 0.01."
            )
        self._plain = ContrastiveDivergence(k=k, persistent=persistent, num_chains=num_chains)
        self.k = k
        self.persistent = persistent
        self.num_chains = num_chains
        self.offset_rate = offset_rate
        self.batch_coupled = True

    @property
    def claims(self) -> Claims:
        """Unbiased for the centred update of `k` steps, which is not the likelihood's gradient."""
        update = f"centered-{'pcd' if self.persistent else 'cd'}[{self.k}]"
        return Claims(value=Unbiased(self.objective.name), gradient={"*": Biased("grad:log_prob", update)})

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return the chains, where they persist, and offsets at the means over `batch`."""
        return {**self._plain.initial_state(model, batch), **_prefixed(_batch_means(model, batch))}

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        (plain,) = self._plain.phases(model)

        def estimate(model: Any, batch: Batch, state: State) -> Estimate:
            parameters = parameters_of(model)  # those of the moment: a phase that is recorded runs on stand-ins
            offsets = self._moved_offsets(model, batch, state)
            chains = {name: tensor for name, tensor in state.items() if not name.startswith(_PREFIX)}
            with torch.enable_grad():
                found = plain(model, batch, chains)
                gradients = torch.autograd.grad(found.surrogate, list(parameters.values()))
            moved = centered(dict(zip(parameters, gradients, strict=True)), offsets, model.couplings)
            surrogate = torch.stack([parameters[name].flatten() @ moved[name].flatten() for name in moved]).sum()
            return Estimate(surrogate, found.value, {**found.state, **_prefixed(offsets)}, found.info)

        return [Phase("main", parameters_of(model), estimate=estimate)]

    def _moved_offsets(self, model: Any, batch: Batch, state: State) -> dict[str, Tensor]:
        """Return the offsets a little closer to the batch's means."""
        means = _batch_means(model, batch)
        return {name: torch.lerp(state[_PREFIX + name], mean, self.offset_rate) for name, mean in means.items()}


def centered(
    gradients: Mapping[str, Tensor], offsets: Mapping[str, Tensor], couplings: Mapping[str, tuple[str, str]]
) -> dict[str, Tensor]:
    """Return the centred form of a gradient: see `CenteredContrastiveDivergence`.

    Args:
        gradients: With respect to each parameter, by name.
        offsets: Of each layer, by its bias's name.
        couplings: As in `Layered`.

    Example:
        >>> gradients = {"w": torch.ones(1, 1), "a": torch.ones(1), "b": torch.ones(1)}
        >>> half = torch.full((1,), 0.5)
        >>> {name: float(tensor) for name, tensor in centered(gradients, {"a": half, "b": half}, {"w": ("a", "b")}).items()}
        {'w': 0.0, 'a': 1.0, 'b': 1.0}
    """
    moved = dict(gradients)
    for weight, (rows, columns) in couplings.items():
        gradient = gradients[weight] - gradients[rows].outer(offsets[columns]) - offsets[rows].outer(gradients[columns])
        moved[weight] = gradient
        moved[rows] = moved[rows] - gradient @ offsets[columns]
        moved[columns] = moved[columns] - offsets[rows] @ gradient
    return moved


@torch.no_grad()
def _batch_means(model: Any, batch: Batch) -> dict[str, Tensor]:
    return {name: means.mean(0) for name, means in model.layer_means(batch.x, batch.context).items()}


def _prefixed(offsets: Mapping[str, Tensor]) -> State:
    return {_PREFIX + name: tensor for name, tensor in offsets.items()}

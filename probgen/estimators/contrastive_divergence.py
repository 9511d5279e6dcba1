"""Contrastive divergence, from the data or from chains that persist."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import MarkovKernel, UnnormalizedDensity
from probgen.claims import Biased, Claims, Unbiased
from probgen.errors import CapabilityError, ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.numbers import require_whole

__all__ = ["ContrastiveDivergence"]

_PREFIX = "chains."


class ContrastiveDivergence(Estimator):
    r"""The likelihood's gradient, with a few steps of the model's own Markov chain in the place of exact draws.

    $$-\nabla_\theta \log p_\theta(x_0) \approx \nabla_\theta E_\theta(x_0)
      - \mathbb{E}_{x_k \sim T^k(x_0, \cdot)}\left[\nabla_\theta E_\theta(x_k)\right]$$

    The chain $T$ starts at the data, or, where it is persistent, where it stood at the end of the last step. Its draws are
    constants: nothing is differentiated through them.

    Use it for Boltzmann machines and other models known up to a constant. The chains of CD-k stay near the data, so regions
    of low energy far from them go unseen; persistent chains find those, as long as the learning rate lets them keep up.

    Args:
        k: Steps of the chain for each of the estimator's.
        persistent: Keep the chains from one step to the next.
        num_chains: How many persistent chains there are; None for as many as the first batch has examples, where they start.

    Raises:
        ConfigurationError: `k` or `num_chains` is below 1, or `num_chains` is given for chains that do not persist.
        CapabilityError: (from `initial_state`) the chains are to persist and the model is conditional: each chain belongs to
            the context that it started with.

    Estimates:
        The energy gap $E(x_0) - E(x_k)$ of each example, `(N,)`, in nats; for persistent chains the difference of the means,
        a scalar. It is what the gradient is of at fixed draws, and no measure of fit: it is near 0 for a model that is
        right and for a chain that does not move. `info` has the mean energies and the kernel's diagnostics. The
        persistent chains are the kernel's state, kept under `chains.`.

    Claims:
        value: unbiased for the gap after $k$ steps.
        gradient: biased for the likelihood's; its expectation is $\nabla E(x_0) - T^k \nabla E$ at $x_0$ (`cd[k]`), or at
            the chains' positions before the step (`pcd[k]`), which a small model's transition matrix gives exactly.

    Example:
        >>> print(ContrastiveDivergence(k=5).claims.for_parameter("weight"))
        biased for grad:log_prob; unbiased for cd[5]

    References:
        Hinton (2002), Training Products of Experts by Minimizing Contrastive Divergence. Tieleman (2008), Training
        Restricted Boltzmann Machines using Approximations to the Likelihood Gradient.
    """

    requires = (UnnormalizedDensity, MarkovKernel)
    objective = Objective("energy-gap", "nats", None)

    def __init__(self, *, k: int = 1, persistent: bool = False, num_chains: int | None = None) -> None:
        require_whole("ContrastiveDivergence", k=k, **({} if num_chains is None else {"num_chains": num_chains}))
        if k < 1:
            raise ConfigurationError(f"ContrastiveDivergence: expected k of at least 1; got {k}. A chain has to move.")
        if num_chains is not None and (num_chains < 1 or not persistent):
            raise ConfigurationError(
                f"ContrastiveDivergence: expected num_chains of at least 1, with persistent=True; got {num_chains} with "
                f"persistent={persistent}. Other chains start at the batch, one for each example."
            )
        self.k = k
        self.persistent = persistent
        self.num_chains = num_chains
        self.batch_coupled = persistent

    @property
    def claims(self) -> Claims:
        """Unbiased for the update of `k` steps, which is not the likelihood's gradient."""
        update = f"{'pcd' if self.persistent else 'cd'}[{self.k}]"
        return Claims(value=Unbiased(self.objective.name), gradient={"*": Biased("grad:log_prob", update)})

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return chains at the examples of `batch`, over and over where it has fewer; nothing where they do not persist."""
        if not self.persistent:
            return {}
        if model.context_shape is not None:
            raise CapabilityError(
                f"ContrastiveDivergence.initial_state: expected a model without context for persistent chains; got "
                f"{type(model).__name__} with contexts of shape {tuple(model.context_shape)}. Use persistent=False."
            )
        starts = torch.arange(self.num_chains or len(batch), device=batch.x.device) % len(batch)
        with torch.no_grad():
            return _prefixed(model.init(batch.x[starts]))

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        chains, diagnostics = self._moved(model, batch, state)
        ends = [batch.x, chains["x"]]
        context = None if batch.context is None else torch.cat([batch.context] * 2)
        data_energy, chain_energy = model.energy(torch.cat(ends), context).split([len(x) for x in ends])  # one pass for both
        data_mean, chain_mean = data_energy.mean(), chain_energy.mean()
        surrogate = data_mean - chain_mean
        return Estimate(
            surrogate=surrogate,
            value=surrogate.detach() if self.persistent else (data_energy - chain_energy).detach(),
            state=_prefixed(chains) if self.persistent else {},
            info={
                "data_energy": data_mean.detach(),
                "chain_energy": chain_mean.detach(),
                **{name: tensor.detach().mean() for name, tensor in diagnostics.items()},
            },
        )

    @torch.no_grad()
    def _moved(self, model: Any, batch: Batch, state: State) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """Return the chains `k` steps on, and the diagnostics of the last."""
        if self.persistent:
            chains = {name.removeprefix(_PREFIX): tensor for name, tensor in state.items()}
        else:
            chains = model.init(batch.x, batch.context)
        diagnostics: Mapping[str, Tensor] = {}
        for _ in range(self.k):
            chains, diagnostics = model.step(chains, batch.context)
        return chains, diagnostics


def _prefixed(chains: Mapping[str, Tensor]) -> State:
    return {_PREFIX + name: tensor.detach() for name, tensor in chains.items()}

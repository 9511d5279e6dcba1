"""One run of a pair whose sites are drawn by strategies, and what it says of the bound and its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.estimator import State
from probgen.estimators.baselines import Baseline
from probgen.estimators.divergences import divergence_at
from probgen.estimators.learning_signals import learning_signals
from probgen.estimators.strategies import Enumerate, Reinforce, Strategy
from probgen.latent import LatentTrace, Site

__all__ = ["SiteRun"]


class SiteRun:
    r"""A trace whose particles are the $S$ joint assignments of enumerated sites times $K$ draws of the others.

    Terms have a row for each particle, `(S K, N)`, or `(K,)` where examples are coupled and nothing is enumerated; `summed`
    takes the expectation over assignments.

    Args:
        trace: The run.
        strategies: The strategy of each latent.
        num_assignments: $S$.
    """

    def __init__(self, trace: LatentTrace, strategies: Mapping[str, Strategy], num_assignments: int) -> None:
        self.trace = trace
        self.strategies = strategies
        self.num_assignments = num_assignments

    def scored(self, baseline: Baseline) -> tuple[Site, ...]:
        """Return the sites that have this baseline."""
        return tuple(
            site
            for site in self.trace.latents
            if isinstance(strategy := self.strategies[site.name], Reinforce) and strategy.baseline is baseline
        )

    def signals(self, sites: Sequence[Site]) -> dict[str, Tensor]:
        """Return the learning signals of scored sites, `(K, N)` or `(K,)`."""
        rows = learning_signals(self.trace, sites)
        return {name: self.summed(signal, constant=True) for name, signal in rows.items()}

    def bound(self, *, analytic_kl: bool) -> Tensor:
        """Return a draw of the evidence lower bound, with the gradient that follows values and assignments."""
        gains = [site.log_p for site in self.trace.observations]
        costs = [-self._divergence(site, analytic=analytic_kl) for site in self.trace.latents]
        return self.summed(self.trace.total([*gains, *costs]))

    def score_term(self, baseline: Baseline, batch: Batch, state: State) -> tuple[Tensor, State]:
        """Return a scalar with the scores' part of the bound's gradient, and the next state of their baseline.

        A learned baseline's regression is in it, with a minus: the scalar is to be maximised.
        """
        sites = self.scored(baseline)
        rows = learning_signals(self.trace, sites)
        signals = {name: self.summed(signal, constant=True) for name, signal in rows.items()}
        baselines, following = baseline(signals, batch, state)
        terms = []
        for site in sites:
            subtracted = baselines[site.name].expand_as(signals[site.name])
            residual = rows[site.name] - torch.cat([subtracted.detach()] * self.num_assignments)
            terms.append(self.summed(residual * self.trace.total([site.log_draw]), constant=True).mean())
            if baseline.learned is not None:
                terms.append(-(signals[site.name] - subtracted).square().mean() / 2)
        return torch.stack(terms).sum(), following

    def summed(self, rows: Tensor, *, constant: bool = False) -> Tensor:
        """Return the guide's expectation of a term over assignments, `(S K, N) -> (K, N)`.

        Args:
            rows: The term.
            constant: Whether the probabilities of the assignments are constants.
        """
        if self.num_assignments == 1:
            return rows
        weights = self._probabilities.detach() if constant else self._probabilities
        return (weights * rows).unflatten(0, (self.num_assignments, -1)).sum(0)

    @cached_property
    def _probabilities(self) -> Tensor:
        """The guide's probability of each row's assignment, given the draws of the other sites."""
        chosen = (site for site in self.trace.latents if isinstance(self.strategies[site.name], Enumerate))
        return self.trace.total(site.log_draw for site in chosen).exp()

    def _divergence(self, site: Site, *, analytic: bool) -> Tensor:
        if not isinstance(self.strategies[site.name], Enumerate | Reinforce):
            return divergence_at(self.trace, site, analytic=analytic)
        # A score has mean zero, so log q is a constant here: it would only add variance.
        return site.log_q.detach() - site.log_p  # pyright: ignore[reportOptionalMemberAccess]  # latents have one

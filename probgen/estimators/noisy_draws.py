"""Draws of discrete sites together with the noise that they were made from."""

from __future__ import annotations

import dataclasses
from collections import Counter

from torch import Tensor

from probgen.estimators.relaxations import Relaxation, relaxation_of
from probgen.pyro_bridge import Drawn, Statement

__all__ = ["NoisyDraw", "NoisyDraws", "RelaxedFrom"]


@dataclasses.dataclass(frozen=True, eq=False)
class NoisyDraw:
    r"""One draw $b = H(\zeta)$.

    Args:
        relaxation: How the site is relaxed.
        noisy: $\zeta$, with the gradient of the logits.
        value: $b$; at a site that is not discrete, the draw without its gradient.
    """

    relaxation: Relaxation
    noisy: Tensor
    value: Tensor


class NoisyDraws:
    """Answers a guide's statements: discrete sites are drawn from noise that is remembered.

    Attributes:
        discrete: The draws of each discrete site by name, in the guide's order: one, or one for each particle where these
            are run one by one.
        values: All draws likewise, without gradients.
    """

    def __init__(self) -> None:
        self.discrete: dict[str, list[NoisyDraw]] = {}
        self.values: dict[str, list[Tensor]] = {}

    def __call__(self, statement: Statement) -> Drawn | None:
        """Draw at a statement of the guide."""
        if statement.marked:
            return None
        if statement.pathwise:
            drawn = Drawn(statement.distribution(), reparameterized=True)
        else:
            relaxation = relaxation_of(statement)
            noisy = relaxation.noisy()
            drawn = Drawn(relaxation.hard(noisy), reparameterized=False)
            self.discrete.setdefault(statement.name, []).append(NoisyDraw(relaxation, noisy, drawn.value))
        self.values.setdefault(statement.name, []).append(drawn.value.detach())
        return drawn


class RelaxedFrom:
    """Answers the statements of a second run: as in the first before a site, relaxed from there on.

    Later discrete sites are relaxed with the noise that they had in the first run. Nothing is hard after the site, so what
    follows is a smooth function of its noise.

    Args:
        first: What was drawn in the first run.
        site: The discrete site.
        noisy: Its noisy logits in this run, for each run of the programs.
        temperature: That of the relaxation.
    """

    def __init__(self, first: NoisyDraws, site: str, noisy: list[Tensor], temperature: Tensor) -> None:
        self._first = first
        self._site = site
        self._noisy = noisy
        self._temperature = temperature
        self._before = set(list(first.values)[: list(first.values).index(site)])
        self._runs: Counter[str] = Counter()

    def __call__(self, statement: Statement) -> Drawn | None:
        """Answer a statement of the guide."""
        name, run = statement.name, self._runs[statement.name]
        self._runs[name] += 1
        if name in self._before:
            return Drawn(self._first.values[name][run], reparameterized=False)
        if name not in self._first.discrete:
            return None
        relaxation = relaxation_of(statement)
        if name == self._site:
            noisy = self._noisy[run]
        else:
            before = self._first.discrete[name][run]
            noisy = relaxation.logits + (before.noisy - before.relaxation.logits).detach()
        return Drawn(relaxation.soft(noisy, self._temperature), reparameterized=True, relaxed=True)

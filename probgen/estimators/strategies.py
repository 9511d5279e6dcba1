"""Strategies: how one site of a guide is drawn, and how the gradient of the guide gets past the draw."""

from __future__ import annotations

import abc

import torch
from torch import Tensor

from probgen.errors import CapabilityError, ConfigurationError
from probgen.estimator import State
from probgen.estimators.baselines import Baseline, NoBaseline
from probgen.estimators.numbers import require_numbers, require_whole
from probgen.estimators.relaxations import relaxation_of
from probgen.estimators.site_draws import without_gradient
from probgen.pyro_bridge import Drawn, Statement

__all__ = ["Enumerate", "PassThrough", "Reinforce", "Relax", "Reparam", "Strategy"]


class Strategy(abc.ABC):
    """What `SiteStrategies` does at a site of the guide.

    The gradient follows the value that `draw` returns, if it carries any. Two strategies need more than a draw and are known
    by name: `Reinforce`, which adds the score, and `Enumerate`, which takes every value.
    """

    def value_target(self, *, analytic_kl: bool) -> str | None:
        """Return what the estimator's value estimates in the place of the ELBO, when its sites have this strategy.

        Args:
            analytic_kl: Whether closed-form divergences are used where they hold.
        """
        return None

    def gradient_target(self, *, analytic_kl: bool) -> str | None:
        """Return the quantity whose gradient the estimator's is, in the place of the ELBO's."""
        return None

    @abc.abstractmethod
    def draw(self, statement: Statement, state: State) -> Drawn:
        """Draw at a statement of the guide.

        Raises:
            CapabilityError: the statement's distribution does not allow for this strategy.
        """

    def initial_state(self) -> State:
        """Return what the strategy remembers before the first step."""
        return {}

    def next_state(self, state: State) -> State:
        """Return what it remembers after a step that had `state`."""
        return {}


class Reparam(Strategy):
    """Differentiates through the draw, whose distribution has `rsample`."""

    def draw(self, statement: Statement, state: State) -> Drawn:
        """Draw as the program says."""
        if not statement.pathwise:
            raise CapabilityError(
                f"Reparam: expected a distribution whose draws carry its gradient at {statement.name!r}; got a "
                f"{type(statement.distribution).__name__}. Use Reinforce, Enumerate or a relaxation there."
            )
        return Drawn(statement.distribution(), reparameterized=True)


class Reinforce(Strategy):
    """Multiplies the score of the draw by what the draw led to, for a site of any kind.

    Args:
        baseline: What is subtracted first; `NoBaseline()` by default.
    """

    def __init__(self, baseline: Baseline | None = None) -> None:
        self.baseline = NoBaseline() if baseline is None else baseline

    def draw(self, statement: Statement, state: State) -> Drawn:
        """Draw a constant."""
        return without_gradient(statement)


class Enumerate(Strategy):
    """Sums over every value that a site of finite support may take, weighted by the guide's probabilities."""

    def draw(self, statement: Statement, state: State) -> Drawn:
        """Raise: an enumerated site is not drawn."""
        raise CapabilityError(
            f"Enumerate: expected {statement.name!r} in every run of the guide; got it in this run and not in the first. "
            "Draw each site whatever the others' values are, and initialise the estimator for another model."
        )


class Relax(Strategy):
    r"""Draws a continuous value in the place of a bit or a one-hot vector: the Gumbel-softmax, or concrete, relaxation.

    $$\tilde z = \sigma\left(\frac{\ell + \varepsilon}{\tau}\right)$$

    with logistic noise and a sigmoid for a bit, Gumbel noise and a softmax for a one-hot vector. At low temperature $\tau$
    it is near the discrete draw, and its gradient varies much.

    Args:
        temperature: $\tau$ at the first step.
        final_temperature: $\tau$ after `anneal_steps`, approached geometrically; None to keep it as it is.
        anneal_steps: How many steps it takes.
        hard: Go on with the discrete value, and differentiate as if it were the relaxed one.

    Raises:
        ConfigurationError: a temperature is not above 0, or there is no step.

    References:
        Jang, Gu & Poole (2017), arXiv:1611.01144. Maddison, Mnih & Teh (2017), arXiv:1611.00712.
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        final_temperature: float | None = None,
        anneal_steps: int = 10_000,
        hard: bool = False,
    ) -> None:
        final = temperature if final_temperature is None else final_temperature
        require_numbers("Relax", temperature=temperature, final_temperature=final)
        require_whole("Relax", anneal_steps=anneal_steps)
        if not (temperature > 0 and final > 0):
            raise ConfigurationError(
                f"Relax: expected temperatures above 0; got {temperature} and {final}. Use 1 and 0.5, say."
            )
        if anneal_steps < 1:
            raise ConfigurationError(f"Relax: expected anneal_steps of at least 1; got {anneal_steps}.")
        self.temperature = temperature
        self.final_temperature = final
        self.anneal_steps = anneal_steps
        self.hard = hard

    def draw(self, statement: Statement, state: State) -> Drawn:
        """Draw a relaxed value, or the hard one with the relaxed one's gradient."""
        relaxation = relaxation_of(statement)
        noisy = relaxation.noisy()
        soft = relaxation.soft(noisy, self.temperature_at(state))
        value = relaxation.hard(noisy) + soft - soft.detach() if self.hard else soft
        return Drawn(value, reparameterized=True, relaxed=True)

    def value_target(self, *, analytic_kl: bool) -> str | None:
        """Return the relaxed bound, or None where values are hard."""
        return None if self.hard else self.gradient_target(analytic_kl=analytic_kl)

    def gradient_target(self, *, analytic_kl: bool) -> str:
        """Return the relaxed bound.

        A closed-form divergence has another mean than the scores, continued to relaxed values, that may stand for it.
        """
        return f"{'hard-' * self.hard}relaxed-elbo{'' if analytic_kl else '-by-scores'}[{self._schedule}]"

    @property
    def _schedule(self) -> str:
        """The temperatures in short: `1`, or `1..0.5/10000` where it changes in so many steps."""
        first, final = f"{self.temperature:g}", f"{self.final_temperature:g}"
        return first if first == final else f"{first}..{final}/{self.anneal_steps}"

    def temperature_at(self, state: State) -> Tensor | float:
        """Return the temperature of the step that has `state`."""
        if "steps" not in state:
            return self.temperature
        share = (state["steps"] / self.anneal_steps).clamp(max=1.0)
        return self.temperature * (self.final_temperature / self.temperature) ** share

    def initial_state(self) -> State:
        """Return the count of steps, where the temperature changes."""
        return {} if self.final_temperature == self.temperature else {"steps": torch.tensor(0.0)}

    def next_state(self, state: State) -> State:
        """Count the step."""
        return {name: steps + 1 for name, steps in state.items()}


class PassThrough(Strategy):
    """Draws the discrete value, and differentiates as if it were its mean: the straight-through estimator.

    References:
        Bengio, Léonard & Courville (2013), arXiv:1308.3432.
    """

    def gradient_target(self, *, analytic_kl: bool) -> str:
        """Return the bound at hard draws along their means."""
        return "straight-through-elbo"

    def draw(self, statement: Statement, state: State) -> Drawn:
        """Draw the value, with the gradient of its mean."""
        relaxation_of(statement)  # refuses values that have no mean to speak of
        mean = statement.distribution.mean
        return Drawn(without_gradient(statement).value + mean - mean.detach(), reparameterized=True, relaxed=True)

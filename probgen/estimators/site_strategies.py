"""The evidence lower bound with a strategy for each site, the general form of which named estimators are common cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.claims import Biased, Claim, Claims, Heuristic, LowerBound, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.baselines import Baseline, LeaveOneOut
from probgen.estimators.numbers import require_whole
from probgen.estimators.site_runs import SiteRun
from probgen.estimators.strategies import Enumerate, Reinforce, Reparam, Strategy
from probgen.latent import LatentVariable
from probgen.pyro_bridge import Drawn, Enumeration, Statement, count_assignments, run_pair
from probgen.shapes import evaluating

__all__ = ["SiteStrategies"]


class SiteStrategies(Estimator):
    r"""The evidence lower bound, with a strategy for each site of the guide.

    $$\nabla \mathcal{L} = \mathbb{E}\left[\sum_s \nabla \left(w_s f_s\right)
      + \sum_s w_s \sum_{i \text{ scored}} (f_{s,i} - b_i)\, \nabla \log q(z_i)\right], \qquad
      w_s = \prod_{j \text{ enumerated}} q(z_j = s_j)$$

    where $s$ runs over the joint assignments of the enumerated sites, and the first gradient passes through reparameterised
    and relaxed draws. A site that is not named is differentiated through where it has `rsample`; elsewhere it gets the
    strategy `otherwise`, which enumerates by default.

    | estimator | as strategies |
    |---|---|
    | `ELBO()` | `SiteStrategies(otherwise=Reparam())` |
    | `REINFORCE(baseline=b)` | `SiteStrategies(otherwise=Reinforce(b))` |
    | `GumbelSoftmax()` | `SiteStrategies(otherwise=Relax())` |
    | `StraightThrough()` | `SiteStrategies(otherwise=PassThrough())` |
    | sum over a small discrete latent | `SiteStrategies()` |

    Use it where sites differ: a few categories to sum over, bits to score, a Gaussian to differentiate through. Sites with
    `infer={"enumerate": …}` in the guide are enumerated. The draws before an enumerated site are shared by its assignments,
    so that nothing is random about the sum.

    Args:
        strategies: A strategy by name of the site.
        otherwise: That of sites that are not named and have no `rsample`; `Enumerate()` by default.
        num_particles: Draws $K$ of the sites that are not enumerated, averaged.
        analytic_kl: Use closed-form divergences where they hold, at sites that are differentiated through.
        max_assignments: Refuse to run more joint assignments than that.

    Raises:
        ConfigurationError: an option is out of range; a baseline needs more particles; (while estimating) a strategy is for
            a site that the guide does not draw, or there are too many assignments.
        CapabilityError: (while estimating) a site does not allow for its strategy.

    Estimates:
        $\mathcal{L}(x)$ of each example, `(N,)`; of the whole batch, a scalar, where examples share a latent or the plate of
        the batch is subsampled, and nothing is enumerated.

    Claims:
        value: unbiased for the ELBO and a lower bound on `log_prob`, unless a site is relaxed: then biased, its target being
            the same expression at relaxed draws. (`relaxed-elbo[τ]` where all sites are relaxed alike, and
            `elbo-with[b relaxed-elbo 0.5]` where it is the site `b`.)
        gradient: unbiased, for all parameters, unless a strategy is biased; then that strategy's target. Without noise where
            every site is enumerated. Baselines (`baseline.*`) follow a regression target.

    Example:
        >>> from probgen.estimators.strategies import Relax
        >>> print(SiteStrategies({"k": Enumerate(), "b": Reinforce(LeaveOneOut())}, num_particles=2).claims.value[0])
        unbiased for elbo
        >>> print(SiteStrategies(otherwise=Relax(temperature=0.5)).claims.for_parameter("encoder.weight"))
        biased for grad:elbo; unbiased for grad:relaxed-elbo[0.5]

    References:
        Schulman, Heess, Weber & Abbeel (2015), Gradient estimation using stochastic computation graphs, arXiv:1506.05254.
        van Krieken, Tomczak & ten Teije (2021), Storchastic, arXiv:2104.00428.
    """

    requires = (LatentVariable,)

    def __init__(
        self,
        strategies: Mapping[str, Strategy] | None = None,
        *,
        otherwise: Strategy | None = None,
        num_particles: int = 1,
        analytic_kl: bool = True,
        max_assignments: int = 4096,
    ) -> None:
        require_whole("SiteStrategies", num_particles=num_particles, max_assignments=max_assignments)
        if num_particles < 1 or max_assignments < 1:
            raise ConfigurationError(
                f"SiteStrategies: expected num_particles and max_assignments of at least 1; got {num_particles} and "
                f"{max_assignments}."
            )
        self.strategies = dict(strategies or {})
        self.otherwise = Enumerate() if otherwise is None else otherwise
        self.num_particles = num_particles
        self.analytic_kl = analytic_kl
        self.max_assignments = max_assignments
        self._sizes: Mapping[str, int] | None = None
        target = self._target([strategy.value_target(analytic_kl=analytic_kl) for strategy in self._all]) or "elbo"
        self.objective = Objective(target.partition("[")[0], "nats", "maximise")
        for strategy in self._all:
            if isinstance(strategy, Reinforce) and num_particles < strategy.baseline.fewest_particles:
                raise ConfigurationError(
                    f"SiteStrategies: expected num_particles of at least {strategy.baseline.fewest_particles} for "
                    f"{type(strategy.baseline).__name__}; got {num_particles}. Use more, or another baseline."
                )

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls,
        *,
        discrete: Literal["enumerate", "reinforce"] = "enumerate",
        num_particles: int = 1,
        max_assignments: int = 4096,
    ) -> Self:
        """Return the estimator for options of a shell, which choose the strategy of discrete sites."""
        baseline = LeaveOneOut() if num_particles > 1 else None
        otherwise = Enumerate() if discrete == "enumerate" else Reinforce(baseline)
        return cls(otherwise=otherwise, num_particles=num_particles, max_assignments=max_assignments)

    @property
    def _all(self) -> tuple[Strategy, ...]:
        """Every strategy; a strategy's place here stands before the names of what it remembers."""
        return (*self.strategies.values(), self.otherwise)

    @property
    def _baselines(self) -> dict[int, Baseline]:
        """Every baseline once, by the place of the first strategy that has it."""
        found: dict[int, Baseline] = {}
        for place, strategy in enumerate(self._all):
            if isinstance(strategy, Reinforce) and all(strategy.baseline is not other for other in found.values()):
                found[place] = strategy.baseline
        return found

    @property
    def claims(self) -> Claims:
        """Unbiased in value and gradient, unless a strategy has a target of its own."""
        value: list[Claim] = [Unbiased("elbo"), LowerBound("log_prob")]
        if target := self._target([each.value_target(analytic_kl=self.analytic_kl) for each in self._all]):
            value = [Biased("elbo", target)]
        target = self._target([each.gradient_target(analytic_kl=self.analytic_kl) for each in self._all])
        gradient = Biased("grad:elbo", f"grad:{target}") if target else Unbiased("grad:elbo")
        return Claims(value=value, gradient={"baseline.*": Heuristic("regression target"), "*": gradient})

    def _target(self, targets: Sequence[str | None]) -> str | None:
        """Return the name of what the strategies' targets, in the order of `_all`, make together; None for the ELBO."""
        if not self.strategies or not any(targets):
            return targets[-1]  # that of `otherwise`; None where there is no target at all
        names = [*self.strategies, "*"]
        parts = [
            f"{name} {target.replace('[', ' ').rstrip(']')}" for name, target in zip(names, targets, strict=True) if target
        ]
        return f"elbo-with[{', '.join(parts)}]"

    @property
    def learned(self) -> nn.Module | None:
        """The networks of learned baselines; None without any, or before `initialize`."""
        found = [baseline.learned for baseline in self._baselines.values() if baseline.learned is not None]
        return nn.ModuleList(found) if found else None

    def initialize(self, model: Any, batch: Batch) -> None:
        """Count the assignments of enumerated sites, and let the baselines that need it see the signals of a first run.

        Without it, assignments are counted in every step, by a run of the guide.
        """
        self._sizes = self._count(model, batch)
        if any(baseline.needs_signals for baseline in self._baselines.values()):
            run = self._first_run(model, batch)
            for baseline in self._baselines.values():
                baseline.initialize(run.signals(run.scored(baseline)), batch)

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return what strategies and baselines remember before the first step."""
        state = self._fresh_state()
        if any(baseline.needs_signals for baseline in self._baselines.values()):
            run = self._first_run(model, batch)
            for place, baseline in self._baselines.items():
                state |= _placed(place, baseline.initial_state(run.signals(run.scored(baseline)), batch))
        return {name: tensor.to(batch.x.device) for name, tensor in state.items()}

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model, guide and baselines together."""
        learned = {f"baseline.{name}": parameter for name, parameter in parameters_of(self.learned).items()}
        return [Phase("main", {**learned, **parameters_of(model)}, estimate=self._estimate)]

    def _estimate(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        run = self._run(model, batch, state)
        bound = run.bound(analytic_kl=self.analytic_kl).mean(0)
        surrogate, following = bound.mean(), {}
        for place, strategy in enumerate(self._all):
            following |= _placed(place, strategy.next_state(_of_place(place, state)))
        for place, baseline in self._baselines.items():
            if run.scored(baseline):
                gain, remembered = run.score_term(baseline, batch, _of_place(place, state))
                surrogate = surrogate + gain
                following |= _placed(place, remembered)
        return Estimate(surrogate=-surrogate, value=bound.detach(), state=following)

    # ------------------------------------------------------------------------------------------------ running the pair

    def _run(self, model: LatentVariable, batch: Batch, state: State) -> SiteRun:
        sizes = self._count(model, batch) if self._sizes is None else self._sizes
        enumeration = Enumeration(model, sizes, num_draws=self.num_particles, num_examples=len(batch))
        taken: dict[str, Strategy] = {}

        def draw(statement: Statement) -> Drawn | None:
            place, strategy = self._strategy(statement)
            if statement.marked and not isinstance(strategy, Enumerate):
                return None
            taken[statement.name] = strategy
            if statement.name in enumeration.sizes:
                return enumeration.assign(statement)
            return enumeration.share(statement, strategy.draw(statement, _of_place(place, state)), taken)

        trace = run_pair(model, batch.x, batch.context, num_particles=enumeration.num_particles, draw=draw)
        self._check_names(model, taken)
        if enumeration.num_assignments > 1:
            trace.require_per_example("SiteStrategies")
        return SiteRun(trace, taken, enumeration.num_assignments)

    def _first_run(self, model: LatentVariable, batch: Batch) -> SiteRun:
        """Return a run that is not trained on."""
        with torch.no_grad(), evaluating(model):
            return self._run(model, batch, self._fresh_state())

    def _strategy(self, statement: Statement) -> tuple[int, Strategy]:
        """Return the strategy of a site, and its place."""
        names = list(self.strategies)
        if statement.name in self.strategies:
            return names.index(statement.name), self.strategies[statement.name]
        if statement.pathwise and not statement.marked:
            return len(names), Reparam()
        return len(names), self.otherwise

    def _count(self, model: LatentVariable, batch: Batch) -> Mapping[str, int]:
        """Return how many assignments each site that is to be enumerated has."""
        if not any(isinstance(strategy, Enumerate) for strategy in self._all):
            return {}
        with evaluating(model):
            sizes = count_assignments(
                model, batch.x, batch.context, lambda statement: isinstance(self._strategy(statement)[1], Enumerate)
            )
        if math.prod(sizes.values()) > self.max_assignments:
            listed = ", ".join(f"{name!r} {size}" for name, size in sizes.items())
            raise ConfigurationError(
                f"SiteStrategies: expected at most {self.max_assignments} joint assignments to enumerate; got "
                f"{math.prod(sizes.values())} ({listed}). Give one of the sites Reinforce(), or raise max_assignments."
            )
        return sizes

    def _check_names(self, model: LatentVariable, drawn: Mapping[str, Strategy]) -> None:
        unknown = [name for name in self.strategies if name not in drawn]
        if unknown:
            raise ConfigurationError(
                f"SiteStrategies: expected strategies for sites that {type(model).__name__}.guide draws, "
                f"{', '.join(map(repr, drawn)) or 'of which there are none'}; got one for {unknown[0]!r}. Check its name."
            )

    def _fresh_state(self) -> dict[str, Tensor]:
        state: dict[str, Tensor] = {}
        for place, strategy in enumerate(self._all):
            state |= _placed(place, strategy.initial_state())
        return state


def _placed(place: int, state: State) -> dict[str, Tensor]:
    return {f"{place}.{name}": tensor for name, tensor in state.items()}


def _of_place(place: int, state: State) -> dict[str, Tensor]:
    return {name.removeprefix(f"{place}."): tensor for name, tensor in state.items() if name.startswith(f"{place}.")}

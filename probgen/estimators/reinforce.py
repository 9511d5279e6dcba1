"""The evidence lower bound of discrete latents, by score functions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.claims import Biased, Claim, Claims, Heuristic, LowerBound, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.baselines import Baseline, Learned, LeaveOneOut, MovingAverage, NoBaseline
from probgen.estimators.learning_signals import learning_signals, scored_sites
from probgen.estimators.numbers import require_whole
from probgen.estimators.program_names import GENERATIVE, INFERENCE, parameters_by_program
from probgen.latent import LatentTrace, LatentVariable
from probgen.pyro_bridge import run_pair
from probgen.shapes import evaluating

__all__ = ["REINFORCE"]

_DECAY = 0.8
"""Of the moving averages of variances, and of residuals where the shell asks for centring."""


class REINFORCE(Estimator):
    r"""The evidence lower bound with score-function gradients, for latents of any kind.

    $$\nabla_\phi \mathcal{L} = \mathbb{E}\left[\sum_s (f_s - b_s)\, \nabla_\phi \log q_\phi(z_s \mid z_{<s}, x)\right],
      \qquad f_s = \sum_{\text{terms that } z_s \text{ can influence}} \log p - \log q$$

    Each site without `rsample` has a learning signal $f_s$ of its own, which leaves out what was settled before its draw,
    and a baseline $b_s$. Latents with `rsample` are differentiated through in the same pass and need no score.

    Use it for discrete latents. `baseline=MovingAverage(after=Learned())` with `normalise_variance=True` is neural
    variational inference and learning (NVIL).

    Args:
        num_particles: Draws $K$ from the guide for each example, averaged.
        baseline: `LeaveOneOut()` by default, `NoBaseline()`, `MovingAverage()` or `Learned()`.
        normalise_variance: Divide what is left of the signals by $\max(1, \sqrt{v})$, where $v$ is a moving average of its
            variance, over sites too. That rescales the scores' part of the gradient.

    Raises:
        ConfigurationError: `num_particles` is below 1, or fewer than the baseline needs; or (from `phases`, with
            `normalise_variance`) the model does not say which parameters are its guide's.

    Estimates:
        $\mathcal{L}(x)$ of each example, `(N,)`; of the whole batch, a scalar, where examples share a latent or the plate of
        the batch is subsampled. `info` has `residual_variance`, that of what the baseline leaves of the signals,
        averaged over sites.

    Claims:
        value: unbiased for the ELBO; a lower bound on `log_prob`.
        gradient: unbiased, for all parameters. With `normalise_variance` the guide's (`inference.*`) is biased: the target
            `nvil` is the ELBO's with its score-function part divided by $\max(1, \sqrt{v})$ at the state's $v$. The
            baseline's own parameters (`baseline.*`) follow a regression target.

    Example:
        >>> estimator = REINFORCE(num_particles=4)
        >>> print(estimator.claims.for_parameter("guide.weight"))
        unbiased for grad:elbo

    References:
        Williams (1992), Simple statistical gradient-following algorithms for connectionist reinforcement learning.
        Ranganath, Gerrish & Blei (2014), arXiv:1401.0118. Mnih & Gregor (2014), arXiv:1402.0030.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")

    def __init__(
        self, *, num_particles: int = 2, baseline: Baseline | None = None, normalise_variance: bool = False
    ) -> None:
        self.baseline = LeaveOneOut() if baseline is None else baseline
        require_whole("REINFORCE", num_particles=num_particles)
        if num_particles < 1:
            raise ConfigurationError(f"REINFORCE: expected num_particles of at least 1; got {num_particles}.")
        if num_particles < self.baseline.fewest_particles:
            raise ConfigurationError(
                f"REINFORCE: expected num_particles of at least {self.baseline.fewest_particles} for "
                f"{type(self.baseline).__name__}; got {num_particles}. Use more, or MovingAverage()."
            )
        self.num_particles = num_particles
        self.normalise_variance = normalise_variance

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls,
        *,
        num_particles: int = 2,
        baseline: Literal["none", "moving-average", "learned", "leave-one-out"] = "leave-one-out",
        centred: bool = False,
        normalise_variance: bool = False,
    ) -> Self:
        """Return the estimator for options of a shell; `centred` subtracts a moving average of what the baseline leaves."""
        baselines: dict[str, Baseline] = {
            "none": NoBaseline(),
            "moving-average": MovingAverage(decay=_DECAY),
            "learned": Learned(),
            "leave-one-out": LeaveOneOut(),
        }
        chosen = baselines[baseline]
        if centred and not isinstance(chosen, MovingAverage):
            chosen = MovingAverage(decay=_DECAY, after=chosen)
        return cls(num_particles=num_particles, baseline=chosen, normalise_variance=normalise_variance)

    @property
    def claims(self) -> Claims:
        """Unbiased in value and gradient, but for the rescaling by `normalise_variance`."""
        gradient: dict[str, Claim] = {"baseline.*": Heuristic("regression target")}
        if self.normalise_variance:
            gradient[INFERENCE] = Biased("grad:elbo", "grad:nvil")
            gradient[GENERATIVE] = Unbiased("grad:elbo")
        else:
            gradient["*"] = Unbiased("grad:elbo")
        return Claims(value=[Unbiased("elbo"), LowerBound("log_prob")], gradient=gradient)

    @property
    def learned(self) -> nn.Module | None:
        """The network of a learned baseline; None without one, or before `initialize`."""
        return self.baseline.learned

    def initialize(self, model: Any, batch: Batch) -> None:
        """Let the baseline see the signals of a first run, if it needs to."""
        if self.baseline.needs_signals:
            self.baseline.initialize(self._first_signals(model, batch), batch)

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return the moving averages, as a first run has them."""
        if not (self.baseline.needs_signals or self.normalise_variance):
            return {}
        signals = self._first_signals(model, batch)
        state = self.baseline.initial_state(signals, batch)
        if self.normalise_variance and signals:
            baselines, _ = self.baseline(signals, batch, state)
            state = {**state, "variance": _variance(_residuals(signals, baselines))}
        return state

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model, guide and baseline together.

        With `normalise_variance`, parameters have their program's name in front, since the claims tell the programs apart.
        """
        parameters = parameters_by_program(model) if self.normalise_variance else parameters_of(model)
        learned = {f"baseline.{name}": parameter for name, parameter in parameters_of(self.learned).items()}
        return [Phase("main", {**learned, **parameters}, estimate=self._estimate)]

    def _estimate(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        trace = run_pair(model, batch.x, batch.context, num_particles=self.num_particles)
        bound = _pathwise_bound(trace).mean(0)
        signals = learning_signals(trace)
        baselines, following = self.baseline(signals, batch, state)
        residuals = _residuals(signals, baselines)
        surrogate, info = -bound.mean(), {}
        if residuals:
            variance = _variance(residuals)
            info["residual_variance"] = variance
            scale = torch.ones_like(variance)
            if self.normalise_variance:
                scale = state["variance"].sqrt().clamp(min=1.0)
                following = {**following, "variance": _DECAY * state["variance"] + (1 - _DECAY) * variance}
            surrogate = surrogate - _score_term(trace, residuals).mean() / scale
            if self.learned is not None:
                surrogate = surrogate + _regression(residuals) / scale
        return Estimate(surrogate=surrogate, value=bound.detach(), state=following, info=info)

    def _first_signals(self, model: LatentVariable, batch: Batch) -> dict[str, Tensor]:
        """Return the signals of a run that is not trained on, on noise that is not used again."""
        with torch.no_grad(), evaluating(model):
            return learning_signals(run_pair(model, batch.x, batch.context, num_particles=self.num_particles))


def _pathwise_bound(trace: LatentTrace) -> Tensor:
    r"""Return $\log p - \log q$, differentiable through the reparameterised draws: `(K, N)` or `(K,)`.

    The score of a draw without gradients has mean zero, so $\log q$ there is a constant: it would only add variance.
    """
    gains = [site.log_p for site in trace.sites.values()]
    costs = [
        -site.log_q if site.reparameterized else -site.log_q.detach() for site in trace.latents if site.log_q is not None
    ]
    return trace.total([*gains, *costs])


def _residuals(signals: Mapping[str, Tensor], baselines: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {site: signal - baselines[site] for site, signal in signals.items()}


def _score_term(trace: LatentTrace, residuals: Mapping[str, Tensor]) -> Tensor:
    """Return the scores weighted by what is left of their signals, averaged over particles: `(N,)` or a scalar."""
    scores = (residuals[site.name].detach() * trace.total([site.log_draw]) for site in scored_sites(trace))
    return torch.stack(list(scores)).sum(0).mean(0)


def _regression(residuals: Mapping[str, Tensor]) -> Tensor:
    """Return half the squared error of a learned baseline, summed over sites."""
    return torch.stack([residual.square().mean() for residual in residuals.values()]).sum() / 2


def _variance(residuals: Mapping[str, Tensor]) -> Tensor:
    """Return the variance of what is left of the signals over examples and particles, averaged over sites."""
    return torch.stack([residual.detach().var(correction=0) for residual in residuals.values()]).mean()

"""Unbiased gradients of discrete latents with control variates learned from relaxations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.claims import Claims, LowerBound, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.control_variates import ControlVariate
from probgen.estimators.learning_signals import learning_signals
from probgen.estimators.noisy_draws import NoisyDraws, RelaxedFrom
from probgen.estimators.numbers import require_numbers, require_whole
from probgen.estimators.site_runs import SiteRun
from probgen.estimators.strategies import Reinforce, Reparam
from probgen.latent import LatentTrace, LatentVariable
from probgen.pyro_bridge import run_pair
from probgen.shapes import evaluating

__all__ = ["REBAR", "RELAX"]


class RELAX(Estimator):
    r"""The evidence lower bound of bits and one-hot vectors, with a learned control variate for each site.

    $$\nabla_\phi \mathcal{L} = \mathbb{E}\left[\left(f(b) - c(\tilde\zeta)\right) \nabla_\phi \log q_\phi(b)
      + \nabla_\phi c(\zeta) - \nabla_\phi c(\tilde\zeta)\right], \qquad
      b = H(\zeta), \quad \tilde\zeta \sim q(\zeta \mid b)$$

    A discrete draw $b$ is what a threshold makes of its logits plus noise, $\zeta$. The control variate $c$ is a guess of
    the signal $f$ from $\zeta$: its correlation with the score is subtracted at $\tilde\zeta$, noise that would have led to
    the same draw, and added back by reparameterisation, so that nothing is biased whatever $c$ is. Here
    $c(\zeta) = \eta f(\sigma_\tau(\zeta)) + r(\sigma_\tau(\zeta), x)$, with a relaxation and a network.

    The parameters of $c$ descend the variance of the gradient with respect to the sites' logits, in the same pass.

    Several sites are treated one by one: those before are as they were drawn, those after are relaxed with it. Continuous
    latents are differentiated through. Programs have to be continuous in the relaxed values. They are run once for the
    draws and twice for each site.

    Use it where the variance of a score function is what limits training, and three times the work can be paid for.

    Args:
        num_particles: Draws $K$ from the guide for each example, averaged.
        temperature: $\tau$ at the start.
        scale: $\eta$ at the start.
        hidden: Width of each hidden layer of the network.

    Raises:
        ConfigurationError: an option is out of range; (while estimating) there is no network yet.
        CapabilityError: (while estimating) a latent without `rsample` is no Bernoulli or OneHotCategorical, a latent is
            shared by the batch, or a plate is subsampled.

    Estimates:
        $\mathcal{L}(x)$ of each example, `(N,)`. `info` has the `logit_variance` that is descended.

    Claims:
        value: unbiased for the ELBO, a lower bound on `log_prob`.
        gradient: unbiased for the ELBO's; that of the control variate's parameters (`control.*`) for the derivative of
            `logit_variance`, the mean square of the gradient by the logits.

    Example:
        >>> for name, claim in RELAX().claims.gradient.items():
        ...     print(name, claim)
        control.* unbiased for grad:logit_variance
        * unbiased for grad:elbo

    References:
        Grathwohl, Choi, Wu, Roeder & Duvenaud (2018), Backpropagation through the Void, arXiv:1711.00123. Tucker, Mnih,
        Maddison, Lawson & Sohl-Dickstein (2017), REBAR, arXiv:1703.07370.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")

    def __init__(
        self, *, num_particles: int = 1, temperature: float = 0.5, scale: float = 1.0, hidden: Sequence[int] = (100,)
    ) -> None:
        self._core = _Core(RELAX, num_particles=num_particles, temperature=temperature, scale=scale, hidden=tuple(hidden))

    @property
    def claims(self) -> Claims:
        """Unbiased, for the ELBO and for the variance."""
        return _CLAIMS

    @property
    def learned(self) -> nn.Module | None:
        """The control variate."""
        return self._core.control

    def initialize(self, model: Any, batch: Batch) -> None:
        """Build a network for each site of the guide."""
        self._core.build(model, batch)

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model, guide and control variate together."""
        return self._core.phases(model)


class REBAR(Estimator):
    r"""The evidence lower bound of bits and one-hot vectors, with its own relaxation as a control variate.

    $$c(\zeta) = \eta f(\sigma_\tau(\zeta))$$

    in what `RELAX` estimates, without a network: temperature and scale are all that is learned.

    Use it as `RELAX`, where a network has little to add.

    Args:
        num_particles: Draws $K$ from the guide for each example, averaged.
        temperature: $\tau$ at the start.
        scale: $\eta$ at the start.

    Raises:
        ConfigurationError: an option is out of range.
        CapabilityError: (while estimating) as of `RELAX`.

    Estimates:
        $\mathcal{L}(x)$ of each example, `(N,)`. `info` has the `logit_variance` that is descended.

    Claims:
        value: unbiased for the ELBO, a lower bound on `log_prob`.
        gradient: unbiased for the ELBO's; `control.*`: for that of `logit_variance`.

    Example:
        >>> print(REBAR().claims.for_parameter("guide.weight"))
        unbiased for grad:elbo

    References:
        Tucker, Mnih, Maddison, Lawson & Sohl-Dickstein (2017), arXiv:1703.07370.
    """

    requires = (LatentVariable,)
    objective = Objective("elbo", "nats", "maximise")

    def __init__(self, *, num_particles: int = 1, temperature: float = 0.5, scale: float = 1.0) -> None:
        self._core = _Core(REBAR, num_particles=num_particles, temperature=temperature, scale=scale, hidden=None)

    @property
    def claims(self) -> Claims:
        """Unbiased, for the ELBO and for the variance."""
        return _CLAIMS

    @property
    def learned(self) -> nn.Module | None:
        """Temperature and scale."""
        return self._core.control

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase, which trains model, guide, temperature and scale together."""
        return self._core.phases(model)


_CLAIMS = Claims(
    value=[Unbiased("elbo"), LowerBound("log_prob")],
    gradient={"control.*": Unbiased("grad:logit_variance"), "*": Unbiased("grad:elbo")},
)


class _Core:
    """What the two estimators share: everything but their options."""

    def __init__(
        self, owner: type, *, num_particles: int, temperature: float, scale: float, hidden: tuple[int, ...] | None
    ) -> None:
        name = owner.__name__
        require_whole(name, num_particles=num_particles)
        require_numbers(name, temperature=temperature)
        if num_particles < 1:
            raise ConfigurationError(f"{name}: expected num_particles of at least 1; got {num_particles}.")
        if not temperature > 0:
            raise ConfigurationError(f"{name}: expected a temperature above 0; got {temperature}. Start at 0.5.")
        if hidden is not None and any(width < 1 for width in hidden):
            raise ConfigurationError(f"{name}: expected hidden widths of at least 1; got {hidden}.")
        self.name = name
        self.num_particles = num_particles
        self.control = ControlVariate(temperature=temperature, scale=scale, hidden=hidden)

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        learned = {f"control.{name}": parameter for name, parameter in parameters_of(self.control).items()}
        return [Phase("main", {**learned, **parameters_of(model)}, estimate=self.estimate)]

    def build(self, model: LatentVariable, batch: Batch) -> None:
        with torch.no_grad(), evaluating(model):
            draws = NoisyDraws()
            trace = self._run(model, batch, draws)
            self.control.build([trace.sites[name] for name in draws.discrete], batch)

    @torch.enable_grad()
    def estimate(self, model: LatentVariable, batch: Batch, state: State) -> Estimate:
        draws = NoisyDraws()
        trace = self._run(model, batch, draws)
        trace.require_per_example(self.name)
        strategies = {site.name: Reinforce() if site.name in draws.discrete else Reparam() for site in trace.latents}
        bound = SiteRun(trace, strategies, 1).bound(analytic_kl=True).mean(0)
        surrogate, info = -bound.mean(), {}
        terms = [
            self._site_terms(model, batch, trace, draws, number)
            for number, drawn in enumerate(draws.discrete.values())
            if drawn[0].relaxation.logits.requires_grad
        ]
        if terms:
            count = self.num_particles * len(batch)
            gain, variance = (torch.stack(parts).sum() / count for parts in zip(*terms, strict=True))
            surrogate = surrogate - gain + _followed(variance, list(self.control.parameters()))
            info["logit_variance"] = variance.detach()
        return Estimate(surrogate=surrogate, value=bound.detach(), info=info)

    def _run(self, model: LatentVariable, batch: Batch, draw: NoisyDraws | RelaxedFrom) -> LatentTrace:
        return run_pair(model, batch.x, batch.context, num_particles=self.num_particles, draw=draw)

    def _site_terms(
        self, model: LatentVariable, batch: Batch, trace: LatentTrace, draws: NoisyDraws, number: int
    ) -> _SiteTerms:
        name, drawn = list(draws.discrete.items())[number]
        site = trace.sites[name]

        def control(noisy: list[Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
            """Return the control variate at `noisy`, and its slopes there, both with the gradient of its parameters."""
            leaves = [tensor.detach().requires_grad_() for tensor in noisy]
            relaxed = self._run(model, batch, RelaxedFrom(draws, name, leaves, self.control.temperature))
            value = self.control(relaxed, relaxed.sites[name], number, batch)
            return value, torch.autograd.grad(value.sum(), leaves, create_graph=True)

        noisy = [draw.noisy for draw in drawn]
        conditional = [draw.relaxation.noisy_given(draw.value) for draw in drawn]
        _, slopes = control(noisy)
        guess, conditional_slopes = control(conditional)
        residual = _residual(learning_signals(trace, [site])[name], guess)
        score = trace.total([site.log_draw])
        live = (residual * score).sum() + _along(slopes, noisy) - _along(conditional_slopes, conditional)
        fixed = (residual.detach() * score).sum() + _along(_constants(slopes), noisy)
        fixed = fixed - _along(_constants(conditional_slopes), conditional)
        by_logits = torch.autograd.grad(live, [draw.relaxation.logits for draw in drawn], create_graph=True)
        return _SiteTerms(fixed, torch.stack([gradient.square().sum() for gradient in by_logits]).sum())


class _SiteTerms(NamedTuple):
    """What a site adds, summed over particles and examples.

    Args:
        gain: A scalar whose gradient with respect to the guide is the site's part of the bound's.
        variance: The square of the gradient by the logits, with the gradient of the control variate.
    """

    gain: Tensor
    variance: Tensor


def _along(slopes: Sequence[Tensor], noisy: Sequence[Tensor]) -> Tensor:
    """Return a scalar whose gradient is that of a function with these slopes along its arguments."""
    return torch.stack([(slope * argument).sum() for slope, argument in zip(slopes, noisy, strict=True)]).sum()


def _constants(slopes: Sequence[Tensor]) -> list[Tensor]:
    return [slope.detach() for slope in slopes]


def _residual(signal: Tensor, guess: Tensor) -> Tensor:
    """Return what the control variate leaves of a signal."""
    return signal - guess


def _followed(objective: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """Return a scalar that has the gradient of `objective` in these parameters alone."""
    slopes = torch.autograd.grad(objective, parameters, materialize_grads=True, allow_unused=True, retain_graph=True)
    return _along(slopes, parameters)

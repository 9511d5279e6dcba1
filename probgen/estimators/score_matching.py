"""Score matching: an energy's gradient against the data's, without a partition function."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import Literal, Self

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import UnnormalizedDensity
from probgen.claims import Claim, Claims, Exact, Unbiased
from probgen.errors import ConfigurationError, SupportError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.numbers import require_whole
from probgen.supports import support_name

__all__ = ["ExactTrace", "ScoreMatching", "SlicedTrace", "Trace"]


class Trace(abc.ABC):
    """How the trace of the score's Jacobian is taken."""

    @property
    @abc.abstractmethod
    def claim(self) -> Claim:
        """What the value of one example then is of `hyvarinen`."""

    @abc.abstractmethod
    def __call__(self, score: Tensor, x: Tensor, *, differentiable: bool) -> Tensor:
        r"""Return $\mathrm{tr}\, \partial s / \partial x$ of each event.

        Args:
            score: $s$ as a function of `x` in autograd's graph, `(N, *event_shape)`.
            x: The events, `(N, *event_shape)`.
            differentiable: Whether the result is to be differentiated in turn.
        """


@dataclasses.dataclass(frozen=True)
class ExactTrace(Trace):
    """The trace itself, by one backward pass for each entry of an event."""

    @property
    def claim(self) -> Claim:
        """Exact."""
        return Exact("hyvarinen")

    def __call__(self, score: Tensor, x: Tensor, *, differentiable: bool) -> Tensor:
        """Return the trace."""
        total = x.new_zeros(len(x))
        for entry, column in enumerate(score.reshape(len(x), -1).unbind(1)):
            slope = _slope(column.sum(), x, differentiable=differentiable)
            total = total + slope.reshape(len(x), -1)[:, entry]
        return total


@dataclasses.dataclass(frozen=True, kw_only=True)
class SlicedTrace(Trace):
    r"""The trace by random directions, $\mathbb{E}_v[v^\top (\partial s / \partial x)\, v]$ with $\mathbb{E}\,v v^\top = I$.

    Args:
        num_projections: Directions for each event, each of which takes one backward pass.
        gaussian: Draw entries of a direction from the standard normal law; else signs (Rademacher), which give the diagonal
            without noise and so vary less.

    Raises:
        ConfigurationError: `num_projections` is below 1.
    """

    num_projections: int = 1
    gaussian: bool = False

    def __post_init__(self) -> None:
        require_whole("SlicedTrace", num_projections=self.num_projections)
        if self.num_projections < 1:
            raise ConfigurationError(f"SlicedTrace: expected num_projections of at least 1; got {self.num_projections}.")

    @property
    def claim(self) -> Claim:
        """Unbiased."""
        return Unbiased("hyvarinen")

    def __call__(self, score: Tensor, x: Tensor, *, differentiable: bool) -> Tensor:
        """Return the estimate of the trace."""
        total = x.new_zeros(len(x))
        for _ in range(self.num_projections):
            direction = torch.randn_like(x) if self.gaussian else 2 * (torch.rand_like(x) < 0.5).to(x.dtype) - 1
            slope = _slope((score * direction).sum(), x, differentiable=differentiable)
            total = total + (slope * direction).reshape(len(x), -1).sum(1)
        return total / self.num_projections


class ScoreMatching(Estimator):
    r"""Hyvärinen's objective, which equals the Fisher divergence from the data up to a constant.

    $$J(\theta) = \mathbb{E}_x\left[\mathrm{tr}\, \nabla_x s_\theta(x) + \tfrac{1}{2} \lVert s_\theta(x) \rVert^2\right]
      = \tfrac{1}{2}\, \mathbb{E}_x \lVert s_\theta(x) - \nabla_x \log p_{\text{data}}(x) \rVert^2 + \text{const},
      \qquad s_\theta = -\nabla_x E_\theta$$

    Use it for energies on $\mathbb{R}^D$, twice differentiable (softplus or tanh rather than relu, whose second derivative
    is zero), and data with a smooth density. It sees scores alone, so the masses of well separated modes are lost on it.

    Args:
        method: `ExactTrace()`, whose cost grows with $D$, or `SlicedTrace()`, whose does not.

    Raises:
        SupportError: (from `phases`) the model's events are not real.

    Estimates:
        $\mathrm{tr}\, \nabla_x s + \frac{1}{2} \lVert s \rVert^2$ of each example, `(N,)`. The second term needs no
        directions, so the sliced form takes it exactly.

    Claims:
        value: exactly that; unbiased for it when sliced.
        gradient: unbiased, for all parameters, also for the Fisher divergence's.

    Example:
        >>> print(*ScoreMatching(method=SlicedTrace(num_projections=4)).claims.value)
        unbiased for hyvarinen

    References:
        Hyvärinen (2005), Estimation of Non-Normalized Statistical Models by Score Matching. Song, Garg, Shi & Ermon (2019),
        arXiv:1905.07088.
    """

    requires = (UnnormalizedDensity,)
    objective = Objective("hyvarinen", "per squared unit of the data", "minimise")

    def __init__(self, *, method: Trace | None = None) -> None:
        self.method = ExactTrace() if method is None else method

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls, *, method: Literal["exact", "sliced"] = "exact", num_projections: int = 1
    ) -> Self:
        """Return the estimator for options of a shell."""
        return cls(method=ExactTrace() if method == "exact" else SlicedTrace(num_projections=num_projections))

    @property
    def claims(self) -> Claims:
        """Exact or unbiased in value, and unbiased in the gradient."""
        return Claims(value=self.method.claim, gradient={"*": Unbiased("grad:hyvarinen")})

    def phases(self, model: UnnormalizedDensity) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        if support_name(model.support) != "real":
            raise SupportError(
                f"ScoreMatching.phases: expected a model of real events; got {type(model).__name__} over "
                f"{support_name(model.support)} ones, where integration by parts fails. Use another estimator."
            )
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: UnnormalizedDensity, batch: Batch, state: State) -> Estimate:
        differentiable = torch.is_grad_enabled()
        with torch.enable_grad():
            x = batch.x.detach().requires_grad_()
            score = -_slope(model.energy(x, batch.context).sum(), x, differentiable=True)
            trace = self.method(score, x, differentiable=differentiable)
            values = trace + 0.5 * score.reshape(len(x), -1).square().sum(1)
        return Estimate(surrogate=values.mean(), value=values.detach())


def _slope(total: Tensor, x: Tensor, *, differentiable: bool) -> Tensor:
    """Return the gradient of `total` with respect to `x`: zero where it does not depend on it."""
    if not total.requires_grad:
        return torch.zeros_like(x)
    (slope,) = torch.autograd.grad(
        total, x, create_graph=differentiable, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return slope

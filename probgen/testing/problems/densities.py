"""Densities whose log-probability is written out: what `MaximumLikelihood` is held against."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.density import Density
from probgen.supports import categorical
from probgen.testing.problem import Oracle, Problem, Situation
from probgen.testing.weights import generic_weights

__all__ = [
    "PROBLEMS",
    "Categorical",
    "CorrelatedGaussian",
    "LinearRegression",
    "Whitened",
    "categorical_problem",
    "correlated_gaussian_problem",
    "linear_regression_problem",
]


class Categorical(nn.Module, Density):
    """One of a few levels, by its logit.

    Args:
        logits: `(levels,)`.
    """

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([]), None
        self.support = categorical(len(logits))
        self.logits = nn.Parameter(logits.clone())

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.logits.log_softmax(0)[x.long()]


class Whitened(nn.Module):
    r"""Real events with the map $A (x - m)$.

    Args:
        loc: $m$, `(D,)`.
        whitening: $A$, `(D, D)`.
    """

    def __init__(self, loc: Tensor, whitening: Tensor) -> None:
        super().__init__()
        self.event_shape, self.context_shape = loc.shape, None
        self.support = constraints.real
        self.loc, self.whitening = nn.Parameter(loc.clone()), nn.Parameter(whitening.clone())

    def squared_norm(self, x: Tensor) -> Tensor:
        r"""Return $\lVert A (x - m) \rVert^2$."""
        return ((x - self.loc) @ self.whitening.T).square().sum(1)


class CorrelatedGaussian(Whitened, Density):
    r"""Normal events, $A (x - m) \sim \mathcal{N}(0, I)$; arguments are those of `Whitened`."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        volume = self.whitening.slogdet().logabsdet - 0.5 * len(self.loc) * math.log(2 * math.pi)
        return volume - 0.5 * self.squared_norm(x)


class LinearRegression(nn.Module, Density):
    r"""Normal events around an affine function of the context, $x_d \sim \mathcal{N}((W c + b)_d, e^{2 \lambda_d})$.

    Args:
        weight: $W$, `(D, C)`.
        bias: $b$, `(D,)`.
        log_scale: $\lambda$, `(D,)`.
    """

    def __init__(self, weight: Tensor, bias: Tensor, log_scale: Tensor) -> None:
        super().__init__()
        self.event_shape, self.context_shape = bias.shape, weight.shape[1:]
        self.support = constraints.real
        self.weight, self.bias = nn.Parameter(weight.clone()), nn.Parameter(bias.clone())
        self.log_scale = nn.Parameter(log_scale.clone())

    def _log_prob(self, x: Tensor, context: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        loc = torch.nn.functional.linear(context, self.weight, self.bias)
        return torch.distributions.Normal(loc, self.log_scale.exp()).log_prob(x).sum(1)


def categorical_problem(logits: Tensor, x: Tensor, *, name: str = "categorical") -> Problem:
    """Return the problem of a `Categorical`.

    Args:
        logits: `(levels,)`.
        x: Its batch, levels `(N,)`.
        name: What to call it.
    """

    def log_prob(situation: Situation) -> Tensor:
        masses = situation.model.logits.exp()
        return (masses[situation.batch.x.long()] / masses.sum()).log()

    return Problem(
        name,
        lambda dtype: (Categorical(logits.to(dtype)), Batch(x)),
        {"log_prob": Oracle(log_prob, maximised=True)},
    )


def correlated_gaussian_problem(loc: Tensor, whitening: Tensor, x: Tensor, *, name: str = "correlated-gaussian") -> Problem:
    """Return the problem of a `CorrelatedGaussian`.

    Args:
        loc: `(D,)`.
        whitening: `(D, D)`, invertible.
        x: Its batch, `(N, D)`.
        name: What to call it.
    """

    def log_prob(situation: Situation) -> Tensor:
        model, x = situation.model, situation.batch.x
        covariance = torch.linalg.inv(model.whitening.T @ model.whitening)
        off = x - model.loc
        distance = (off * torch.linalg.solve(covariance, off.T).T).sum(1)
        return -0.5 * (distance + torch.linalg.det(2 * math.pi * covariance).log())

    return Problem(
        name,
        lambda dtype: (CorrelatedGaussian(loc.to(dtype), whitening.to(dtype)), Batch(x.to(dtype))),
        {"log_prob": Oracle(log_prob, maximised=True)},
    )


def linear_regression_problem(
    weight: Tensor, bias: Tensor, log_scale: Tensor, x: Tensor, context: Tensor, *, name: str = "linear-regression"
) -> Problem:
    """Return the problem of a `LinearRegression`.

    Args:
        weight: `(D, C)`.
        bias: `(D,)`.
        log_scale: `(D,)`.
        x: Its batch, `(N, D)`.
        context: The batch's contexts, `(N, C)`.
        name: What to call it.
    """

    def make(dtype: torch.dtype) -> tuple[LinearRegression, Batch]:
        model = LinearRegression(weight.to(dtype), bias.to(dtype), log_scale.to(dtype))
        return model, Batch(x.to(dtype), context.to(dtype))

    def log_prob(situation: Situation) -> Tensor:
        model, batch = situation.model, situation.batch
        residual = batch.x - torch.einsum("dc,nc->nd", model.weight, batch.context) - model.bias
        variance = (2 * model.log_scale).exp()
        return -0.5 * (residual.square() / variance + (2 * math.pi * variance).log()).sum(1)

    return Problem(name, make, {"log_prob": Oracle(log_prob, maximised=True)})


PROBLEMS = (
    categorical_problem(generic_weights(4, seed=1, scale=1.5), torch.tensor([2, 0, 2])),
    correlated_gaussian_problem(
        generic_weights(2, seed=2),
        torch.tensor([[0.9, 0.4], [-0.7, 1.2]], dtype=torch.float64),
        generic_weights(3, 2, seed=3, scale=2.0),
    ),
    linear_regression_problem(
        generic_weights(2, 2, seed=4),
        generic_weights(2, seed=5),
        torch.tensor([-0.5, 0.4], dtype=torch.float64),
        generic_weights(3, 2, seed=6, scale=2.0),
        generic_weights(3, 2, seed=7),
    ),
)

"""Gradient penalties by quadrature over the places where they look at a critic's slope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probgen.errors import ConfigurationError
from probgen.estimators.adversarial_penalties import AroundData, AtData, Between, Place
from probgen.testing.problem import Situation

__all__ = ["expected_penalty"]

_PANELS, _NODES = 256, 4
"""Parts of a segment and nodes in each: many, because the slope of a critic may jump."""

_REACH, _STEPS = 6.0, 121
"""How far normal noise goes, and points on the way: a fine grid sees jumps, and is exact where there are none."""


def expected_penalty(score: Callable[[Tensor], Tensor], situation: Situation) -> Tensor:
    r"""Return $w\,\mathbb{E}(\lVert \nabla f \rVert - s)^2$ for each example, `(N,)`, over places and the generator's draws.

    Args:
        score: The critic $f$, `(N, D) -> (N,)`.
        situation: With an estimator whose `penalty` has a weight, a center and a place, and a model whose `law()` lists its
            draws.

    Raises:
        ConfigurationError: nothing is known of the place.
    """
    estimator: Any = situation.estimator
    penalty = estimator.penalty
    x = situation.batch.x
    points, masses = _places(penalty.where, x, *situation.model.law())
    values = penalty.weight * (_steepness(score, points.flatten(0, -2)) - penalty.center) ** 2
    return values.reshape(len(x), -1) @ masses.flatten()


def _places(where: Place, x: Tensor, events: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    """Return points for each example, `(N, ..., D)`, and their masses, shaped as what lies between."""
    match where:
        case AtData():
            return x[:, None], x.new_ones(1)
        case Between():
            return _between(x, events, chances)
        case AroundData():
            return _around_data(where.spread, x)
        case _:
            raise ConfigurationError(
                f"expected_penalty: expected a place whose law is known; got {type(where).__name__}. Write a problem that "
                "knows it."
            )


def _steepness(score: Callable[[Tensor], Tensor], points: Tensor) -> Tensor:
    """Return the slope's norm at points, `(M, D) -> (M,)`, as a function of the critic's parameters."""
    points = points.detach().requires_grad_()
    (slope,) = torch.autograd.grad(score(points).sum(), points, create_graph=True)
    return slope.norm(dim=1)


def _between(x: Tensor, events: Tensor, chances: Tensor) -> tuple[Tensor, Tensor]:
    """Return points on the segments from each example to each draw, `(N, 2, positions, D)`, and their masses."""
    nodes, weights = (x.new_tensor(each) / (2 * _PANELS) for each in np.polynomial.legendre.leggauss(_NODES))
    centers = (torch.arange(_PANELS, dtype=x.dtype) + 0.5) / _PANELS
    position = (centers[:, None] + nodes).reshape(-1, 1)
    points = (1 - position) * x[:, None, None, :] + position * events[:, None, :]
    return points, chances[:, None] * weights.repeat(_PANELS)


def _around_data(spread: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """Return each example with normal noise in every direction, `(N, noises, D)`, and the masses of the noise."""
    nodes = torch.linspace(-_REACH, _REACH, _STEPS, dtype=x.dtype)
    weights = (-0.5 * nodes.square()).exp()
    features = x.shape[1]
    noise = torch.cartesian_prod(*[nodes] * features).reshape(-1, features)
    masses = torch.cartesian_prod(*[weights / weights.sum()] * features).reshape(-1, features).prod(1)
    scale = spread * (x - x.mean()).square().mean().sqrt()
    return x[:, None] + scale * noise, masses

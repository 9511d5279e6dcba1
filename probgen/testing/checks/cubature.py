r"""The integral of a density over a continuum of one or two real entries.

On the line `integrate` does it. In the plane, entries are mapped to $u \in [-18, 18]^2$ by $x = T(c + s \sinh u)$, where $T$
takes the real line to the support, and rectangles are divided where two rules disagree.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Transform, transform_to
from torch.distributions.constraints import Constraint

from probgen.testing.cumulative import integrate

__all__ = ["mass_on_the_line", "mass_on_the_plane"]

Function = Callable[[Tensor], Tensor]

_TICKS = (*(-18.0, -14.0, -10.0, -8.0), *np.linspace(-6, 6, 17).tolist(), *(8.0, 10.0, 14.0, 18.0))
"""Where rectangles begin: close together where a light tail ends, which a rule across a wide one would miss."""

_LOBATTO = np.array([-1.0, -math.sqrt(3 / 7), 0.0, math.sqrt(3 / 7), 1.0]), np.array([9.0, 49.0, 64.0, 49.0, 9.0]) / 90
_RULES = (_LOBATTO, np.polynomial.legendre.leggauss(6))
"""The first looks at the edges too: a kink close to one lies outside of all nodes of Gauss-Legendre rules, old and new."""

_POINTS = 5**2 + 6**2
_QUARTERS = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]], dtype=torch.float64)
_TOLERANCE = 1e-9
"""Error allowed in one rectangle."""

_SMALLEST = 1e-4
"""A side down to which a rectangle is divided because draws lie there: a lone one would have it done for ever."""

_LINE_ERROR = 1e-7
_MOST_POINTS = 600_000
_ROUNDS, _CROWD = 4, 4096


def mass_on_the_line(log_density: Function, entry: Constraint, near: Tensor | None) -> tuple[float, float]:
    """Return the integral of a density, `(n, 1) -> (n,)`, on the support `entry`, and its error.

    Args:
        log_density: Its logarithm.
        entry: The support.
        near: Points where there is mass, `(m, 1)`; they are looked for where None.
    """
    transform = transform_to(entry)

    def density(points: np.ndarray) -> np.ndarray:
        return _stretched(log_density, transform, torch.as_tensor(points)[:, None]).numpy()

    real = _real_points(log_density, entry, near, 1)
    hints = np.quantile(real.numpy(), np.linspace(0, 1, 33))
    return integrate(density, -math.inf, math.inf, near=hints).mass, _LINE_ERROR


def mass_on_the_plane(log_density: Function, entry: Constraint, near: Tensor | None) -> tuple[float, float]:
    """Return the integral of a density, `(n, 2) -> (n,)`, whose entries lie in `entry`, and its error.

    Args:
        log_density: Its logarithm.
        entry: The support of an entry.
        near: Points where there is mass, `(m, 2)`; they are looked for where None.
    """
    weighted, around = _mapped(log_density, entry, _real_points(log_density, entry, near, 2))
    ticks = torch.tensor(_TICKS, dtype=torch.float64)
    corners = torch.cartesian_prod(ticks[:-1], ticks[:-1])
    sizes = torch.cartesian_prod(ticks.diff(), ticks.diff())
    mass, error, points = 0.0, 0.0, 0
    while len(corners):
        coarse, fine = (_rule(weighted, corners, sizes, rule) for rule in _RULES)
        gap = (fine - coarse).abs()
        points += _POINTS * len(corners)
        rough = gap > _TOLERANCE
        if near is not None:
            rough |= _surprising(_held(around, corners, sizes), fine * len(around)) & (sizes.amin(1) > _SMALLEST)
        if points + 4 * _POINTS * int(rough.sum()) > _MOST_POINTS:
            rough[:] = False
        mass += float(fine[~rough].sum())
        error += float(gap[~rough].sum())
        halves = (sizes[rough] / 2)[:, None].expand(-1, 4, -1)
        corners = (corners[rough][:, None] + halves * _QUARTERS).reshape(-1, 2)
        sizes = halves.reshape(-1, 2)
    return mass, error


def _real_points(log_density: Function, entry: Constraint, near: Tensor | None, features: int) -> Tensor:
    """Return points of the real line or plane that are mapped to where there is mass."""
    if near is None:
        return _located(log_density, entry, features)
    real: Tensor = transform_to(entry).inv(near)  # pyright: ignore[reportAssignmentType]
    return real[real.isfinite().all(1)]


def _held(points: Tensor, corners: Tensor, sizes: Tensor) -> Tensor:
    """Return how many of the points lie in each rectangle."""
    inside = (points >= corners[:, None]) & (points < (corners + sizes)[:, None])
    return inside.all(-1).sum(1)


def _surprising(held: Tensor, expected: Tensor) -> Tensor:
    """Return where so many more draws lie than the integral says that both rules have missed a spike."""
    expected = expected.clamp(min=0)
    return (held > 10 * expected) | (held > expected + 5 * expected.sqrt() + 1)


def _mapped(log_density: Function, entry: Constraint, real: Tensor) -> tuple[Function, Tensor]:
    """Return the density of the plane's own variables, of which an event is a function, and where these are at points.

    Most mass is near the origin.
    """
    transform = transform_to(entry)
    lower, centre, upper = torch.quantile(real, torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64), dim=0)
    scale = (upper - lower).clamp(min=1e-12)

    def weighted(u: Tensor) -> Tensor:
        return _stretched(log_density, transform, centre + scale * u.sinh()) * (scale * u.cosh()).prod(-1)

    return weighted, ((real - centre) / scale).asinh()


def _stretched(log_density: Function, transform: Transform, real: Tensor) -> Tensor:
    """Return the density of the variable that `transform` maps to an event, `(n, d) -> (n,)`."""
    x: Tensor = transform(real)  # pyright: ignore[reportAssignmentType]
    stretch: Tensor = transform.log_abs_det_jacobian(real, x)  # pyright: ignore[reportAssignmentType]
    values = (log_density(x) + stretch.sum(-1)).exp()
    return torch.where(values.isfinite(), values, 0.0)  # far out, where both factors leave the range of numbers


def _rule(
    weighted: Callable[[Tensor], Tensor], corners: Tensor, sizes: Tensor, rule: tuple[np.ndarray, np.ndarray]
) -> Tensor:
    """Integrate over each rectangle from its lower left corner."""
    nodes, weights = (torch.as_tensor(part) for part in rule)
    shares = torch.outer(weights, weights).reshape(-1) / 4
    places = corners[:, None] + sizes[:, None] * (1 + torch.cartesian_prod(nodes, nodes)) / 2
    return weighted(places.reshape(-1, 2)).reshape(len(corners), -1) @ shares * sizes.prod(1)


def _located(log_density: Function, entry: Constraint, features: int) -> Tensor:
    """Return such points for a density without a sampler: a crowd that is resampled where the density is high."""
    generator = torch.Generator().manual_seed(0)
    transform = transform_to(entry)
    real = torch.randn(_CROWD, features, generator=generator, dtype=torch.float64).mul(3).sinh()
    parents = real
    for _ in range(_ROUNDS):
        log_mass = _stretched(log_density, transform, real).log()
        chosen = log_mass.softmax(0).nan_to_num(1 / _CROWD)
        parents = real[torch.multinomial(chosen, _CROWD, replacement=True, generator=generator)]
        spread = parents.std(0) + 1e-3
        real = parents + spread * torch.randn(real.shape, generator=generator, dtype=torch.float64)
    return parents

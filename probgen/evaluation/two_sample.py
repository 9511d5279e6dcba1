"""The MMD two-sample test: do two sets of events come from one law?"""

from __future__ import annotations

import dataclasses
import math

import torch
from torch import Tensor

from probgen.errors import ConfigurationError, ShapeError

__all__ = ["TwoSampleTest", "median_distance", "mmd_test"]

_BLOCK = 512
"""Rows of the Gram matrix that exist at once."""

_HALVINGS = 3
"""How often the bandwidth is halved."""

_LARGEST_EXPONENT = 87.0
"""Where `exp` is nothing beside 1; torch is an order of magnitude slower where it underflows."""


@dataclasses.dataclass(frozen=True)
class TwoSampleTest:
    """The outcome of a two-sample test.

    Args:
        statistic: The unbiased estimate of the squared MMD; it may be negative where the laws are equal.
        stderr: Its standard error.
        p_value: The share of relabellings whose statistic is at least as large.
    """

    statistic: float
    stderr: float
    p_value: float


def mmd_test(
    x: Tensor,
    y: Tensor,
    *,
    bandwidth: float,
    generator: torch.Generator | None = None,
    num_permutations: int = 999,
) -> TwoSampleTest:
    r"""Compare two samples by their maximum mean discrepancy.

    $$\widehat{\mathrm{MMD}}{}^2 = \frac{1}{m(m-1)} \sum_{i \ne j} k(x_i, x_j) + \frac{1}{n(n-1)} \sum_{i \ne j} k(y_i, y_j)
      - \frac{2}{mn} \sum_{i, j} k(x_i, y_j)$$

    The kernel is the mean of four Gaussian ones, of `bandwidth` $\sigma$, $\sigma/2$, $\sigma/4$ and $\sigma/8$: one alone
    is blind to differences on other scales than its own. The p-value is that of $B$ random relabellings of the pooled
    sample, $(1 + \#\{b : T_b \ge T\}) / (B + 1)$: exact at any sample size, as long as the bandwidth does not depend on
    which event is in which sample. The standard error is the jackknife's, from the first-order terms; where the laws are
    equal it is too large by a factor of about $\sqrt 2$.

    All permutations share the one Gram matrix, of which a block of rows exists at a time: memory is linear in the number of
    events.

    Args:
        x: One sample.
        y: The other.
        bandwidth: $\sigma$, in the distance units of the events; see `median_distance`.
        generator: Where the relabellings come from; None for the global stream.
        num_permutations: $B$.

    Shapes:
        x: `(m, D)`.
        y: `(n, D)`.

    Raises:
        ShapeError: a sample has fewer than two events, or the samples' events differ in size.
        ConfigurationError: `bandwidth` is not positive, or `num_permutations` is below 1.

    Example:
        >>> stream = torch.Generator().manual_seed(0)
        >>> x, y = torch.randn(2, 200, 3, generator=stream)
        >>> mmd_test(x, y + 1, bandwidth=2.0, generator=stream).p_value
        0.001

    References:
        Gretton, Borgwardt, Rasch, Schölkopf & Smola (2012), A Kernel Two-Sample Test, JMLR 13:723-773.
    """
    _check(x, y, bandwidth, num_permutations)
    m, n = len(x), len(y)
    pool = torch.cat([x, y]).to(torch.float64)
    members = _memberships(m, n, num_permutations, generator, pool.device)
    sums = _kernel_sums(pool - pool.mean(0), members, bandwidth)
    statistics = _statistics(sums, m, n)
    # Relabellings that only swap equal events differ from the observed one by rounding: they count as ties.
    ties = statistics[1:] >= statistics[0] - 1e-12
    p_value = (1 + int(ties.sum())) / (1 + num_permutations)
    return TwoSampleTest(float(statistics[0]), _jackknife_error(sums, m, n), p_value)


def median_distance(x: Tensor, *, generator: torch.Generator | None = None, most: int = 1000) -> float:
    """Return the median distance between two events of `x`, a common bandwidth for a kernel.

    Of more than `most` events a random subset is used. Where at least half of the pairs coincide the mean distance stands
    in, and 1 where all do.

    Shapes:
        x: `(N, D)`.

    Example:
        >>> median_distance(torch.tensor([[0.0], [1.0], [3.0]]))
        2.0
    """
    if len(x) > most:
        x = x[torch.randperm(len(x), generator=generator)[:most]]
    distances = torch.nn.functional.pdist(x.to(torch.float64))
    if distances.numel() == 0:
        return 1.0
    return float(distances.median()) or float(distances.mean()) or 1.0


@dataclasses.dataclass(frozen=True, eq=False)
class _KernelSums:
    """Sums over the Gram matrix without its diagonal, which is all that the statistics need.

    Args:
        within_x: Sum over pairs inside the first group, `(1 + B,)`: one for the observed labels, then one a relabelling.
        from_x: Sum over pairs that start in the first group, `(1 + B,)`.
        total: Sum over all pairs, a scalar.
        row_to_x: Sum over each event's pairs with the observed first group, `(m + n,)`.
        row: Sum over all of each event's pairs, `(m + n,)`.
    """

    within_x: Tensor
    from_x: Tensor
    total: Tensor
    row_to_x: Tensor
    row: Tensor


def _kernel_sums(pool: Tensor, members: Tensor, bandwidth: float) -> _KernelSums:
    """Go through the Gram matrix of `pool`, `(N, D)`, by blocks of rows; `members`, `(N, 1 + B)`, marks the first groups."""
    squares = pool.square().sum(1)
    within, row_to_x, row = torch.zeros_like(members[0]), torch.empty_like(squares), torch.empty_like(squares)
    for start in range(0, len(pool), _BLOCK):
        rows = slice(start, min(start + _BLOCK, len(pool)))
        gram = _kernel(squares[rows, None] + squares - 2 * pool[rows] @ pool.T, bandwidth)
        gram.diagonal(offset=start).zero_()
        to_groups = gram @ members
        within += (members[rows] * to_groups).sum(0)
        row_to_x[rows] = to_groups[:, 0]
        row[rows] = gram.sum(1)
    return _KernelSums(within, row @ members, row.sum(), row_to_x, row)


def _kernel(squared_distances: Tensor, bandwidth: float) -> Tensor:
    """Return the mean of the Gaussian kernels; each is the fourth power of the one that is twice as wide."""
    kernel = (squared_distances / (-2 * bandwidth**2)).clamp_(-_LARGEST_EXPONENT, 0).exp_()
    total = kernel.clone()
    for _ in range(_HALVINGS):
        total += kernel.square_().square_()
    return total.div_(1 + _HALVINGS)


def _memberships(m: int, n: int, permutations: int, generator: torch.Generator | None, device: torch.device) -> Tensor:
    """Return 0/1 columns that mark the first group: the observed one, then one for each relabelling; `(m + n, 1 + B)`."""
    keys = torch.rand(permutations, m + n, generator=generator)
    chosen = keys.topk(m, dim=1).indices
    members = torch.zeros(1 + permutations, m + n, dtype=torch.float64)
    members[0, :m] = 1
    members[1:].scatter_(1, chosen, 1.0)
    return members.T.to(device)


def _statistics(sums: _KernelSums, m: int, n: int) -> Tensor:
    """Return the unbiased squared MMD under each labelling, `(1 + B,)`."""
    across = sums.from_x - sums.within_x
    within_y = sums.total - 2 * sums.from_x + sums.within_x
    return sums.within_x / (m * (m - 1)) + within_y / (n * (n - 1)) - 2 * across / (m * n)


def _jackknife_error(sums: _KernelSums, m: int, n: int) -> float:
    """Return the standard error of the observed statistic, from how far each event pulls it."""
    to_x, to_y = sums.row_to_x, sums.row - sums.row_to_x
    pull_x = to_x[:m] / (m - 1) - to_y[:m] / n
    pull_y = to_y[m:] / (n - 1) - to_x[m:] / m
    return 2 * math.sqrt(float(pull_x.var() / m + pull_y.var() / n))


def _check(x: Tensor, y: Tensor, bandwidth: float, permutations: int) -> None:
    for name, sample in (("x", x), ("y", y)):
        if sample.ndim != 2 or len(sample) < 2:
            raise ShapeError(
                f"mmd_test: expected {name} of shape (events, features) with 2 events or more; got {tuple(sample.shape)}. "
                "Flatten each event."
            )
    if x.shape[1] != y.shape[1]:
        raise ShapeError(
            f"mmd_test: expected events of one size; got {x.shape[1]} and {y.shape[1]} features. Compare like with like."
        )
    if not (bandwidth > 0 and math.isfinite(bandwidth)):
        raise ConfigurationError(
            f"mmd_test: expected a positive bandwidth; got {bandwidth:g}. Use the median_distance of further events."
        )
    if permutations < 1:
        raise ConfigurationError(f"mmd_test: expected num_permutations of at least 1; got {permutations}. Use 999.")

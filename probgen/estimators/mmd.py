"""Maximum mean discrepancy: a model's draws against the data, through a kernel."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import Reparameterized
from probgen.claims import Biased, Claim, Claims, Unbiased
from probgen.errors import ConfigurationError, ShapeError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.kernel_sums import sum_across, sum_at, sum_within
from probgen.estimators.kernels import Kernel, MultiscaleRBF, median_heuristic
from probgen.estimators.numbers import require_whole

__all__ = ["MMD", "LinearTime", "Statistic", "UStatistic", "VStatistic"]


class Statistic(abc.ABC):
    """How the squared discrepancy is estimated from two samples."""

    @property
    @abc.abstractmethod
    def claim(self) -> Claim:
        """What the estimate is of `mmd2`."""

    @abc.abstractmethod
    def __call__(self, kernel: Kernel, x: Tensor, y: Tensor, *, block_size: int) -> Tensor:
        """Return the estimate from data and draws, `(M, D), (N, D) -> ()`, by blocks of rows of their Gram matrices."""


class UStatistic(Statistic):
    r"""The unbiased estimate, which leaves out the pairs of an event with itself; it may be negative.

    $$\frac{1}{M(M-1)} \sum_{i \neq j} k(x_i, x_j) + \frac{1}{N(N-1)} \sum_{i \neq j} k(y_i, y_j)
      - \frac{2}{MN} \sum_{i,j} k(x_i, y_j)$$
    """

    @property
    def claim(self) -> Claim:
        """Unbiased."""
        return Unbiased("mmd2")

    def __call__(self, kernel: Kernel, x: Tensor, y: Tensor, *, block_size: int) -> Tensor:
        """Return the estimate."""
        m, n = len(x), len(y)
        within_x = sum_within(kernel, x, block_size=block_size) / (m * (m - 1))
        within_y = sum_within(kernel, y, block_size=block_size) / (n * (n - 1))
        return within_x + within_y - sum_across(kernel, x, y, block_size=block_size) * (2 / (m * n))


class VStatistic(Statistic):
    r"""The discrepancy between the two samples themselves, never negative, so too large for what they were drawn from.

    $$\frac{1}{M^2} \sum_{i,j} k(x_i, x_j) + \frac{1}{N^2} \sum_{i,j} k(y_i, y_j) - \frac{2}{MN} \sum_{i,j} k(x_i, y_j)$$

    Its expectation exceeds the squared discrepancy by $(k(0) - \mathbb{E}\,k(x, x')) / M + (k(0) - \mathbb{E}\,k(y, y')) /
    N$.
    """

    @property
    def claim(self) -> Claim:
        """Biased upward by a known term."""
        return Biased("mmd2", "mmd2-v")

    def __call__(self, kernel: Kernel, x: Tensor, y: Tensor, *, block_size: int) -> Tensor:
        """Return the estimate."""
        m, n = len(x), len(y)
        own = kernel.values(x.new_zeros(()))
        within_x = sum_within(kernel, x, block_size=block_size) / m**2 + own / m
        within_y = sum_within(kernel, y, block_size=block_size) / n**2 + own / n
        return within_x + within_y - sum_across(kernel, x, y, block_size=block_size) * (2 / (m * n))


class LinearTime(Statistic):
    r"""The unbiased estimate from disjoint pairs, whose cost is linear in their number, at the price of variance.

    $$\frac{1}{P} \sum_{p=1}^{P}
      \left[k(x_{2p-1}, x_{2p}) + k(y_{2p-1}, y_{2p}) - k(x_{2p-1}, y_{2p}) - k(x_{2p}, y_{2p-1})\right]$$

    Events beyond the shorter sample, and an odd one, are left out.
    """

    @property
    def claim(self) -> Claim:
        """Unbiased."""
        return Unbiased("mmd2")

    def __call__(self, kernel: Kernel, x: Tensor, y: Tensor, *, block_size: int) -> Tensor:
        """Return the estimate."""
        pairs = min(len(x), len(y)) // 2
        (x1, x2), (y1, y2) = (events[: 2 * pairs].unflatten(0, (pairs, 2)).unbind(1) for events in (x, y))
        alike = torch.cat([x1 - x2, y1 - y2]).square().sum(1)
        unlike = torch.cat([x1 - y2, x2 - y1]).square().sum(1)
        return (sum_at(kernel, alike) - sum_at(kernel, unlike)) / pairs


class MMD(Estimator):
    r"""The squared maximum mean discrepancy between a model's draws and the data.

    $$\mathrm{MMD}^2 = \mathbb{E}\,k(x, x') + \mathbb{E}\,k(y, y') - 2\,\mathbb{E}\,k(x, y),
      \qquad x, x' \sim \text{data}, \quad y, y' \sim p_\theta$$

    It needs draws with gradients and nothing else: no density, no critic. With a kernel that tells all distributions apart
    (all of ours do) it is zero only where the model equals the data.

    Use it for implicit models of few dimensions, or on features; between raw pictures a kernel sees little. Large batches
    pay.

    A conditional model is judged by its pairs of event and context: the first half of a batch supplies pairs from the data,
    the contexts of the other half those that are drawn for, so that the two samples are independent.

    Args:
        kernel: The kernel; None for a `MultiscaleRBF` around the median distance of the first batch, which is kept in the
            state (`bandwidth`).
        statistic: `UStatistic()`, `VStatistic()` or `LinearTime()`.
        block_size: Rows of a Gram matrix that exist at once. Memory grows with `block_size` times the number of events.
        num_samples: Draws from the model in each step; None for as many as the batch has examples. A conditional model draws
            at most one for each context.

    Raises:
        ConfigurationError: `block_size` is below 1, or `num_samples` below 2.
        ShapeError: (while estimating) there are fewer than two events on either side.

    Estimates:
        $\mathrm{MMD}^2$, a scalar.

    Claims:
        value: unbiased for $\mathrm{MMD}^2$; the V-statistic for a known larger number.
        gradient: likewise, for all parameters.

    Example:
        >>> print(*MMD(statistic=LinearTime()).claims.value)
        unbiased for mmd2

    References:
        Gretton, Borgwardt, Rasch, Schölkopf & Smola (2012), A Kernel Two-Sample Test. Li, Swersky & Zemel (2015),
        arXiv:1502.02761. Dziugaite, Roy & Ghahramani (2015), arXiv:1505.03906.
    """

    requires = (Reparameterized,)
    objective = Objective("mmd2", "units of the kernel", "minimise")
    batch_coupled = True

    def __init__(
        self,
        *,
        kernel: Kernel | None = None,
        statistic: Statistic | None = None,
        block_size: int = 512,
        num_samples: int | None = None,
    ) -> None:
        require_whole("MMD", block_size=block_size, **({} if num_samples is None else {"num_samples": num_samples}))
        if block_size < 1:
            raise ConfigurationError(f"MMD: expected block_size of at least 1; got {block_size}. Use 512.")
        if num_samples is not None and num_samples < 2:
            raise ConfigurationError(f"MMD: expected num_samples of at least 2; got {num_samples}. Events come in pairs.")
        self.kernel = kernel
        self.statistic = UStatistic() if statistic is None else statistic
        self.block_size = block_size
        self.num_samples = num_samples

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls,
        *,
        statistic: Literal["u-statistic", "v-statistic", "linear-time"] = "u-statistic",
        bandwidth: float | None = None,
        block_size: int = 512,
        num_samples: int | None = None,
    ) -> Self:
        """Return the estimator for options of a shell; a `bandwidth` is that of a `MultiscaleRBF`."""
        statistics = {"u-statistic": UStatistic, "v-statistic": VStatistic, "linear-time": LinearTime}
        return cls(
            kernel=None if bandwidth is None else MultiscaleRBF(bandwidth),
            statistic=statistics[statistic](),
            block_size=block_size,
            num_samples=num_samples,
        )

    @property
    def claims(self) -> Claims:
        """Those of the statistic, for the value and for the gradient."""
        claim = self.statistic.claim
        if isinstance(claim, Biased):
            return Claims(value=claim, gradient={"*": Biased(f"grad:{claim.of}", f"grad:{claim.target}")})
        return Claims(value=claim, gradient={"*": type(claim)(f"grad:{claim.of}")})

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return the median distance of the first batch where it sets the kernel's bandwidth."""
        if self.kernel is not None:
            return {}
        return {"bandwidth": median_heuristic(_joined(batch.x, batch.context))}

    def phases(self, model: Reparameterized) -> Sequence[Phase]:
        """Return the one phase, which trains the whole model."""
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: Reparameterized, batch: Batch, state: State) -> Estimate:
        kernel = MultiscaleRBF(state["bandwidth"]) if self.kernel is None else self.kernel
        x, y = self._samples(model, batch)
        if min(len(x), len(y)) < 2:
            raise ShapeError(
                f"MMD: expected two events or more on either side; got {len(x)} from the data and {len(y)} from the model. "
                "Use a batch size that leaves no short batch at the end of an epoch."
            )
        with torch.autocast(x.device.type, enabled=False):  # a difference of nearly equal means needs all its digits
            discrepancy = self.statistic(kernel, x, y.to(x.dtype), block_size=self.block_size)
        return Estimate(surrogate=discrepancy, value=discrepancy.detach(), state=state)

    def _samples(self, model: Reparameterized, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return independent samples of the data and of the model, each event with its context, as rows."""
        if batch.context is None:
            draws = model.rsample((self.num_samples or len(batch),))
            return _joined(batch.x, None), _joined(draws, None)
        half = len(batch) // 2
        contexts = batch.context[half:][: self.num_samples]
        return _joined(batch.x[:half], batch.context[:half]), _joined(model.rsample((), contexts), contexts)


def _joined(x: Tensor, context: Tensor | None) -> Tensor:
    """Return events, with their contexts where there are any, as rows `(N, D)`."""
    rows = x.reshape(len(x), -1)
    return rows if context is None else torch.cat([rows, context.reshape(len(x), -1).to(rows.dtype)], 1)

"""Maximum mean discrepancies, wrong."""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import Reparameterized
from probgen.claims import Claims, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, State
from probgen.estimators.kernels import RBF, Kernel
from probgen.testing.twins.single_phase import SinglePhase

__all__ = ["TWINS", "CrossTermOnce", "DividedByFeatures", "KeptDiagonal"]


class _Discrepancy(SinglePhase, abc.ABC):
    """A statistic of the batch and of as many draws, said to be unbiased."""

    requires = (Reparameterized,)
    objective = Objective("mmd2", "units of the kernel", "minimise")
    batch_coupled = True
    num_samples: int | None = None

    def __init__(self) -> None:
        self.kernel: Kernel = RBF(1.0)

    @property
    def claims(self) -> Claims:
        """Unbiased, as the U-statistic is."""
        return Claims(value=Unbiased("mmd2"), gradient={"*": Unbiased("grad:mmd2")})

    def estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return the statistic."""
        x, y = batch.x, model.rsample((len(batch),))
        value = self.statistic(self._kernels(x, x), self._kernels(y, y), self._kernels(x, y), features=x.shape[1])
        return Estimate(value, value.detach())

    @abc.abstractmethod
    def statistic(self, among_x: Tensor, among_y: Tensor, between: Tensor, *, features: int) -> Tensor:
        """Return the statistic from the three Gram matrices."""

    def _kernels(self, a: Tensor, b: Tensor) -> Tensor:
        return self.kernel.values((a[:, None] - b[None]).square().sum(2))


class DividedByFeatures(_Discrepancy):
    """The U-statistic divided by the size of an event, as a known library does."""

    def statistic(self, among_x: Tensor, among_y: Tensor, between: Tensor, *, features: int) -> Tensor:
        """Return a share of the statistic."""
        return (_off_diagonal(among_x) + _off_diagonal(among_y) - 2 * between.mean()) / features


class KeptDiagonal(_Discrepancy):
    """Pairs of an event with itself count, and it is called unbiased."""

    def statistic(self, among_x: Tensor, among_y: Tensor, between: Tensor, *, features: int) -> Tensor:
        """Return the V-statistic."""
        return among_x.mean() + among_y.mean() - 2 * between.mean()


class CrossTermOnce(_Discrepancy):
    """The term between data and draws is not doubled."""

    def statistic(self, among_x: Tensor, among_y: Tensor, between: Tensor, *, features: int) -> Tensor:
        """Return a statistic that is not zero where the two laws are one."""
        return _off_diagonal(among_x) + _off_diagonal(among_y) - between.mean()


def _off_diagonal(kernels: Tensor) -> Tensor:
    count = len(kernels)
    return torch.where(torch.eye(count, dtype=torch.bool), 0, kernels).sum() / (count * (count - 1))


TWINS: dict[str, Callable[[], Estimator]] = {
    "the discrepancy is divided by the size of an event": DividedByFeatures,
    "the unbiased statistic keeps its diagonal": KeptDiagonal,
    "the term between data and draws counts once": CrossTermOnce,
}

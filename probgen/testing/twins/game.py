"""Adversarial training, wrong."""

from __future__ import annotations

import abc
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.capabilities import Reparameterized
from probgen.claims import Claims, Unbiased
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.adversarial_penalties import GradientPenalty
from probgen.testing.problems.games import TinyCritic

__all__ = ["TWINS", "PenaltyAtData", "WrongSign"]


class _CriticsStep(Estimator, abc.ABC):
    """The critic's phase of the game that is played for the Wasserstein distance, and no generator's."""

    requires = (Reparameterized,)
    objective = Objective("wasserstein", "units of the critic", None)
    penalty: GradientPenalty | None = None

    def __init__(self) -> None:
        self._critic: TinyCritic | None = None

    @property
    def claims(self) -> Claims:
        """Unbiased for the game at the critic as it is."""
        brackets = "" if self.penalty is None else "[gradient-penalty]"
        return Claims(value=Unbiased("wasserstein"), gradient={"critic.*": Unbiased(f"grad:wasserstein{brackets}")})

    @property
    def learned(self) -> nn.Module | None:
        """The critic."""
        return self._critic

    def initialize(self, model: Any, batch: Batch) -> None:
        """Build the critic."""
        self._critic = TinyCritic(*model.event_shape).to(batch.x.dtype)

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the critic's phase."""
        parameters = {f"critic.{name}": parameter for name, parameter in parameters_of(self._critic).items()}
        return [Phase("critic", parameters, estimate=self._estimate)]

    def _estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        critic: Any = self._critic
        with torch.no_grad():
            fake = model.rsample((len(batch),))
        value = critic(batch.x) - critic(fake)
        return Estimate(self.loss(critic, value, batch.x), value.detach())

    @abc.abstractmethod
    def loss(self, critic: nn.Module, value: Tensor, real: Tensor) -> Tensor:
        """Return what the critic makes small."""


class WrongSign(_CriticsStep):
    """The critic makes small what it should make large."""

    def loss(self, critic: nn.Module, value: Tensor, real: Tensor) -> Tensor:
        """Return the value itself."""
        return value.mean()


class PenaltyAtData(_CriticsStep):
    """The slope is penalised at the data, though it is said to be between data and draws."""

    penalty = GradientPenalty(weight=10.0)

    def loss(self, critic: nn.Module, value: Tensor, real: Tensor) -> Tensor:
        """Return the value with a minus, and a penalty at the wrong points."""
        with torch.enable_grad():
            points = real.detach().requires_grad_()
            (slope,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
        return 10.0 * (slope.norm(dim=1) - 1).square().mean() - value.mean()


TWINS: dict[str, Callable[[], Estimator]] = {
    "the critic's loss has the wrong sign": WrongSign,
    "the penalty looks at the data": PenaltyAtData,
}

"""Chains that do not leave their distribution invariant, or that keep something to themselves; wrong log-partitions."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from probgen.capabilities import LogPartition
from probgen.claims import LowerBound
from probgen.testing.twins.originals import Machine

__all__ = [
    "AcceptsTooOften",
    "CallsAnUpperBoundALowerOne",
    "FlipsASign",
    "FlipsASignOfMany",
    "ForgetsHalfOfTheEvents",
    "IsALittleTooHot",
    "LosesAPart",
    "MovesInPlace",
    "MovesToProbabilities",
    "NeverMoves",
    "RemembersTheChain",
    "StartsElsewhere",
    "UpdatesAtOnce",
]

State = Mapping[str, Tensor]
Moved = tuple[dict[str, Tensor], dict[str, Tensor]]


class FlipsASign(Machine):
    """Draws hidden units with the opposite bias."""

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Take a step."""
        hidden = torch.bernoulli((state["x"] @ self.weight - self.hidden_bias).sigmoid())
        return {"x": torch.bernoulli((hidden @ self.weight.T + self.visible_bias).sigmoid())}, {}


class FlipsASignOfMany(FlipsASign):
    """Does so with ten visible and eight hidden units."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape = torch.Size([10])
        self.weight = nn.Parameter(torch.linspace(-0.8, 0.9, 80).reshape(10, 8))
        self.visible_bias = nn.Parameter(torch.linspace(-0.5, 0.5, 10))
        self.hidden_bias = nn.Parameter(torch.full((8,), 2.0))


class UpdatesAtOnce(Machine):
    """Draws visible units from the mean of the hidden ones."""

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Take a step."""
        hidden = (state["x"] @ self.weight + self.hidden_bias).sigmoid()
        return {"x": torch.bernoulli((hidden @ self.weight.T + self.visible_bias).sigmoid())}, {}


class AcceptsTooOften(Machine):
    """Proposes to flip the first bit and accepts with the probability of the new event instead of the ratio."""

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Take a step."""
        x = state["x"]
        flipped = torch.cat([1 - x[:, :1], x[:, 1:]], 1)
        accepted = torch.bernoulli((-self.energy(flipped)).exp().clamp(max=1.0))[:, None]
        return {"x": accepted * flipped + (1 - accepted) * x}, {"acceptance": accepted}


class IsALittleTooHot(Machine):
    """Samples at a temperature of 1.001."""

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Take a step."""
        hidden = torch.bernoulli(((state["x"] @ self.weight + self.hidden_bias) / 1.001).sigmoid())
        return {"x": torch.bernoulli(((hidden @ self.weight.T + self.visible_bias) / 1.001).sigmoid())}, {}


class NeverMoves(Machine):
    """Returns its state, which leaves every distribution invariant."""

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Stay."""
        return dict(state), {}


class MovesToProbabilities(Machine):
    """Returns the means of the visible units for their values."""

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Take a step."""
        hidden = torch.bernoulli((state["x"] @ self.weight + self.hidden_bias).sigmoid())
        return {"x": (hidden @ self.weight.T + self.visible_bias).sigmoid()}, {}


class MovesInPlace(Machine):
    """Writes the next state into the last."""

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Take a step."""
        state["x"].copy_(super().step(state, context)[0]["x"])
        return dict(state), {}


class RemembersTheChain(Machine):
    """Goes on from where it was itself, whatever state it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.last: Tensor | None = None

    def step(self, state: State, context: Tensor | None = None) -> Moved:
        """Take a step."""
        last = state["x"] if self.last is None or self.last.shape != state["x"].shape else self.last
        moved = super().step({"x": last}, context)
        self.last = moved[0]["x"]
        return moved


class StartsElsewhere(Machine):
    """Starts its chains at zero instead of at the events given."""

    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return chains."""
        return {"x": torch.zeros_like(x)}


class LosesAPart(Machine):
    """Starts with hidden units in its state and returns none."""

    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return chains."""
        return {"x": x, "hidden": torch.zeros(len(x), 2, dtype=x.dtype)}


class ForgetsHalfOfTheEvents(Machine):
    """Sums over the events whose first bit is zero."""

    def _log_partition(self, context: Tensor | None, num_particles: int) -> LogPartition:
        whole = super()._log_partition(context, num_particles)
        bits = torch.cartesian_prod(*[torch.arange(2.0, dtype=self.weight.dtype)] * 3)
        return LogPartition(torch.logsumexp(-self.energy(bits[:4]), 0), whole.stderr, whole.claim, whole.method)


class CallsAnUpperBoundALowerOne(Machine):
    """Adds the noise of an estimate with the wrong sign of its bias."""

    def _log_partition(self, context: Tensor | None, num_particles: int) -> LogPartition:
        exact = super()._log_partition(context, num_particles).value
        value = exact + 0.3 + 0.2 * torch.randn_like(exact)
        return LogPartition(value, torch.full_like(value, 0.2), LowerBound("log_partition"), "noise")

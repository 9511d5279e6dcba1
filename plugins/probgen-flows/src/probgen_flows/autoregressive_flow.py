"""What the two flows of autoregressive layers share: all but which way is the fast one."""

from __future__ import annotations

from collections.abc import Sequence

from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen_flows.autoregressive import AutoregressiveLayers
from probgen_flows.flow import Flow

__all__ = ["AutoregressiveFlow"]


class AutoregressiveFlow(Flow):
    """A flow whose layers are affine in each number, given the ones before it; a subclass says in which direction they run.

    Args:
        event_shape: Shape of an event.
        context_shape: Shape of a context; None when not conditional.
        support: The reals.
        transforms: Number of layers.
        hidden: Width of each hidden layer of a layer's network.
        activation: Name of the activation.

    Raises:
        SupportError: the support is not the reals.
        ConfigurationError: a size is below 1, or the activation is unknown.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None = None,
        support: Constraint = constraints.real,
        transforms: int = 5,
        hidden: Sequence[int] = (64, 64),
        activation: str = "relu",
    ) -> None:
        super().__init__(
            event_shape=event_shape, context_shape=context_shape, support=support, transforms=transforms, hidden=hidden
        )
        self.layers = AutoregressiveLayers(
            transforms, self.features, context_features=self.context_features, hidden=hidden, activation=activation
        )

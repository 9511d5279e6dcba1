"""The exponential moving average of a model's weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from probgen.errors import ConfigurationError

__all__ = ["WeightAverage"]


class WeightAverage:
    r"""A slow copy of some parameters, $\bar\theta \leftarrow d\,\bar\theta + (1 - d)\,\theta$ after every step.

    Early in training the decay is bounded by $(1 + t) / (10 + t)$ at step $t$, so that the average forgets where it began.

    Args:
        parameters: What is averaged, by name.
        decay: $d$, in [0, 1).

    Raises:
        ConfigurationError: `decay` is out of range.
    """

    def __init__(self, parameters: Mapping[str, nn.Parameter], decay: float) -> None:
        if not 0.0 <= decay < 1.0:
            raise ConfigurationError(f"WeightAverage: expected a decay in [0, 1); got {decay}. Try 0.999.")
        self.decay = decay
        self._parameters = dict(parameters)
        self._shadow = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Move the average towards the present weights; `step` counts from 0."""
        move = get_ema_multi_avg_fn(min(self.decay, (1 + step) / (10 + step)))
        move(list(self._shadow.values()), list(self._parameters.values()), None)

    @torch.no_grad()
    def apply(self) -> None:
        """Overwrite the parameters with their averages."""
        for name, parameter in self._parameters.items():
            parameter.copy_(self._shadow[name])

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the parameters their averaged values inside the block, and their own ones back afterwards."""
        raw = {name: parameter.detach().clone() for name, parameter in self._parameters.items()}
        self.apply()
        try:
            yield
        finally:
            with torch.no_grad():
                for name, parameter in self._parameters.items():
                    parameter.copy_(raw[name])

    def state(self) -> dict[str, Tensor]:
        """Return the averages by parameter name."""
        return dict(self._shadow)

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Continue from saved averages."""
        for name, average in self._shadow.items():
            average.copy_(state[name])

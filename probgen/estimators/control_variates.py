"""Learned control variates for discrete latents: functions of the noise that a draw was made from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.errors import ConfigurationError
from probgen.estimators.learning_signals import influenced_terms
from probgen.latent import LatentTrace, Site
from probgen.nn import MLP

__all__ = ["ControlVariate"]


class ControlVariate(nn.Module):
    r"""A guess $c(\zeta)$ of a site's learning signal, from the relaxed value $\tilde z = \sigma_\tau(\zeta)$ of its draw.

    $$c(\zeta) = \eta f(\tilde z) + r(\tilde z, x)$$

    where $f$ is the signal itself at the relaxed value, and $r$ a network. Temperature $\tau$, scale $\eta$ and network are
    learned.

    Args:
        temperature: $\tau$ at the start.
        scale: $\eta$ at the start.
        hidden: Width of each hidden layer of the network; None for no network.
    """

    def __init__(self, *, temperature: float, scale: float, hidden: Sequence[int] | None) -> None:
        super().__init__()
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature)))
        self.scale = nn.Parameter(torch.tensor(float(scale)))
        self.hidden = None if hidden is None else tuple(hidden)
        self.networks = nn.ModuleList()

    @property
    def temperature(self) -> Tensor:
        r"""$\tau$."""
        return self.log_temperature.exp()

    def build(self, sites: Sequence[Site], batch: Batch) -> None:
        """Build a network for each of the sites, anew each time; its output is zero at first."""
        self.networks = nn.ModuleList()
        if self.hidden is None:
            return
        for site in sites:
            inputs = _inputs(site, batch)
            network = MLP((inputs.shape[-1], *self.hidden, 1))
            nn.init.zeros_(network.get_submodule(str(len(network) - 1)).get_parameter("weight"))
            self.networks.append(network.to(device=inputs.device, dtype=inputs.dtype))

    def forward(self, trace: LatentTrace, site: Site, number: int, batch: Batch) -> Tensor:
        """Return the control variate of a site, the `number`-th of the scored ones, in a run where it is relaxed: `(K, N)`.

        Raises:
            ConfigurationError: there is to be a network, and it was not built.
        """
        value = self.scale * influenced_terms(trace, site)
        if self.hidden is None:
            return value
        if number >= len(self.networks):
            raise ConfigurationError(
                f"RELAX: expected a network for {site.name!r}; got none, since no batch was seen. Call initialize first."
            )
        return value + self.networks[number](_inputs(site, batch)).squeeze(-1)


def _inputs(site: Site, batch: Batch) -> Tensor:
    """Return a site's values beside examples and contexts, `(K, N, D)`."""
    values = site.value.flatten(2) if site.value.ndim > 2 else site.value.unsqueeze(-1)
    parts: list[Any] = [batch.x] if batch.context is None else [batch.x, batch.context]
    rows = [part.reshape(len(batch), -1).to(values.dtype).expand(len(values), -1, -1) for part in parts]
    return torch.cat([values, *rows], -1)

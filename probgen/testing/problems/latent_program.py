r"""Latent-variable models described twice: as the Pyro programs that a user would write, and as laws that can be summed.

Estimators see the programs alone. What they are held against is computed from the laws alone.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from probgen.pyro_pair import PyroPair
from probgen.testing.problems.laws import Law, Space

__all__ = ["Answer", "LatentProgram", "program_of"]

Answer = Callable[[str, Law], Tensor]
"""Gives a site its value, once its law is known."""


class LatentProgram(nn.Module, abc.ABC):
    """A generative and an inference program over named sites.

    Parameters of the generative one are in the submodule `p`, those of the inference one in `q`.

    Attributes:
        latents: The spaces of latent sites, in the guide's order.
        observed: Those of observed sites.
        nodes: Nodes of the quadrature rule for each normal variable; so many that the rule is exact to rounding.
    """

    latents: Mapping[str, Space]
    observed: Mapping[str, Space]
    nodes: int = 20
    p: Any
    q: Any

    def __init__(self) -> None:
        super().__init__()
        self.p, self.q = nn.Module(), nn.Module()

    @abc.abstractmethod
    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Run the generative Pyro program."""

    @abc.abstractmethod
    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Run the inference Pyro program."""

    @abc.abstractmethod
    def generate(self, answer: Answer, context: Tensor | None) -> None:
        """Ask for the value of every site in the model's order, observed ones too."""

    @abc.abstractmethod
    def infer(self, x: Tensor, answer: Answer, context: Tensor | None) -> None:
        """Ask for the value of every latent site in the guide's order; `x` may have further axes in front."""

    def sites_of(self, x: Tensor) -> dict[str, Tensor]:
        """Return the values of the observed sites."""
        (name,) = self.observed
        return {name: x}

    def event_of(self, values: Mapping[str, Tensor]) -> Tensor:
        """Return the `x` whose observed sites have these values."""
        (name,) = self.observed
        return values[name]

    def log_evidence(self, x: Tensor, context: Tensor | None) -> Tensor | None:
        r"""Return $\log p(x)$ in closed form, `(N,)`; None without one."""
        return None

    def pair(self, **options: Any) -> PyroPair:
        """Return the two programs as a user hands them over; parameters are `programs.p.*` and `programs.q.*`."""
        return PyroPair(self.model, self.guide, inference=("programs.q.*",), **options)


def program_of(model: Any) -> LatentProgram:
    """Return the laws that a problem's model has beside its Pyro programs."""
    program: Any = model.programs if isinstance(model, PyroPair) else model
    return program

"""One of several models, at random."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import require
from probgen.compose.parts import alike, chosen_rows, held_by_all, initialized
from probgen.density import Density
from probgen.errors import ConfigurationError
from probgen.sampler import Sampler

__all__ = ["Mixture"]


class Mixture(nn.Module, Density, Sampler):
    r"""A mixture of models of one kind of event, with learned weights.

    $$p(x \mid c) = \sum_j w_j\, p_j(x \mid c), \qquad w = \mathrm{softmax}(\ell)$$

    A `Density` where all components are, a `Sampler` where all are.

    Args:
        components: Models, or distributions of torch and Pyro, with the same shapes and support.
        weights: The weights $w_j > 0$ at the start, up to a factor; None for equal ones.

    Shapes:
        log_prob: as the components'; it evaluates each of them on the whole batch.

    Raises:
        ShapeError: the components differ in shapes or support.
        ConfigurationError: there is none, or the weights are not one positive number for each.

    Example:
        >>> from torch.distributions import Normal
        >>> mixture = Mixture(Normal(-2.0, 1.0), Normal(2.0, 1.0), weights=[3.0, 1.0])
        >>> mixture.log_prob(torch.tensor([-2.0, 2.0])).exp()
        tensor([0.2992, 0.0998], grad_fn=<ExpBackward0>)

    References:
        McLachlan & Peel (2000), Finite Mixture Models.
    """

    def __init__(self, *components: Any, weights: Sequence[float] | None = None) -> None:
        super().__init__()
        models = [as_model(component) for component in components]
        first = alike(models, type(self).__name__)
        start = [1.0] * len(models) if weights is None else list(weights)
        if len(start) != len(models) or min(start) <= 0 or not math.isfinite(sum(start)):
            raise ConfigurationError(
                f"Mixture: expected {len(models)} positive weights; got {start}. Give one for each component."
            )
        self.event_shape, self.context_shape, self.support = first.event_shape, first.context_shape, first.support
        self.components = nn.ModuleList(models)  # pyright: ignore[reportArgumentType]  # models are modules
        self.logits = nn.Parameter(torch.tensor(start).log())

    @property
    def weights(self) -> Tensor:
        """The weights of the components, `(J,)`, which sum to one."""
        return self.logits.softmax(0)

    def initialize(self, batch: Batch) -> None:
        """Let every component prepare itself for the data."""
        initialized(self._models, batch)

    def responsibilities(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return how probable it is that each event came from each component, `(..., *event_shape) -> (..., J)`."""
        scores = torch.stack([part.log_prob(x, context) for part in self._densities("responsibilities")], -1)
        return (scores + self.logits.log_softmax(0)).softmax(-1)

    @property
    def _models(self) -> list[Any]:
        return list(self.components)

    def _densities(self, method: str) -> list[Any]:
        for part in self._models:
            require(part, Density, for_what=f"Mixture.{method}")
        return self._models

    def _capabilities(self) -> frozenset[type]:
        return held_by_all((Density, Sampler), self._models)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        scores = torch.stack([part.log_prob(x, context) for part in self._densities("log_prob")], -1)
        return torch.logsumexp(scores + self.logits.log_softmax(0), -1)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        choice = torch.multinomial(self.weights, n, replacement=True)
        rows_of = chosen_rows(choice, len(self.components))
        draws = []
        for part, rows in zip(self._models, rows_of, strict=True):
            require(part, Sampler, for_what="Mixture.sample")
            draws.append(part.sample((len(rows),)) if context is None else part.sample((), context[rows]))
        return torch.cat(draws)[torch.cat(rows_of).argsort()]

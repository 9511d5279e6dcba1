"""One of several models, as a label says."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import Reparameterized, require
from probgen.compose.parts import alike, chosen_rows, held_by_all
from probgen.density import Density
from probgen.errors import ShapeError
from probgen.sampler import Sampler

__all__ = ["Conditional"]


class Conditional(nn.Module, Density, Reparameterized):
    r"""A model for each label: $p(x \mid c) = p_c(x)$, where the context is one-hot.

    It makes any family class-conditional, at the price of a model for each class. Has those of `Density`, `Sampler` and
    `Reparameterized` that all its models have.

    Args:
        models: Models, or distributions of torch and Pyro, one for each label, with the same shapes and
            support and without context.

    Shapes:
        context: `(..., L)`, one-hot; the largest entry decides.
        log_prob: `(..., *event_shape), (..., L) -> (...)`; it evaluates each of the models on the whole batch.

    Raises:
        ShapeError: the models differ, or one is conditional itself.

    Example:
        >>> from torch.distributions import Normal
        >>> by_label = Conditional(Normal(0.0, 1.0), Normal(5.0, 1.0))
        >>> by_label.log_prob(torch.tensor(5.0), torch.eye(2)).exp()
        tensor([1.4867e-06, 3.9894e-01])
    """

    def __init__(self, *models: Any) -> None:
        super().__init__()
        parts = [as_model(model) for model in models]
        first = alike(parts, type(self).__name__)
        if first.context_shape is not None:
            raise ShapeError(
                f"Conditional: expected models without context; got ones with contexts {tuple(first.context_shape)}. "
                "Such a model is conditional already."
            )
        self.event_shape, self.support = first.event_shape, first.support
        self.context_shape = torch.Size([len(parts)])
        self.models = nn.ModuleList(parts)  # pyright: ignore[reportArgumentType]  # models are modules

    def initialize(self, batch: Batch) -> None:
        """Let each model prepare itself for the examples of its label; one that has none waits."""
        if batch.context is None:
            return
        for part, rows in zip(self._models, chosen_rows(batch.context.argmax(-1), len(self.models)), strict=True):
            if len(rows):
                part.initialize(Batch(batch.x[rows]))

    @property
    def _models(self) -> list[Any]:
        return list(self.models)

    def _capabilities(self) -> frozenset[type]:
        return held_by_all((Density, Sampler, Reparameterized), self._models)

    def _checked(self, capability: type, method: str) -> list[Any]:
        for part in self._models:
            require(part, capability, for_what=f"Conditional.{method}")
        return self._models

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        scores = torch.stack([part.log_prob(x) for part in self._checked(Density, "log_prob")], -1)
        return scores.gather(-1, _labels(context)[:, None])[:, 0]

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        rows_of = chosen_rows(_labels(context), len(self.models))
        draws = [part.sample((len(rows),)) for part, rows in zip(self._checked(Sampler, "sample"), rows_of, strict=True)]
        return torch.cat(draws)[torch.cat(rows_of).argsort()]

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        draws = torch.stack([part.rsample((n,)) for part in self._checked(Reparameterized, "rsample")])
        return draws[_labels(context), torch.arange(n, device=draws.device)]


def _labels(context: Tensor | None) -> Tensor:
    return context.argmax(-1)  # pyright: ignore[reportOptionalMemberAccess]  # conditional: the base has checked

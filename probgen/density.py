"""The first noun: a `Density` can score."""

from __future__ import annotations

import abc
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.distributions import constraints

from probgen.errors import ShapeError
from probgen.shapes import Model
from probgen.supports import inside

if TYPE_CHECKING:
    from pyro.distributions import TorchDistribution

__all__ = ["Density"]


class Density(Model, contract=True):
    r"""A normalised density, or mass function, over events.

    $$\int p(x \mid c)\,\mathrm{d}x = 1$$

    It sums or integrates to one, or it is not a `Density` (see `UnnormalizedDensity`). Outside its support the density is
    zero, and `log_prob` is $-\infty$ there. NaN is in no support; but real numbers are not looked at one by one, so that a
    NaN among them gives NaN, as all of torch's arithmetic does. `as_source` refuses data that hold one.

    Implementing a density:
        - set `event_shape`, `context_shape` (None when not conditional) and `support`;
        - write `_log_prob(x, context)` for a flat batch: `(N, *event_shape), (N, *context_shape) -> (N,)`, in nats.

    Everything else is done here: checking, broadcasting, flattening, restoring, and `given` for Pyro programs.

    Shapes:
        log_prob: `(..., *event_shape), (..., *context_shape) -> (...)`; the batch dimensions broadcast from the right.

    Example:
        >>> from probgen import as_model
        >>> standard = as_model(torch.distributions.Normal(0.0, 1.0))
        >>> standard.log_prob(torch.zeros(3, 2)).shape
        torch.Size([3, 2])
    """

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return $\log p(x \mid c)$ in nats, one number per event.

        Raises:
            ShapeError: the last axes of `x` or `context` are not the event's or the context's shape, the batch dimensions
                do not broadcast, a context is missing or superfluous, or the model cannot compute with the type of `x`.
        """
        flat_x, flat_context, shape = self._flat_events(x, context, "log_prob")
        scores = self._scored(self._log_prob, flat_x, flat_context, "log_prob")
        if scores.shape != flat_x.shape[:1]:
            raise ShapeError(
                f"{type(self).__name__}._log_prob: expected one number for each event, of shape {tuple(flat_x.shape[:1])}; "
                f"got shape {tuple(scores.shape)}. Sum over the event's entries, not over the batch."
            )
        if self.support is not constraints.real:
            scores = torch.where(inside(self.support, flat_x, len(self.event_shape)), scores, -torch.inf)
        return scores.reshape(shape)

    @abc.abstractmethod
    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Score a flat batch: `(N, *event_shape), (N, *context_shape) | None -> (N,)`."""

    def given(self, context: Tensor | None = None) -> TorchDistribution:
        """Return the density at this `context` as a Pyro distribution.

        This is how models compose with each other and with Pyro programs: `pyro.sample("x", decoder.given(z), obs=x)` works
        with a PixelCNN or a flow as it does with a Normal. Batch dimensions of the context become its `batch_shape`.
        It draws when the model is a `Sampler`, with gradients when the model is `Reparameterized`.
        """
        from probgen.pyro_bridge import Given

        return Given(self, context)

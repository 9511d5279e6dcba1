"""Our densities as Pyro distributions, and torch's distributions as Pyro's."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import pyro.distributions
import torch
from pyro.distributions import TorchDistribution
from pyro.distributions.torch_distribution import TorchDistributionMixin
from torch import Tensor
from torch.distributions import constraints

from probgen.capabilities import Enumerable, Reparameterized, capabilities, require
from probgen.errors import CapabilityError
from probgen.sampler import Sampler

if TYPE_CHECKING:
    from probgen.density import Density

__all__ = ["Given", "as_pyro"]


class Given(TorchDistribution):
    r"""The conditional $p(\cdot \mid c)$ of a `Density` at a fixed context $c$, as a Pyro distribution.

    It stands in a `pyro.sample` statement like any other distribution, inside plates, drawn or observed. Where drawing and
    scoring together is cheaper than one after the other (an inverse autoregressive flow), the joint call is used, and
    `log_prob` of the very tensor that was drawn last costs nothing.

    Args:
        model: A `Density`; it draws when it is also a `Sampler`, with gradients when it is `Reparameterized`.
        context: What to condition on, `(*batch_shape, *context_shape)`; None for a model that is not conditional.

    Shapes:
        batch_shape: the batch dimensions of the context, `()` without one.

    Example:
        >>> import torch, pyro
        >>> from probgen import as_model
        >>> standard = as_model(torch.distributions.Normal(0.0, 1.0))
        >>> Given(standard, None).expand((3,)).log_prob(torch.zeros(3)).shape
        torch.Size([3])
    """

    arg_constraints: ClassVar[dict[str, Any]] = {}  # pyright: ignore[reportIncompatibleMethodOverride]

    def __init__(self, model: Density, context: Tensor | None = None) -> None:
        self._set_up(model, context, model._context_batch(context, f"{type(model).__name__}.given"))

    def _set_up(self, model: Density, context: Tensor | None, batch_shape: torch.Size) -> None:
        held = capabilities(model)
        self.model = model
        self.context = context
        self.has_rsample = Reparameterized in held
        self.has_enumerate_support = Enumerable in held
        self._drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(batch_shape, model.event_shape)

    @property
    def support(self) -> constraints.Constraint:
        """The model's support as a constraint on whole events."""
        inner = self.model.support
        return constraints.independent(inner, max(0, self.event_dim - inner.event_dim))

    def expand(self, batch_shape: Sequence[int], _instance: Any = None) -> Given:
        """Return the distribution with its batch dimensions expanded to `batch_shape`."""
        batch_shape = torch.Size(batch_shape)
        context = None if self.context is None else self.context.expand(*batch_shape, *(self.model.context_shape or ()))
        expanded = Given.__new__(Given)
        expanded._set_up(self.model, context, batch_shape)
        return expanded

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return draws with gradients, `(*sample_shape, *batch_shape, *event_shape)`.

        Raises:
            CapabilityError: the model is not `Reparameterized`.
        """
        require(self.model, Reparameterized, for_what=f"{type(self.model).__name__}.given(…).rsample")
        draws, scores = self.model.rsample_and_log_prob(self._draws(sample_shape), self.context)  # pyright: ignore
        self._drawn = draws, scores
        return draws

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Return draws without gradients, `(*sample_shape, *batch_shape, *event_shape)`.

        Raises:
            CapabilityError: the model is no `Sampler`.
        """
        require(self.model, Sampler, for_what=f"{type(self.model).__name__}.given(…).sample")
        return self.model.sample(self._draws(sample_shape), self.context)  # pyright: ignore[reportAttributeAccessIssue]

    def log_prob(self, value: Tensor) -> Tensor:
        """Return the log-density of `value` in nats; free for the tensor that `rsample` returned last.

        As in all of torch's distributions, whether `value` lies in the support is looked at while validation is on: it has
        log-density minus infinity where it does not.
        """
        if self._drawn is not None and value is self._drawn[0]:
            return self._drawn[1]
        if self._validate_args:
            scores = self.model.log_prob(value, self.context)
        else:
            flat_value, flat_context, shape = self.model._flat_events(value, self.context, "log_prob")
            scores = self.model._log_prob(flat_value, flat_context).reshape(shape)
        if self.context is not None or not self.batch_shape:
            return scores
        return scores.expand(torch.broadcast_shapes(scores.shape, self.batch_shape))

    def enumerate_support(self, expand: bool = True) -> Tensor:  # noqa: FBT001, FBT002  (torch's signature)
        """Return every event along a new first axis, `(S, *batch_shape, *event_shape)`; batch axes of 1 unless `expand`."""
        require(self.model, Enumerable, for_what=f"{type(self.model).__name__}.given(…).enumerate_support")
        events: Tensor = self.model.enumerate_support()  # pyright: ignore[reportAttributeAccessIssue]
        events = events.reshape(-1, *(1 for _ in self.batch_shape), *self.event_shape)
        return events.expand(-1, *self.batch_shape, *self.event_shape) if expand else events

    def _draws(self, sample_shape: Sequence[int]) -> tuple[int, ...]:
        """Return the sample shape to ask of the model, which knows the batch only through the context."""
        return tuple(sample_shape) if self.context is not None else (*sample_shape, *self.batch_shape)


def as_pyro(distribution: torch.distributions.Distribution) -> Any:
    """Return a `torch.distributions` object as Pyro's subclass of the same name, with the same parameters.

    Pyro's handlers expand a distribution in a plate, and draw from it, through methods that torch's own classes lack.

    Raises:
        CapabilityError: Pyro has no subclass for its type.
    """
    if isinstance(distribution, TorchDistributionMixin):
        return distribution
    pyro_class = getattr(pyro.distributions, type(distribution).__name__, None)
    if pyro_class is None or not issubclass(pyro_class, type(distribution)):
        raise CapabilityError(
            f"as_pyro: expected a distribution that Pyro knows; got {type(distribution).__name__}. "
            "Derive it from pyro.distributions.TorchDistribution."
        )
    if "__init__" in vars(pyro_class):
        arguments = {name: getattr(distribution, name) for name in distribution.arg_constraints}
        return pyro_class(**arguments, validate_args=distribution._validate_args)
    # The other subclasses add methods and no state: a copy under the other class holds the same tensors, whatever the
    # constructor made of its arguments (probs or logits, one of three forms of a covariance).
    adapted: Any = copy.copy(distribution)
    if isinstance(distribution, torch.distributions.Independent):
        adapted.base_dist = as_pyro(distribution.base_dist)
        adapted.__dict__.pop("_validate_args", None)  # Pyro's Independent asks its base
    adapted.__class__ = pyro_class
    return adapted

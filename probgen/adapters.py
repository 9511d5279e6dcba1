"""Distributions of torch and Pyro as models."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, Transform, constraints
from torch.distributions.constraints import Constraint

from probgen.capabilities import Enumerable, Reparameterized, capabilities
from probgen.density import Density
from probgen.errors import CapabilityError, ShapeError
from probgen.sampler import Sampler
from probgen.shapes import Model
from probgen.supports import inside

__all__ = ["DistributionModel", "as_model"]

_LARGEST_ENUMERATION = 4096


def as_model(part: Any) -> Model:
    """Return `part` as a model: a model as it is, a `torch.distributions` or Pyro object through an adapter.

    Raises:
        CapabilityError: `part` is neither.
        ShapeError: the distribution has batch dimensions.

    Example:
        >>> coin = as_model(torch.distributions.Bernoulli(0.3))
        >>> coin.log_prob(torch.tensor([0.0, 1.0])).exp()
        tensor([0.7000, 0.3000])
        >>> coin.enumerate_support()
        tensor([0., 1.])
    """
    if isinstance(part, Model):
        return part
    if isinstance(part, Distribution):
        return DistributionModel(part)
    raise CapabilityError(
        f"as_model: expected a model or a torch.distributions object; got {type(part).__name__}. "
        "Derive it from Density or Sampler."
    )


class DistributionModel(nn.Module, Density, Reparameterized, Enumerable):
    """A fixed distribution as a model that moves with `.to(…)`; what it can do depends on the distribution.

    It is a `Density` and a `Sampler`, `Reparameterized` where the distribution has `rsample`, and `Enumerable` where it
    lists its support and that has at most 4096 events. `given()` returns the distribution itself, as Pyro's, so that
    closed-form divergences apply.

    Args:
        distribution: A `torch.distributions` or Pyro object without batch dimensions.

    Raises:
        ShapeError: it has batch dimensions.
        CapabilityError: one of its tensors is to be learned; it would not be found among the parameters of a module.
    """

    def __init__(self, distribution: Distribution) -> None:
        super().__init__()
        name = type(distribution).__name__
        if distribution.batch_shape:
            raise ShapeError(
                f"as_model: expected a {name} without batch dimensions; got batch_shape {tuple(distribution.batch_shape)}. "
                f"Use torch.distributions.Independent({name.lower()}, {len(distribution.batch_shape)})."
            )
        if _learns(distribution):
            raise CapabilityError(
                f"as_model: expected a fixed {name}; got one whose tensors require gradients. "
                "Write a Density with nn.Parameters, whose given() returns the distribution, or detach them."
            )
        # Outside its support a density is zero here, whereas a distribution that checks its arguments raises.
        self.distribution = _mapped(distribution, lambda tensor: tensor)
        self.event_shape = distribution.event_shape
        self.context_shape = None
        self.support = _entrywise(distribution.support)
        self._events = _enumerated(self.distribution)

    def given(self, context: Tensor | None = None) -> Any:
        """Return the distribution as Pyro's own, or wrapped where Pyro does not know its type."""
        from probgen.pyro_bridge import as_pyro

        self._context_batch(context, f"{type(self).__name__}.given")
        try:
            return as_pyro(self.distribution)
        except CapabilityError:
            return super().given(context)

    def enumerate_support(self) -> Tensor:
        """Return every event once, `(S, *event_shape)`.

        Raises:
            CapabilityError: the distribution lists no support, or one of more than 4096 events.
        """
        if self._events is None:
            raise CapabilityError(
                f"as_model({type(self.distribution).__name__}).enumerate_support: expected one that lists at most "
                f"{_LARGEST_ENUMERATION} events; got another. Draw from it instead."
            )
        return self._events

    def extra_repr(self) -> str:
        """Return the distribution's own description."""
        return repr(self.distribution)

    def _capabilities(self) -> frozenset[type]:
        held: set[type] = {Density, Sampler}
        if self.distribution.has_rsample and not self.support.is_discrete:  # a straight-through rsample is none
            held.add(Reparameterized)
        if self._events is not None:
            held.add(Enumerable)
        return frozenset(held)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        if self._events is not None:  # scores are looked up by the value, which must then be one that exists
            known = inside(self.support, x, len(self.event_shape)).reshape(-1, *(1 for _ in self.event_shape))
            x = torch.where(known, x, self._events[0])
        if not len(x):  # Independent cannot add up the entries of no events
            return torch.zeros(0, dtype=x.dtype if x.is_floating_point() else None, device=x.device)
        return self.distribution.log_prob(x)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self.distribution.sample(torch.Size([n]))

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        if Reparameterized not in capabilities(self):
            raise CapabilityError(
                f"as_model({type(self.distribution).__name__}).rsample: expected a reparameterised distribution; got one "
                "without rsample. Use sample, or a continuous relaxation."
            )
        return self.distribution.rsample(torch.Size([n]))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DistributionModel:  # noqa: FBT001, FBT002
        """Move the distribution's tensors as torch moves parameters and buffers."""
        super()._apply(fn, recurse)
        self.distribution = _mapped(self.distribution, fn)
        self._events = None if self._events is None else fn(self._events)
        return self


def _entrywise(support: Constraint | None) -> Constraint:
    """Return the constraint on an entry: what `Independent` and mixtures wrap around that of their parts is taken off."""
    wrappers = (type(constraints.independent(constraints.real, 1)), constraints.MixtureSameFamilyConstraint)
    while isinstance(support, wrappers):
        support = support.base_constraint
    return constraints.real if support is None else support


def _enumerated(distribution: Distribution) -> Tensor | None:
    """Return the events of a distribution that lists few enough of them."""
    if not distribution.has_enumerate_support:
        return None
    try:
        events = distribution.enumerate_support()
    except NotImplementedError:  # Independent says that it can whenever its base can
        return None
    return events if len(events) <= _LARGEST_ENUMERATION else None


def _learns(part: Any) -> bool:
    """Whether a distribution, or anything that it is made of, holds something to be learned."""
    found = False

    def look(tensor: Tensor) -> Tensor:
        nonlocal found
        found = found or tensor.requires_grad
        return tensor

    _mapped(part, look)
    return found


def _mapped(part: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """Return a copy of a distribution with every tensor inside changed, which leaves the checking of arguments to us."""
    if isinstance(part, Tensor):
        return change(part)
    if type(part) in (list, tuple):
        return type(part)(_mapped(item, change) for item in part)
    if isinstance(part, nn.Module):  # a learned transform of Pyro's; it cannot be copied tensor by tensor
        for parameter in part.parameters():
            change(parameter)
        return part
    if isinstance(part, Transform):
        return _mapped_transform(part, change)
    if not isinstance(part, Distribution):
        return part
    mapped = copy.copy(part)
    for name, value in vars(part).items():
        mapped.__dict__[name] = _mapped(value, change)
    mapped._validate_args = False
    return mapped


def _mapped_transform(part: Transform, change: Callable[[Tensor], Tensor]) -> Transform:
    if isinstance(part, type(Transform().inv)):
        return _mapped_transform(part.inv, change).inv
    # Not copy.copy, which recurses without end under Pyro's patch of transforms. What they remember stays behind: the other
    # direction, which points back here, and the last values.
    memory = {"_inv": None, "_cached_x_y": (None, None)}
    mapped = object.__new__(type(part))
    mapped.__dict__.update({name: _mapped(value, change) for name, value in vars(part).items() if name not in memory})
    mapped.__dict__.update(memory)
    return mapped

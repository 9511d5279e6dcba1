"""What a model can do beyond scoring and drawing, as types that instances hold.

Ask `capabilities(model)`, never `isinstance`: a wrapper has the powers of its parts, and an RBM small enough to enumerate
has more of them than a large one. A power that is lacking is an absent type; a method called without it raises
`CapabilityError`.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import constraints

from probgen.density import Density
from probgen.dynamics import MarkovKernel, NoiseProcess
from probgen.errors import CapabilityError
from probgen.latent import LatentVariable
from probgen.sampler import Sampler
from probgen.shapes import Model, batch_shape_of
from probgen.supports import inside

if TYPE_CHECKING:
    from probgen.claims import Claim

__all__ = [
    "Autoencoder",
    "Autoregressive",
    "BoundedLikelihood",
    "Enumerable",
    "Invertible",
    "LatentVariable",
    "LogPartition",
    "MarkovKernel",
    "NoiseProcess",
    "Reparameterized",
    "UnnormalizedDensity",
    "capabilities",
    "capability_names",
    "require",
]


class Reparameterized(Sampler, contract=True):
    r"""A sampler whose draws carry gradients: $x = g_\theta(\varepsilon, c)$ with $\varepsilon$ free of $\theta$.

    Write `_rsample(n, context)`; `_sample` then comes with it. Where scoring one's own draw is cheaper than scoring any
    other event (the inverse of an autoregressive flow), a `Density` also overrides `_rsample_and_log_prob`: estimators and
    `given` use the joint call.
    """

    def rsample(self, sample_shape: Sequence[int] = (), context: Tensor | None = None) -> Tensor:
        """Return draws with gradients, of shape `sample_shape + batch_shape + event_shape`."""
        n, flat_context, shape = self._flat_draws(sample_shape, context, "rsample")
        return self._rsample(n, flat_context).reshape((*shape, *self.event_shape))

    def rsample_and_log_prob(self, sample_shape: Sequence[int] = (), context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return draws with gradients and their log-densities, shapes `(..., *event_shape)` and `(...)`.

        Raises:
            CapabilityError: the model is no `Density`.
        """
        require(self, Density, for_what=f"{type(self).__name__}.rsample_and_log_prob")
        n, flat_context, shape = self._flat_draws(sample_shape, context, "rsample_and_log_prob")
        draws, scores = self._rsample_and_log_prob(n, flat_context)
        return draws.reshape((*shape, *self.event_shape)), scores.reshape(shape)

    @abc.abstractmethod
    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        """Draw a flat batch with gradients: `n, (n, *context_shape) | None -> (n, *event_shape)`."""

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self._rsample(n, context)

    def _rsample_and_log_prob(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        draws = self._rsample(n, context)
        return draws, self._log_prob(draws, context)  # type: ignore[attr-defined]  # `require` saw a Density


@dataclasses.dataclass(frozen=True, eq=False)
class LogPartition:
    r"""What is known of $\log Z$, in nats: one number for each context.

    Args:
        value: The number, `(*batch)`; a scalar for a model without context.
        stderr: Its standard error, shaped as `value`; zero where it is exact.
        claim: What it is in relation to `log_partition`: `Exact`, or `LowerBound` in expectation, say.
        method: How it was found, a phrase that a report can print.
    """

    value: Tensor
    stderr: Tensor
    claim: Claim
    method: str


class UnnormalizedDensity(Model, contract=True):
    r"""A density known up to a constant: $p(x \mid c) = e^{-E(x, c)} / Z(c)$.

    Write `_energy(x, context)` for a flat batch, and `_log_partition` where there is an estimate of $\log Z(c)$.
    """

    def energy(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return $E(x, c)$ in nats, `(..., *event_shape), (..., *context_shape) -> (...)`."""
        flat_x, flat_context, shape = self._flat_events(x, context, "energy")
        return self._scored(self._energy, flat_x, flat_context, "energy").reshape(shape)

    @torch.no_grad()
    def log_partition(self, context: Tensor | None = None, *, num_particles: int = 500) -> LogPartition:
        r"""Return $\log Z(c)$ or an estimate of it, without gradients, with its standard error and what it is.

        Args:
            context: What to condition on, `(*batch, *context_shape)`; None for a model that is not conditional.
            num_particles: How many draws an estimate is made of.

        Raises:
            CapabilityError: the model has no estimate of it.
        """
        shape = self._context_batch(context, f"{type(self).__name__}.log_partition")
        found = self._log_partition(self._flat_context(context, shape), num_particles)
        return dataclasses.replace(found, value=found.value.reshape(shape), stderr=found.stderr.reshape(shape))

    @abc.abstractmethod
    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the energy of a flat batch, `(N,)`."""

    def _log_partition(self, context: Tensor | None, num_particles: int) -> LogPartition:
        """Estimate the log-partition for each row of `context`, `(N,)`, or once where there is none."""
        raise CapabilityError(
            f"{type(self).__name__}.log_partition: expected a model that estimates its log-partition; got one that knows "
            "its energy alone. Judge its samples instead."
        )


class BoundedLikelihood(Model, contract=True):
    r"""A model whose $\log p(x \mid c)$ is bounded, on one side, by something that can be computed or estimated.

    `bound_claim` says what the number of `log_prob_bound` is: `LowerBound("log_prob")`, say.
    """

    @property
    @abc.abstractmethod
    def bound_claim(self) -> Claim:
        """What `log_prob_bound` returns in relation to `log_prob`."""

    def log_prob_bound(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the bound in nats, `(..., *event_shape), (..., *context_shape) -> (...)`; it may be random."""
        flat_x, flat_context, shape = self._flat_events(x, context, "log_prob_bound")
        return self._scored(self._log_prob_bound, flat_x, flat_context, "log_prob_bound").reshape(shape)

    @abc.abstractmethod
    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the bound for a flat batch, `(N,)`."""


class Enumerable(Model, contract=True):
    """A model with few enough events to list them all."""

    @abc.abstractmethod
    def enumerate_support(self) -> Tensor:
        """Return every event once, `(S, *event_shape)`."""


class Invertible(Model, contract=True):
    r"""A bijection between events and noise, $z = f(x; c)$, with the log-determinant of its Jacobian.

    Write `_transform(x, context)` and `_inverse(z, context)` for flat batches; noise has the shape of an event.
    """

    def transform(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Return $z$, shaped as the events, and $\log|\det \partial z / \partial x|$ of shape `(...)`.

        Shapes:
            `(..., *event_shape), (..., *context_shape) -> (..., *event_shape), (...)`.

        Raises:
            ShapeError: `x` or `context` does not end in its shape, or their batch dimensions do not broadcast.
        """
        flat_x, flat_context, shape = self._flat_events(x, context, "transform")
        z, log_det = self._scored(self._transform, flat_x, flat_context, "transform")
        return z.reshape((*shape, *self.event_shape)), log_det.reshape(shape)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Return $x$, shaped as the noise, and $\log|\det \partial x / \partial z|$ of shape `(...)`.

        Shapes:
            `(..., *event_shape), (..., *context_shape) -> (..., *event_shape), (...)`.

        Raises:
            ShapeError: `z` or `context` does not end in its shape, or their batch dimensions do not broadcast.
        """
        batch_shape_of(z, self.event_shape, f"{type(self).__name__}.inverse", "z")  # the message should not speak of x
        flat_z, flat_context, shape = self._flat_events(z, context, "inverse")
        x, log_det = self._scored(self._inverse, flat_z, flat_context, "inverse")
        return x.reshape((*shape, *self.event_shape)), log_det.reshape(shape)

    @abc.abstractmethod
    def _transform(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Turn a flat batch of events into noise: `(N, *event_shape) -> (N, *event_shape), (N,)`."""

    @abc.abstractmethod
    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Turn a flat batch of noise into events: `(N, *event_shape) -> (N, *event_shape), (N,)`."""


class Autoencoder(Model, contract=True):
    """A model with a code for each event and a way back, for reconstructions and walks between codes.

    Both methods work on a flat batch and give one answer, a mean where there is a distribution.
    """

    @abc.abstractmethod
    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the code of each event: `(N, *event_shape), (N, *context_shape) -> (N, *code_shape)`."""

    @abc.abstractmethod
    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the expected event of each code: `(N, *code_shape), (N, *context_shape) -> (N, *event_shape)`."""


class Autoregressive(Density, contract=True):
    r"""A density that is a product of conditionals, one for each entry of the event, in a fixed order.

    $$\log p(x \mid c) = \sum_{d=1}^{D} \log p(x_{o_d} \mid x_{o_1}, \dots, x_{o_{d-1}}, c)$$

    Write `order` and `_log_prob_terms(x, context)` for a flat batch; `_log_prob` then comes with them.
    """

    @property
    @abc.abstractmethod
    def order(self) -> Tensor:
        """The entries $o_1, …, o_D$ of the flattened event in the order in which they are drawn, `(D,)` of int64."""

    def log_prob_terms(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return each entry's conditional log-probability: `(..., *event_shape), (..., *context_shape) -> (..., D)`.

        The entries are those of the flattened event, in the event's own order, not in the order of drawing; their terms add
        up to `log_prob`. All are $-\infty$ where the event is outside the support.

        Raises:
            ShapeError: as `log_prob` does.
        """
        flat_x, flat_context, shape = self._flat_events(x, context, "log_prob_terms")
        terms = self._scored(self._log_prob_terms, flat_x, flat_context, "log_prob_terms")
        if self.support is not constraints.real:
            terms = torch.where(inside(self.support, flat_x, len(self.event_shape)).unsqueeze(-1), terms, -torch.inf)
        return terms.reshape((*shape, terms.shape[-1]))

    @abc.abstractmethod
    def _log_prob_terms(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Score each entry of a flat batch given those before it: `(N, *event_shape), (N, *context_shape) -> (N, D)`."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._log_prob_terms(x, context).sum(-1)


def capabilities(model: Any) -> frozenset[type]:
    """Return the contracts that this *instance* fulfils; nothing for an object that is no model.

    Example:
        >>> import torch
        >>> from probgen import as_model
        >>> capability_names(as_model(torch.distributions.Poisson(3.0)))
        ['Density', 'Sampler']
    """
    return model._capabilities() if isinstance(model, Model) else frozenset()


def capability_names(model: Any) -> list[str]:
    """Return the names of `capabilities(model)`, in alphabetical order."""
    return sorted(contract.__name__ for contract in capabilities(model))


def require(model: Any, *needed: type, for_what: str) -> None:
    """Check that `model` has every capability in `needed`.

    Raises:
        CapabilityError: one is missing; the message says which, and what the model can do.
    """
    held = capabilities(model)
    missing = [contract.__name__ for contract in needed if contract not in held]
    if missing:
        able = ", ".join(capability_names(model)) or "no model at all (as_model adapts distributions)"
        raise CapabilityError(
            f"{for_what}: expected a model that is {' and '.join(missing)}; got {type(model).__name__}, which is {able}. "
            "Choose another model, or wrap this one."
        )

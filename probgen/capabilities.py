"""What a model can do beyond scoring and drawing, as types that instances hold.

Ask `capabilities(model)`, never `isinstance`: a wrapper has the powers of its parts, and an RBM small enough to enumerate
has more of them than a large one. A power that is lacking is an absent type; a method called without it raises
`CapabilityError`.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from probgen.density import Density
from probgen.errors import CapabilityError
from probgen.latent import LatentVariable
from probgen.sampler import Sampler
from probgen.shapes import Model

if TYPE_CHECKING:
    from probgen.claims import Claim

__all__ = [
    "Autoencoder",
    "BoundedLikelihood",
    "Enumerable",
    "Invertible",
    "LatentVariable",
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


class UnnormalizedDensity(Model, contract=True):
    r"""A density known up to a constant: $p(x \mid c) = e^{-E(x, c)} / Z(c)$.

    Write `_energy(x, context)` for a flat batch.
    """

    def energy(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return $E(x, c)$ in nats, `(..., *event_shape), (..., *context_shape) -> (...)`."""
        flat_x, flat_context, shape = self._flat_events(x, context, "energy")
        return self._energy(flat_x, flat_context).reshape(shape)

    @abc.abstractmethod
    def _energy(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the energy of a flat batch, `(N,)`."""


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
        return self._log_prob_bound(flat_x, flat_context).reshape(shape)

    @abc.abstractmethod
    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the bound for a flat batch, `(N,)`."""


class Enumerable(Model, contract=True):
    """A model with few enough events to list them all."""

    @abc.abstractmethod
    def enumerate_support(self) -> Tensor:
        """Return every event once, `(S, *event_shape)`."""


class Invertible(Model, contract=True):
    r"""A bijection between events and noise, $z = f(x; c)$, with the log-determinant of its Jacobian."""

    @abc.abstractmethod
    def transform(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Return $z$, shaped as `x`, and $\log|\det \partial z / \partial x|$ of shape `(...)`."""

    @abc.abstractmethod
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""Return $x$, shaped as `z`, and $\log|\det \partial x / \partial z|$ of shape `(...)`."""


class MarkovKernel(Model, contract=True):
    """A Markov chain that leaves the model's distribution invariant, or approaches it with a stated bias.

    The state is a dict of tensors, so that an estimator can carry it (persistent chains) and a checkpoint hold it.
    """

    @abc.abstractmethod
    def init(self, x: Tensor, context: Tensor | None = None) -> dict[str, Tensor]:
        """Return the state of $N$ chains that start at the events `x`, `(N, *event_shape)`; the key `"x"` holds them."""

    @abc.abstractmethod
    def step(
        self, state: Mapping[str, Tensor], context: Tensor | None = None
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Move every chain by one step; return the next state and diagnostics (acceptance, say), nothing in place."""


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


class NoiseProcess(Model, contract=True):
    r"""A forward process that turns events into noise over $t \in [0, 1]$, and a denoiser that learned to undo it.

    $$x_t = \alpha_t x_0 + \sigma_t \varepsilon, \qquad \varepsilon \sim \mathcal{N}(0, I)$$
    """

    @abc.abstractmethod
    def schedule(self, t: Tensor) -> tuple[Tensor, Tensor]:
        r"""Return $\alpha_t$ and $\sigma_t$, each shaped as `t`."""

    @abc.abstractmethod
    def denoise(self, x_t: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Return the predicted noise $\hat\varepsilon(x_t, t, c)$, shaped as `x_t`; `t` is `(N,)`."""


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

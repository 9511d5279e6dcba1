"""The variational autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any, Literal, Self

import pyro
import torch
from torch import Tensor, nn
from torch.distributions import Independent, Normal, constraints
from torch.distributions.constraints import Constraint

from probgen import Autoencoder, Batch, BoundedLikelihood, Density, LatentVariable, Sampler, run_pair
from probgen.capabilities import require
from probgen.claims import LowerBound
from probgen.errors import ConfigurationError, ShapeError
from probgen.plugin import resolve
from probgen_latent.likelihoods import Decoder, choose
from probgen_latent.networks import DecoderNetwork, EncoderNetwork
from probgen_latent.posterior import DiagonalGaussian

__all__ = ["VAE"]


class VAE(nn.Module, LatentVariable, Sampler, BoundedLikelihood, Autoencoder):
    r"""Variational autoencoder: a latent code decoded by a network, inferred by another.

    $$p(x, z \mid c) = p(z)\, p(x \mid z, c), \qquad q(z \mid x, c) = q(z \mid h(x, c))$$

    Prior and posterior may be any models: a flow as prior, an autoregressive flow as posterior. The context of a conditional
    model joins the input of both networks.

    Use `build` (or `probgen.build("latent/vae", data)`), which sizes the parts; the constructor takes them ready-made.

    Args:
        encoder: Turns `(x, context)` of a flat batch into features, `(N, H)`.
        posterior: Conditional model of a code given the features: a `Density` and a `Sampler`, `Reparameterized` for ELBO.
        prior: Model of a code, likewise, not conditional.
        decoder: Conditional model of an event given the code and the flattened context, `(latent + context,)`.
        context_shape: Shape of a context; None when not conditional.

    Shapes:
        log_prob_bound: `(..., *event_shape), (..., *context_shape) -> (...)`, a fresh draw each time.

    Raises:
        CapabilityError: a part cannot do what it must.
        ShapeError: the parts do not fit each other.

    Example:
        >>> vae = VAE.build((1, 8, 8), None, constraints.boolean, latent=4, hidden=(16,))
        >>> vae.sample((3,)).shape, vae.encode(torch.zeros(2, 1, 8, 8)).shape
        (torch.Size([3, 1, 8, 8]), torch.Size([2, 4]))

    References:
        Kingma & Welling (2014), arXiv:1312.6114. Rezende, Mohamed & Wierstra (2014), arXiv:1401.4082.
    """

    particles: Literal["fold", "plate", "loop"] = "plate"
    batch_plate = "data"
    inference = ("encoder.*", "posterior.*")

    def __init__(
        self,
        *,
        encoder: nn.Module,
        posterior: Any,
        prior: Any,
        decoder: Any,
        context_shape: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        for part in (prior, posterior, decoder):
            require(part, Density, Sampler, for_what="VAE")
        self.event_shape = decoder.event_shape
        self.support = decoder.support
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        code = prod(prior.event_shape) + prod(self.context_shape or (0,))
        if prior.event_shape != posterior.event_shape or decoder.context_shape != (code,):
            raise ShapeError(
                f"VAE: expected prior and posterior over one code, and a decoder of context ({code},); got events "
                f"{tuple(prior.event_shape)} and {tuple(posterior.event_shape)} and context {decoder.context_shape}. "
                "Use VAE.build, which sizes the parts."
            )
        self.encoder = encoder
        self.posterior = posterior
        self.prior = prior
        self.decoder = decoder

    @property
    def bound_claim(self) -> LowerBound:
        """A draw of the evidence lower bound."""
        return LowerBound("log_prob")

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the options have names and types here
        cls,
        event_shape: Sequence[int],
        context_shape: Sequence[int] | None,
        support: Constraint,
        *,
        latent: int = 50,
        hidden: Sequence[int] = (200, 200),
        activation: str = "tanh",
        architecture: str = "mlp",
        likelihood: str = "auto",
        prior: Any = None,
        posterior: Any = None,
        dropout: float = 0.0,
    ) -> Self:
        """Size the parts for the data.

        Args:
            event_shape: Shape of an event; `(channels, height, width)`, each side at least 4, for `architecture="conv"`.
            context_shape: Shape of a context; None when not conditional.
            support: Binary, categorical or real.
            latent: Size of the code.
            hidden: Width of each hidden layer of the encoder; the decoder has them in reverse. Convolutions use the last.
            activation: Name of the activation: `tanh`, `relu`, `gelu`, …
            architecture: `"mlp"` or `"conv"`.
            likelihood: `"auto"`, `"bernoulli"`, `"gaussian"`, `"categorical"` or `"discretised-logistic"`.
            prior: A model or distribution of the code, or a slot; None for a standard Gaussian.
            posterior: A conditional model of the code given features, or a slot; None for a diagonal Gaussian.
            dropout: Share of hidden entries dropped in training (MLP only).

        Raises:
            ConfigurationError: an option is unknown or out of range.
            CapabilityError: the likelihood does not fit the support.
            ShapeError: the event is no image where one is needed.
        """
        _check(latent, hidden, architecture, dropout)
        context_size = 0 if context_shape is None else prod(context_shape)
        style = {"architecture": architecture, "activation": activation, "dropout": dropout}
        encoder = EncoderNetwork(
            event_shape=event_shape, context_size=context_size, support=support, hidden=tuple(hidden), **style
        )
        features = latent + context_size
        make_network = partial(_decoder_network, features=features, hidden=tuple(hidden[::-1]), **style)
        standard = Independent(Normal(torch.zeros(latent), torch.ones(latent)), 1)
        inference = {"event_shape": (latent,), "context_shape": (hidden[-1],), "support": constraints.real}
        return cls(
            encoder=encoder,
            posterior=DiagonalGaussian(**inference) if posterior is None else resolve(posterior, **inference),
            prior=resolve(standard if prior is None else prior, event_shape=(latent,), support=constraints.real),
            decoder=choose(likelihood, support)(
                make_network, event_shape=event_shape, context_shape=(features,), support=support
            ),
            context_shape=context_shape,
        )

    def initialize(self, batch: Batch) -> None:
        """Start a new decoder of ours at the marginals of the data."""
        if isinstance(self.decoder, Decoder):
            self.decoder.initialize(batch)

    def model(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw codes from the prior and observe `x`."""
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", self.prior.given())
            pyro.sample("x", self.decoder.given(self._code(z, context)), obs=x)

    def guide(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw codes from the posterior."""
        features = self.encoder(x, context)
        with pyro.plate("data", len(x)):
            pyro.sample("z", self.posterior.given(features))

    def encode(self, x: Tensor, context: Tensor | None = None, *, sample: bool = False) -> Tensor:
        """Return the code of each event: the posterior's mean where that is known, else (or with `sample`) a draw.

        Shapes:
            `(N, *event_shape), (N, *context_shape) -> (N, latent)`.
        """
        features = self.encoder(x, context)
        if not sample and isinstance(self.posterior, DiagonalGaussian):
            return self.posterior.parameters_at(features)[0]
        return self.posterior.sample((), features)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the expected event at each code where the decoder knows it, else a draw.

        Shapes:
            `(..., latent), (..., *context_shape) -> (..., *event_shape)`.
        """
        code = self._code(z, context)
        return self.decoder.mean(code) if isinstance(self.decoder, Decoder) else self.decoder.sample((), code)

    def reconstruct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Return each event as its code remembers it, shaped as `x`."""
        return self.decode(self.encode(x, context), context)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self.decoder.sample((), self._code(self.prior.sample((n,)), context))

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        return run_pair(self, x, context).log_weights[0]

    def _code(self, z: Tensor, context: Tensor | None) -> Tensor:
        """Return the decoder's input: the code, with the flattened context behind it."""
        if context is None or self.context_shape is None:
            return z
        flat = context.reshape(*context.shape[: context.ndim - len(self.context_shape)], -1).to(z.dtype)
        return torch.cat([z, flat.expand(*z.shape[:-1], -1)], -1)


def _decoder_network(output_shape: Sequence[int], **options: Any) -> DecoderNetwork:
    return DecoderNetwork(output_shape=output_shape, **options)


def _check(latent: int, hidden: Sequence[int], architecture: str, dropout: float) -> None:
    if latent < 1 or not hidden or min(hidden) < 1:
        raise ConfigurationError(
            f"VAE.build: expected latent and hidden sizes of at least 1; got {latent} and {tuple(hidden)}."
        )
    if architecture not in ("mlp", "conv"):
        raise ConfigurationError(f"VAE.build: expected architecture 'mlp' or 'conv'; got {architecture!r}.")
    if not 0 <= dropout < 1:
        raise ConfigurationError(f"VAE.build: expected dropout in [0, 1); got {dropout}.")

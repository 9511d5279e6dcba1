"""A latent-variable model from its three parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from probgen.adapters import as_model
from probgen.batch import Batch
from probgen.capabilities import BoundedLikelihood, require
from probgen.claims import LowerBound
from probgen.compose.parts import joined
from probgen.density import Density
from probgen.errors import ShapeError
from probgen.latent import LatentVariable
from probgen.pyro_bridge import run_pair
from probgen.pyro_bridge.programs import PLATE, generate, infer
from probgen.sampler import Sampler
from probgen.shapes import count

__all__ = ["Latent"]


class Latent(nn.Module, LatentVariable, Sampler, BoundedLikelihood):
    r"""A code and an event given it, with a model of the way back.

    $$p(x, z \mid c) = p(z)\, p(x \mid z, c), \qquad q(z \mid x, c)$$

    Any models may be the parts: a flow as prior, a PixelCNN as decoder, an autoregressive flow as posterior. Whatever trains
    a `LatentVariable` trains it: `ELBO` and `IWAE` where the posterior is `Reparameterized`, `VIMCO` or `REINFORCE` if not.

    Args:
        prior: A model or distribution of the code $z$, not conditional: a `Density` and a `Sampler`.
        decoder: A model of the event, conditional on $z$; with a context, on $z$ and $c$, flattened, side by side.
        posterior: A model of the code, conditional on $x$; with a context, on $x$ and $c$, flattened, side by side.
        context_shape: Shape of a context $c$; None for a model that is not conditional.

    Shapes:
        log_prob_bound: `(..., *event_shape), (..., *context_shape) -> (...)`, one draw of the evidence lower bound.

    Raises:
        ShapeError: the parts do not fit each other.
        CapabilityError: a part cannot be scored or drawn from.

    References:
        Kingma & Welling (2014), arXiv:1312.6114; Mnih & Gregor (2014), arXiv:1402.0030.
    """

    particles: Literal["fold", "plate", "loop"] = "plate"
    batch_plate = PLATE
    inference = ("posterior.*",)

    def __init__(self, *, prior: Any, decoder: Any, posterior: Any, context_shape: Sequence[int] | None = None) -> None:
        super().__init__()
        self.prior: Any = as_model(prior)
        self.decoder: Any = decoder
        self.posterior: Any = posterior
        for part in (self.prior, decoder, posterior):
            require(part, Density, Sampler, for_what="Latent")
        self.event_shape, self.support = decoder.event_shape, decoder.support
        self.context_shape = None if context_shape is None else torch.Size(context_shape)
        self._check("decoder", decoder.context_shape, self.prior.event_shape)
        self._check("posterior", posterior.context_shape, self.event_shape)
        if posterior.event_shape != self.prior.event_shape:
            raise ShapeError(
                f"Latent: expected a posterior over codes {tuple(self.prior.event_shape)}, as the prior's; got "
                f"{tuple(posterior.event_shape)}. Make the two alike."
            )

    @property
    def bound_claim(self) -> LowerBound:
        """A draw of the evidence lower bound."""
        return LowerBound("log_prob")

    def initialize(self, batch: Batch) -> None:
        """Let the posterior prepare itself for codes of the prior, and the decoder for the data given such codes."""
        with torch.no_grad():
            z = self.prior.sample((len(batch),))
        self.posterior.initialize(Batch(z, context=self._seen(batch.x, batch.context)))
        self.decoder.initialize(Batch(batch.x, context=self._code(z, batch.context)))

    def model(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw a code from the prior and observe the event."""
        generate(self.prior, self.decoder, x, lambda z: self._code(z, context))

    def guide(self, x: Tensor, context: Tensor | None = None) -> None:
        """Draw a code from the posterior."""
        infer(self.posterior, self._seen(x, context))

    def _check(self, name: str, found: torch.Size | None, given: torch.Size) -> None:
        wanted = given if self.context_shape is None else torch.Size([count(given) + count(self.context_shape)])
        if found != wanted:
            raise ShapeError(
                f"Latent: expected a {name} of contexts {tuple(wanted)}, what it is given; got one of contexts "
                f"{found and tuple(found)}. Build it with context_shape={tuple(wanted)}."
            )

    def _seen(self, x: Tensor, context: Tensor | None) -> Tensor:
        if context is None or self.context_shape is None:
            return x
        return joined(x, len(self.event_shape), context, len(self.context_shape))

    def _code(self, z: Tensor, context: Tensor | None) -> Tensor:
        if context is None or self.context_shape is None:
            return z
        return joined(z, len(self.prior.event_shape), context, len(self.context_shape))

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self.decoder.sample((), self._code(self.prior.sample((n,)), context))

    def _log_prob_bound(self, x: Tensor, context: Tensor | None) -> Tensor:
        return run_pair(self, x, context).log_weights[0]

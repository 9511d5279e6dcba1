"""The contract of latent-variable models: a pair of Pyro programs, and what one run of the pair tells.

`probgen.pyro_bridge` runs pairs; this file says only what a pair is, and does not import Pyro.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, Literal

from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen.errors import CapabilityError, ConfigurationError
from probgen.shapes import Model

__all__ = ["LatentTrace", "LatentVariable", "Site"]


class LatentVariable(Model, contract=True):
    r"""A joint density $p(x, z \mid c)$ with an approximate posterior $q(z \mid x, c)$, as two Pyro programs.

    Implementing one:
        - `model(x, context)` draws latents with `pyro.sample` and observes `x` with `pyro.sample("x", …, obs=x)`;
        - `guide(x, context)` draws the same latents, given `x`.

    Both get a flat batch, `x` of shape `(N, *event_shape)`. Put what belongs to an example into a plate over the batch
    (`with pyro.plate("data", len(x))`); a latent outside is shared by all of them. In programs without any plate the
    leftmost batch dimension of size $N$ is taken for the batch.

    Attributes:
        particles: How several particles are run at once. `"fold"` repeats the batch (any program); `"plate"` runs the
            pair once inside an outer plate, so that the encoder runs once (programs that broadcast over leading
            dimensions); `"loop"` runs it again for each particle (the only way where a latent is shared by the batch, so
            `"fold"` turns to it there).
        plate_nesting: How many plates deep the programs go, the batch's own included; that of the particles stands left
            of them.
        batch_plate: Name of the plate over the batch; None to find it by its size.
        inference: Which parameters are the guide's, as globs over their names (`"encoder.*"`).
    """

    particles: Literal["fold", "plate", "loop"] = "fold"
    plate_nesting: int = 1
    batch_plate: str | None = None
    inference: tuple[str, ...] = ()

    @abc.abstractmethod
    def model(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Run the generative program on a flat batch."""

    @abc.abstractmethod
    def guide(self, x: Tensor, context: Tensor | None = None) -> Any:
        """Run the inference program on a flat batch."""

    def inference_parameters(self) -> dict[str, nn.Parameter]:
        """Return the trainable parameters of the guide by name; all others are the model's.

        Estimators that train the two on different objectives ask for them.

        Raises:
            ConfigurationError: no pattern of `inference` matches, so that it is not known which they are.
        """
        named = self.named_parameters() if isinstance(self, nn.Module) else ()
        found = {
            name: parameter
            for name, parameter in named
            if parameter.requires_grad and any(fnmatchcase(name, pattern) for pattern in self.inference)
        }
        if not found:
            raise ConfigurationError(
                f"{type(self).__name__}.inference_parameters: expected patterns of the guide's parameters in `inference`; "
                f"got {self.inference or 'none'}, which match no trainable one. Set inference=('encoder.*',), say."
            )
        return found

    def _param_statements(self) -> Mapping[str, tuple[Tensor, Constraint]]:
        """Return what `pyro.param` finds in a run: unconstrained values with their constraints, by name.

        Parameters of `nn.Module`s and `PyroModule`s need no mention here.
        """
        return {}


@dataclasses.dataclass(frozen=True, eq=False)
class Site:
    r"""One `pyro.sample` statement, as one run of a pair saw it. $K$ particles, $N$ examples.

    Scores are computed when they are first asked for, so that an estimator pays only for those that it uses.

    Args:
        name: The statement's name.
        value: What was drawn or observed, with leading axes `(K, N)`, or `(K,)` where it is shared by the batch.
        model_distribution: The model's distribution at the site, one for each particle (a tuple) where particles were run
            one by one; None for an auxiliary site, which only the guide has.
        guide_distribution: The guide's, likewise; None for an observed site.
        reparameterized: Whether the value carries the gradient of the guide's parameters.
        shared: Whether the site is outside the plate of the batch.
        plates: Names of the plates that the site is in, outermost first; the particle plate is left out.
        scale: The factor of a subsampled plate or `poutine.scale` that is already in the scores; 1 without one.
        order: Position of the site's statement in the model's and in the guide's program; -1 where it is absent.
        score_model: Computes `log_p`.
        score_guide: Computes `log_q`; None for an observed site.
        divergence: Computes `analytic_kl`.
        score_draw: Computes `log_draw` where it differs from `log_q`; None where it does not.
    """

    name: str
    value: Tensor
    model_distribution: Any
    guide_distribution: Any
    reparameterized: bool
    shared: bool
    plates: tuple[str, ...]
    scale: float | Tensor
    order: tuple[int, int]
    score_model: Callable[[], Tensor]
    score_guide: Callable[[], Tensor] | None
    divergence: Callable[[], Tensor | None]
    score_draw: Callable[[], Tensor] | None = None

    @property
    def observed(self) -> bool:
        """Whether the model observed the site rather than drew it."""
        return self.score_guide is None

    @property
    def auxiliary(self) -> bool:
        """Whether only the guide has the site, to compute others from it; its `log_p` is zero."""
        return self.order[0] < 0

    @cached_property
    def log_p(self) -> Tensor:
        r"""$\log p$ at the value, $(K, N)$ or $(K,)$, masked and scaled as the program says."""
        return self.score_model()

    @cached_property
    def log_q(self) -> Tensor | None:
        r"""$\log q$ at the value, shaped as `log_p`; None for an observed site."""
        return None if self.score_guide is None else self.score_guide()

    @cached_property
    def log_draw(self) -> Tensor | None:
        r"""$\log q$ of the draw itself, without the mask and scale that weight it in the objective; None if observed.

        Its gradient is the score function: however the program weights its terms, this is the law that the value came from.
        """
        return self.log_q if self.score_draw is None else self.score_draw()

    @cached_property
    def analytic_kl(self) -> Tensor | None:
        r"""$\mathrm{KL}(q \| p)$ between the two distributions at the site, shaped as `log_p`; None without a closed form.

        It may stand for $\log q - \log p$ only where `LatentTrace.parents_precede` holds.
        """
        return self.divergence()


@dataclasses.dataclass(frozen=True, eq=False)
class LatentTrace:
    r"""One run of a pair on $N$ examples with $K$ particles.

    Args:
        sites: Every sample statement of the pair by name: those of the model in its order, then auxiliary ones.
        num_particles: $K$.
        batch_size: $N$.
        per_example: Whether the joint density factorises over the examples at hand: no site is shared by the batch, and the
            plate of the batch is not subsampled.
    """

    sites: Mapping[str, Site]
    num_particles: int
    batch_size: int
    per_example: bool

    @property
    def latents(self) -> tuple[Site, ...]:
        """The sites that were drawn."""
        return tuple(site for site in self.sites.values() if not site.observed)

    @property
    def observations(self) -> tuple[Site, ...]:
        """The sites that were observed."""
        return tuple(site for site in self.sites.values() if site.observed)

    @property
    def log_joint(self) -> Tensor:
        r"""$\log p(x, z)$ of each particle: `(K, N)`, or `(K,)` when the examples are coupled."""
        return self.total(site.log_p for site in self.sites.values())

    @property
    def log_guide(self) -> Tensor:
        r"""$\log q(z \mid x)$ of each particle, shaped as `log_joint`."""
        return self.total(site.log_q for site in self.latents)

    @property
    def log_weights(self) -> Tensor:
        r"""Importance weights $\log p(x, z) - \log q(z \mid x)$, shaped as `log_joint`."""
        return self.log_joint - self.log_guide

    def total(self, terms: Iterable[Tensor | None]) -> Tensor:
        """Add terms of sites, each `(K, N)` or `(K,)`; where examples are coupled, the batch is summed out first."""
        total = None
        for term in terms:
            if term is not None:
                reduced = term if self.per_example or term.ndim == 1 else term.sum(1)
                total = reduced if total is None else total + reduced
        if total is None:
            raise CapabilityError("LatentTrace.total: expected a latent site; got none. A Density fits such a model.")
        return total

    def parents_precede(self, site: Site) -> bool:
        r"""Return whether whatever the model's distribution at `site` depends on was drawn before `site` by the guide.

        Only then is the closed-form $\mathrm{KL}(q \| p)$ at the site, averaged over the rest of the run, the expectation of
        $\log q - \log p$: a parent that the guide draws *later* may depend on the value that the closed form averages out.
        Every latent that the model draws earlier counts as a parent, since programs do not say which of them they use.
        """
        return all(
            other.order[1] < site.order[1]
            for other in self.latents
            if not other.auxiliary and other.order[0] < site.order[0]
        )

    def require_reparameterized(self, for_what: str) -> None:
        """Raise `CapabilityError` when a latent is drawn without gradients."""
        for site in self.latents:
            if not site.reparameterized:
                drawn = site.guide_distribution[0] if isinstance(site.guide_distribution, tuple) else site.guide_distribution
                raise CapabilityError(
                    f"{for_what}: expected reparameterised latents; got {site.name!r}, a {type(drawn).__name__} without "
                    "rsample. Use a reparameterised distribution, a continuous relaxation, or an estimator for discrete "
                    "latents."
                )

    def require_per_example(self, for_what: str) -> None:
        """Raise `CapabilityError` when a site is shared by the batch, or a plate is subsampled."""
        for site in self.sites.values():
            if site.shared:
                raise CapabilityError(
                    f"{for_what}: expected every site inside the plate of the batch; got {site.name!r} outside of it. "
                    "Its weights are shared by all examples: use ELBO."
                )
        self.require_whole(for_what)

    def require_whole(self, for_what: str) -> None:
        """Raise `CapabilityError` when a plate is subsampled or a site is scaled."""
        for site in self.sites.values():
            if isinstance(site.scale, Tensor) or site.scale != 1.0:
                raise CapabilityError(
                    f"{for_what}: expected plates without subsampling; got scale {float(site.scale):g} at {site.name!r}. "
                    "Use ELBO, or a plate of the batch's own size."
                )

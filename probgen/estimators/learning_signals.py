"""What the score of a draw is multiplied with: the terms of the ELBO that the draw can influence."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor

from probgen.latent import LatentTrace, Site

__all__ = ["influenced_terms", "learning_signals", "scored_sites"]


def scored_sites(trace: LatentTrace) -> tuple[Site, ...]:
    """Return the latents that are drawn without gradients, and so need their scores."""
    return tuple(site for site in trace.latents if not site.reparameterized)


def learning_signals(trace: LatentTrace, sites: Iterable[Site] | None = None) -> dict[str, Tensor]:
    r"""Return, for each site, the part of $\log p(x, z) - \log q(z \mid x)$ that its draw can influence.

    A term whose ingredients were all drawn before the site, in the guide's order, is independent of the draw given what came
    before. Its product with the score has mean zero, and it is left out. What a term of the model is made of is not known:
    every latent that the model draws up to it counts.

    Args:
        trace: The run.
        sites: For which to return it; the scored ones by default.

    Shapes:
        Each `(K, N)`, or `(K,)` where examples are coupled; detached.

    References:
        Ranganath, Gerrish & Blei (2014), arXiv:1401.0118. Mnih & Gregor (2014), arXiv:1402.0030.
    """
    chosen = scored_sites(trace) if sites is None else sites
    return {site.name: influenced_terms(trace, site).detach() for site in chosen}


def influenced_terms(trace: LatentTrace, site: Site) -> Tensor:
    r"""Return the part of $\log p - \log q$ that a site's draw can influence, with gradients: `(K, N)` or `(K,)`."""
    present = site.order[1]
    gains = [term.log_p for term in trace.sites.values() if _ready_at(trace, term) >= present]
    costs = [-term.log_q for term in trace.latents if term.log_q is not None and term.order[1] >= present]
    return trace.total([*gains, *costs])


def _ready_at(trace: LatentTrace, term: Site) -> int:
    """Return the place in the guide's order of the last draw that the model's term at a site may depend on; -1 for none."""
    return max(
        (
            latent.order[1]
            for latent in trace.latents
            if not latent.auxiliary and not term.auxiliary and latent.order[0] <= term.order[0]
        ),
        default=-1,
    )

"""The divergence between guide and prior, site by site."""

from __future__ import annotations

from torch import Tensor

from probgen.latent import LatentTrace, Site

__all__ = ["divergence_at"]


def divergence_at(trace: LatentTrace, site: Site, *, analytic: bool) -> Tensor:
    r"""Return a latent's part of $\mathrm{KL}(q \,\|\, p)$, whose sum over latents has that expectation: `(K, N)` or `(K,)`.

    It is $\log q - \log p$ at the draw or, with `analytic`, the closed form where there is one and where what the model's
    distribution depends on was drawn earlier by the guide.
    """
    closed_form = site.analytic_kl if analytic and trace.parents_precede(site) else None
    if closed_form is not None:
        return closed_form
    return site.log_q - site.log_p  # pyright: ignore[reportOptionalOperand]  # latents have one

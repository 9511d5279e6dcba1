"""Strategies by site with claims about other ones."""

from __future__ import annotations

from collections.abc import Callable

from probgen.claims import Biased, Claims, Unbiased
from probgen.estimator import Estimator
from probgen.estimators.site_strategies import SiteStrategies
from probgen.estimators.strategies import PassThrough, Strategy

__all__ = ["TWINS", "ForgetsItsSite", "NamesAnotherSite"]


class _Passing(SiteStrategies):
    """Passes gradients straight through at a site, and sums over the others."""

    def __init__(self, site: str = "z1") -> None:
        strategies: dict[str, Strategy] = {site: PassThrough()}
        super().__init__(strategies)


class ForgetsItsSite(_Passing):
    """The site's bias is forgotten, since all other sites are summed over."""

    @property
    def claims(self) -> Claims:
        """Unbiased."""
        return Claims(value=Unbiased("elbo"), gradient={"*": Unbiased("grad:elbo")})


class NamesAnotherSite(_Passing):
    """The bias is said to be that of the other sites."""

    @property
    def claims(self) -> Claims:
        """Biased, by what happens elsewhere."""
        gradient = Biased("grad:elbo", "grad:elbo-with[* straight-through-elbo]")
        return Claims(value=Unbiased("elbo"), gradient={"*": gradient})


TWINS: dict[str, Callable[[], Estimator]] = {
    "a site's straight-through gradient is called unbiased": ForgetsItsSite,
    "another site's straight-through gradient is named": NamesAnotherSite,
}

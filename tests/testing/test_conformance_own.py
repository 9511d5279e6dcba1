"""The estimators of the core conform, with every option that changes what they estimate."""

from __future__ import annotations

import pytest

from probgen import Estimator, SiteStrategies, build_estimator
from probgen.estimators.strategies import PassThrough, Reinforce, Relax
from probgen.plugin import registry
from probgen.testing import check_estimator, parametrize_with_checks

VARIANTS = {
    "elbo": [{"analytic_kl": False, "num_particles": 2}, {"beta": 0.5}],
    "iwae": [{"gradient": "dreg", "num_particles": 2}, {"gradient": "stl", "num_particles": 2}],
    "reinforce": [
        {"baseline": "none", "num_particles": 1},
        {"baseline": "moving-average", "num_particles": 1},
        {"baseline": "learned", "num_particles": 1, "centred": True, "normalise_variance": True},
    ],
    "contrastive-divergence": [{"k": 2}, {"persistent": True}],
    "mmd": [{"statistic": "v-statistic"}, {"statistic": "linear-time"}],
    "score-matching": [{"method": "sliced"}],
    "adversarial": [{"loss": loss} for loss in ("minimax", "wasserstein", "least-squares", "hinge", "began")],
    "gumbel-softmax": [{"hard": True}],
    "reweighted-wake-sleep": [{"wake_guide": False, "sleep_guide": True}],
}

MIXED = {
    "z1 straight through": SiteStrategies({"z1": PassThrough()}),
    "z2 straight through, z1 scored": SiteStrategies({"z1": Reinforce(), "z2": PassThrough()}),
    "z1 relaxed, z2 scored": SiteStrategies({"z1": Relax(temperature=0.7)}, otherwise=Reinforce()),
    "z1 hard, z2 straight through": SiteStrategies({"z1": Relax(hard=True)}, otherwise=PassThrough()),
    "z2 annealed, by scores": SiteStrategies({"z2": Relax(final_temperature=0.5, anneal_steps=3)}, analytic_kl=False),
    "the bit relaxed": SiteStrategies({"bit": Relax(temperature=0.5)}),
}
"""Strategies site by site, for the problems that have these sites."""


def _core() -> list[str]:
    return [name for name, registered in registry().estimators.items() if registered.distribution == "probgen"]


def variants() -> dict[str, Estimator]:
    """Return every estimator of the core in each variant."""
    return {
        f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})": build_estimator(name, **options)
        for name, several in VARIANTS.items()
        for options in several
    } | {f"site-strategies({name})": estimator for name, estimator in MIXED.items()}


@parametrize_with_checks(_core())
def test_conformance(check):
    check()


@pytest.mark.parametrize("name", variants())
def test_variants_estimate_what_they_claim(name):
    check_estimator(variants()[name], only=["claims"])


@pytest.mark.slow
@parametrize_with_checks(variants())
def test_variants(check):
    check()


def test_every_variant_is_of_a_registered_estimator():
    assert set(VARIANTS) <= set(_core())

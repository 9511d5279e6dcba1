"""The estimators of the core conform, with every option that changes what they estimate."""

from __future__ import annotations

from probgen import build_estimator
from probgen.plugin import registry
from probgen.testing import parametrize_with_checks

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


def _core() -> list[str]:
    return [name for name, registered in registry().estimators.items() if registered.distribution == "probgen"]


def subjects() -> dict[str, object]:
    """Return every estimator of the core at its defaults, and in each variant."""
    made: dict[str, object] = {name: build_estimator(name) for name in _core()}
    for name, variants in VARIANTS.items():
        for options in variants:
            made[f"{name}({', '.join(f'{key}={value}' for key, value in options.items())})"] = build_estimator(
                name, **options
            )
    return made


@parametrize_with_checks(subjects())
def test_conformance(check):
    check()


def test_every_variant_is_of_a_registered_estimator():
    assert set(VARIANTS) <= set(_core())

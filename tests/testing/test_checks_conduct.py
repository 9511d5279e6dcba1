"""How estimators behave: every wrong twin fails its check, and estimators that are right pass them all."""

import pytest

from helpers.twins import first_failure
from probgen import (
    ELBO,
    IWAE,
    MMD,
    REBAR,
    REINFORCE,
    Adversarial,
    ContrastiveDivergence,
    GumbelSoftmax,
    MaximumLikelihood,
    ReweightedWakeSleep,
)
from probgen.estimators.baselines import Learned, MovingAverage
from probgen.testing.checks.estimators import estimator_checks
from probgen.testing.report import Status
from probgen.testing.running import run_check
from probgen.testing.twins import score_functions

CHECKS = {check.name: check for check in estimator_checks() if check.name != "claims"}
TWINS = [(check, twin) for check in CHECKS.values() for twin in check.twins]

RIGHT = {
    "maximum-likelihood": MaximumLikelihood(),
    "elbo": ELBO(),
    "iwae": IWAE(num_particles=2),
    "nvil": REINFORCE(num_particles=1, baseline=MovingAverage(after=Learned(hidden=(3,))), normalise_variance=True),
    "rebar": REBAR(),
    "reweighted": ReweightedWakeSleep(sleep_guide=True),
    "gumbel-softmax": GumbelSoftmax(final_temperature=0.5, anneal_steps=3),
    "contrastive-divergence": ContrastiveDivergence(persistent=True),
    "adversarial": Adversarial(),
    "mmd": MMD(),
}
QUICK = ("maximum-likelihood", "mmd")
"""The others are seen to pass, at their defaults, where the core's own conformance is tested."""


@pytest.mark.parametrize(("check", "twin"), [pytest.param(*pair, id=f"{pair[0].name}: {pair[1]}") for pair in TWINS])
def test_each_wrong_twin_fails(check, twin):
    assert run_check(check, check.twins[twin](), twin, entropy=1).status is Status.FAILED


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in RIGHT])
def test_right_estimators_pass(name):
    results = [run_check(check, RIGHT[name], name, entropy=1) for check in CHECKS.values()]
    assert all(result.status in (Status.PASSED, Status.SKIPPED) for result in results), "\n".join(map(str, results))
    assert sum(result.status is Status.PASSED for result in results) >= 8


@pytest.mark.parametrize("name", ["value-detached", "pure", "small-batches", "own-parameters"])
def test_a_wrong_gradient_is_no_misconduct(name):
    assert first_failure(CHECKS[name], score_functions.TWINS["a score term times 0.999"]()) is None

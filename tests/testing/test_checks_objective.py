"""The check of objectives: what it says, and what it asks of whom. Its twins are held against it with all others."""

from __future__ import annotations

import pytest

from helpers.twins import first_failure
from probgen import ELBO, IWAE, MMD, Adversarial, MaximumLikelihood, ReweightedWakeSleep, WakeSleep
from probgen.claims import Claims, Heuristic, Unbiased
from probgen.estimator import Objective
from probgen.estimators.iwae_gradients import STL
from probgen.testing.checks.estimators import estimator_checks
from probgen.testing.checks.objective import check_objective
from probgen.testing.report import Status
from probgen.testing.running import run_check
from probgen.testing.trial import Trial
from probgen.testing.twins.likelihoods import PlainLikelihood

CHECK = next(check for check in estimator_checks() if check.name == "objective")


def said(estimator):
    return {each.claim: str(each.verdict.reason) for each in check_objective(estimator, Trial("objective", "it", entropy=1))}


@pytest.mark.parametrize(
    "estimator",
    [
        ELBO(),
        ELBO(beta=0.5),
        IWAE(gradient=STL(), num_particles=2),
        ReweightedWakeSleep(num_particles=2),
        WakeSleep(),
        MaximumLikelihood(),
        MMD(),
        MMD.build(statistic="v-statistic"),
    ],
    ids=lambda estimator: type(estimator).__name__,
)
def test_training_makes_the_objective_better(estimator):
    """Also where the gradient is not that of the objective."""
    found = said(estimator)
    assert found[f"training makes {estimator.objective.name} better"] == "it does, on some problem"


def test_a_game_has_a_name_and_no_direction():
    assert list(said(Adversarial())) == [
        "the objective has a name, a unit and a direction",
        "the value in phase critic is that of the objective",
    ]


def test_a_number_in_brackets_belongs_to_the_claims():
    assert "iwae[2] is there to maximise, on gaussian-autoencoder" in said(IWAE())


def test_what_promises_nothing_of_its_value_is_not_asked():
    class Silent(PlainLikelihood):
        claims = Claims(value=Heuristic("a score"), gradient={"*": Unbiased("grad:log_prob")})

    assert run_check(CHECK, Silent(), "silent").status is Status.SKIPPED


def test_an_objective_that_no_problem_knows_is_undecided():
    class Unknown(PlainLikelihood):
        objective = Objective("log_prop", "nats", "maximise")
        claims = Claims(value=Unbiased("log_prop"), gradient={"*": Unbiased("grad:log_prob")})

    result = run_check(CHECK, Unknown(), "unknown")
    assert result.status is Status.INCONCLUSIVE
    assert "Did you mean 'log_prob'?" in str(result)


def test_an_estimator_without_an_objective_fails():
    class Without(PlainLikelihood):
        objective = None

    assert first_failure(CHECK, Without()).verdict.reason == "expected an Objective; got None"

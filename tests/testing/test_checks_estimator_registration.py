"""Every check of how an estimator is registered passes a right one and fails each of its wrong twins."""

from __future__ import annotations

import pytest

from probgen.errors import ConfigurationError, PluginLoadError
from probgen.plugin import registry
from probgen.testing import Problem, Status, check_estimator, check_model, run_check
from probgen.testing.checks.estimator_registration import estimator_registration_checks
from probgen.testing.subjects import subjects_of
from probgen.testing.twins import estimator_registration as twins

CHECKS = {check.name: check for check in estimator_registration_checks()}
TWINS = [
    pytest.param(check, twin, id=f"{check.name}: {what}") for check in CHECKS.values() for what, twin in check.twins.items()
]
FIXED = twins.fixed_problems()


@pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)
class TestRightOnes:
    def test_one_passes(self, check):
        result = run_check(check, twins.right(), "right")
        assert result.status is Status.PASSED, str(result)

    def test_one_without_what_is_optional_passes_or_is_not_asked(self, check):
        result = run_check(check, twins.right("PlainLikelihood", options=[], problems=""), "x")
        assert result.status in (Status.PASSED, Status.SKIPPED), str(result)

    def test_all_that_are_registered_pass(self, check):
        results = [run_check(check, registered, name) for name, registered in registry().estimators.items()]
        assert {result.status for result in results} <= {Status.PASSED, Status.SKIPPED}, "\n".join(map(str, results))


@pytest.mark.parametrize(("check", "twin"), TWINS)
def test_a_wrong_twin_fails(check, twin):
    result = run_check(check, twin(), "twin")
    assert result.status is Status.FAILED, str(result)


def test_a_value_that_is_refused_in_words_is_right():
    result = run_check(CHECKS["builds-by-name"], registry().estimators["reinforce"], "reinforce")
    refused = [each for each in result.judgements if each.verdict.reason.startswith("refused: ")]
    assert [each.claim for each in refused] == ["num_particles=1 builds it"]


class TestSubjects:
    """A name is two subjects: how the estimator is registered, and the estimator with its default options."""

    def test_a_name_is_two(self):
        registration, estimator = subjects_of("elbo")
        assert (registration.name, estimator.name) == ("elbo[registration]", "elbo")
        assert registration.of_estimator
        assert estimator.of_estimator
        assert {check.name for check in registration.checks} == set(CHECKS)

    def test_check_estimator_looks_at_both(self):
        report = check_estimator(twins.right().spec, only=["options-agree", "value-detached"], seed=1)
        assert [(result.subject, result.check) for result in report.results] == [
            ("noisy-likelihood[registration]", "options-agree"),
            ("noisy-likelihood", "value-detached"),
        ]

    def test_what_cannot_be_built_is_its_registrations_to_answer_for(self):
        report = check_estimator(twins.that_refuses_its_defaults().spec, raising=False)
        assert {result.subject for result in report.results} == {"ungrateful[registration]"}
        assert report.exit_code == 1

    def test_a_class_that_is_not_there_is_one_mistake(self):
        with pytest.raises(PluginLoadError, match="has no attribute 'Rokcet'"):
            check_estimator(twins.right("Rokcet").spec)

    def test_a_name_of_an_estimator_is_none_of_a_model(self):
        with pytest.raises(ConfigurationError, match="Use check_estimator"):
            check_model("elbo")


@pytest.mark.parametrize("what", ["maximum-likelihood", twins.NoisyLikelihood()], ids=["name", "instance"])
def test_a_problem_without_parameters_is_refused(what):
    with pytest.raises(ConfigurationError, match=r"Problem 'twin-normal': expected a model with parameters.*nn\.Parameter"):
        check_estimator(what, problems=FIXED)


def test_a_problem_of_a_plugin_is_looked_at_under_its_name():
    report = check_estimator(twins.right().spec, only=["value-detached"], seed=1)
    assert any("on twin-categorical" in judgement.claim for result in report.results for judgement in result.judgements)
    assert isinstance(twins.problems()[0], Problem)

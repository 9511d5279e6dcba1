"""Every check of how an estimator is registered passes a right one and fails each of its wrong twins."""

from __future__ import annotations

import pytest

from probgen.errors import ConfigurationError, PluginLoadError
from probgen.plugin import Option, registry
from probgen.testing import Problem, Status, check_estimator, check_model, run_check
from probgen.testing.checks.estimator_registration import _limits, estimator_registration_checks
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


@pytest.mark.parametrize(
    ("option", "values"),
    [
        (Option("n", "int", 2, "", minimum=0.5, maximum=3.5), [1, 3]),
        (Option("n", "int", 2, "", above=1, below=3), [2]),
        (Option("n", "ints", (2,), "", above=0.5, maximum=8), [(1,), (8,)]),
        (Option("n", "float", 0.5, "", above=0, below=1), [1e-6, 1 - 1e-6]),
        (Option("n", "float", 0.5, "", minimum=0, maximum=float("inf")), [0]),
        (Option("n", "float", 5e-7, "", above=0, maximum=8e-7), [8e-7]),
        (Option("n", "str", "a", "", choices=("a", "b")), ["a", "b"]),
        (Option("n", "bool", True, ""), []),
    ],
    ids=lambda value: value.words if isinstance(value, Option) else "",
)
def test_the_ends_of_what_an_option_allows(option, values):
    assert _limits(option) == values
    assert all(option.allows(value) for value in values)


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

    def test_what_cannot_be_built_fails_all_checks_and_says_why(self):
        spec = twins.that_refuses_its_defaults().spec
        report = check_estimator(spec, only=["builds-by-name", "pure"], raising=False)
        assert [(result.subject, result.check) for result in report.results] == [
            ("ungrateful[registration]", "builds-by-name"),
            ("ungrateful", "pure"),
        ]
        assert {result.status for result in report.results} == {Status.FAILED}
        assert all("expected at least 3 draws; got 2" in str(result.judgements) for result in report.results)

    def test_problems_that_cannot_be_made_are_not_passed_over(self):
        report = check_estimator(twins.with_a_fixed_model().spec, only=["claims"], raising=False)
        (result,) = report.results
        assert "expected a model with parameters" in result.judgements[0].verdict.reason

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

"""The kit's front door: what is checked, what is waived, and what counts as a pass."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import Bernoulli, Categorical, Normal

from probgen import MaximumLikelihood
from probgen.errors import CapabilityError, ConfigurationError, PluginLoadError, UnknownNameError
from probgen.plugin import EstimatorSpec, ModelSpec
from probgen.testing import (
    Check,
    Judgement,
    NonConformance,
    NotApplicable,
    Problem,
    Status,
    Trial,
    check_density,
    check_estimator,
    check_model,
    check_sampler,
    conforms,
    fails,
    known_problems,
    parametrize_with_checks,
    undecided,
)
from probgen.testing.checks import estimators, models
from probgen.testing.twins.registration import Bell, Coin, OwnShape, right

_TWINS = {"none": Coin}


def saying(name, verdict, *, kind="model", needs=()):
    """A check with a fixed answer."""
    return Check(name, f"It is {name}.", kind, lambda subject, trial: [Judgement(name, verdict)], _TWINS, needs)


def _silent(subject, trial):
    raise NotApplicable("it is not concerned")


GOOD, BAD, OPEN = (
    saying("good", conforms("yes")),
    saying("bad", fails("no", bias=0.5)),
    saying("open", undecided("who knows")),
)
SILENT = Check("silent", "It says nothing.", "model", _silent, _TWINS)


@pytest.fixture
def only_these(monkeypatch):
    """Return a function that replaces the checks of models."""
    return lambda *checks: monkeypatch.setattr(models, "model_checks", lambda: checks)


class TestInstances:
    def test_a_right_density_passes(self):
        report = check_density(Categorical(torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)))
        assert report.exit_code == 0
        assert report.ran >= 5
        assert "checks ran" in str(report)

    def test_a_right_sampler_passes(self):
        assert check_sampler(Bernoulli(0.3)).exit_code == 0

    def test_a_wrong_density_is_refused_with_what_was_found(self):
        class Twice(Bell):
            def _log_prob(self, x, context):
                return super()._log_prob(x, context) + 0.01

        with pytest.raises(NonConformance, match=r"normalised \[Twice\]: failed"):
            check_density(Twice(event_shape=(1,)))
        report = check_density(Twice(event_shape=(1,)), raising=False)
        assert report.exit_code == 1

    def test_capabilities_decide_what_is_asked(self, only_these):
        from probgen import Density, Sampler

        scored, drawn = saying("scored", conforms(""), needs=(Density,)), saying("drawn", conforms(""), needs=(Sampler,))
        only_these(scored, drawn, GOOD)
        names = lambda report: [result.check for result in report.results]  # noqa: E731
        assert names(check_density(Bell(event_shape=(1,)))) == ["scored", "good"]
        assert names(check_sampler(Bell(event_shape=(1,)))) == ["drawn", "good"]
        assert names(check_model(Bell(event_shape=(1,)))) == ["scored", "drawn", "good"]
        assert names(check_model(Coin(event_shape=(1,)))) == ["drawn", "good"]

    def test_what_lacks_the_capability_is_refused(self):
        with pytest.raises(CapabilityError, match="check_density: expected a model that is Density; got Coin"):
            check_density(Coin(event_shape=(1,)))
        with pytest.raises(CapabilityError, match="as_model: expected a model"):
            check_sampler(3)
        with pytest.raises(ConfigurationError, match="Use check_estimator"):
            check_model(MaximumLikelihood())
        with pytest.raises(ConfigurationError, match="Use check_model"):
            check_estimator(Bell(event_shape=(1,)))
        with pytest.raises(ConfigurationError, match="expected a registered name, a spec"):
            check_model(3)

    def test_nothing_checked_is_no_pass(self, only_these):
        only_these(SILENT)
        with pytest.raises(NonConformance, match="0 checks ran"):
            check_density(Normal(0.0, 1.0))
        only_these()
        assert check_density(Normal(0.0, 1.0), raising=False).exit_code == 1

    def test_undecided_is_no_pass(self, only_these):
        only_these(GOOD, OPEN)
        assert check_density(Normal(0.0, 1.0), raising=False).exit_code == 3
        with pytest.raises(NonConformance, match="inconclusive"):
            check_density(Normal(0.0, 1.0))

    def test_a_seed_fixes_every_draw_and_leaves_the_global_streams(self, only_these):
        def drawn(subject, trial):
            yield Judgement(str(torch.manual_seed(trial.seed("a")).initial_seed()), conforms(""))

        only_these(Check("drawn", "It draws.", "model", drawn, _TWINS))
        before = torch.get_rng_state()
        first, second, other = (check_density(Normal(0.0, 1.0), seed=seed).results[0].judgements for seed in (1, 1, 2))
        assert torch.equal(torch.get_rng_state(), before)
        assert first == second
        assert first != other


class TestChoices:
    def test_only_some_checks(self, only_these):
        only_these(GOOD, BAD)
        assert check_density(Normal(0.0, 1.0), only=["good"]).ran == 1

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"only": ["god"]}, "expected in only names of checks; got 'god'. Did you mean 'good'?"),
            ({"level": "fast"}, "expected a level among quick, standard, thorough; got 'fast'"),
            ({"expected_failures": {"bat": "x"}}, "expected in expected_failures names of checks; got 'bat'"),
            ({"expected_failures": {"bad": " "}}, "expected the reason why 'bad' fails"),
        ],
    )
    def test_unknown_ones_are_refused(self, only_these, options, message):
        only_these(GOOD, BAD)
        with pytest.raises(ConfigurationError, match=message):
            check_density(Normal(0.0, 1.0), **options)

    def test_an_expected_failure_is_no_failure(self, only_these):
        only_these(GOOD, BAD)
        report = check_density(Normal(0.0, 1.0), expected_failures={"bad": "it is known"})
        assert [result.status for result in report.results] == [Status.PASSED, Status.EXPECTED_FAILURE]

    def test_one_that_passes_is_a_failure(self, only_these):
        only_these(GOOD)
        with pytest.raises(NonConformance, match=r"unexpected pass \(it is known\)"):
            check_density(Normal(0.0, 1.0), expected_failures={"good": "it is known"})

    def test_they_may_depend_on_the_subject(self, only_these):
        only_these(BAD)
        waived = lambda name: {"bad": "it is known"} if name.endswith("[one]") else {}  # noqa: E731
        report = check_model(right().spec, expected_failures=waived, raising=False)
        assert [result.status for result in report.results if result.check == "bad"] == [Status.EXPECTED_FAILURE]


class TestRegistered:
    def test_a_spec_is_checked_with_its_examples(self):
        report = check_model(right().spec)
        subjects = {result.subject for result in report.results}
        assert subjects == {"twin/bell", "twin/bell[one]"}
        assert report.exit_code == 0

    def test_a_wrong_one_fails(self):
        report = check_model(right("OwnShape").spec, raising=False)
        assert report.exit_code == 1
        assert "builds-by-name [twin/bell]: failed" in str(report)
        assert issubclass(OwnShape, Bell)

    def test_a_name_that_is_not_registered(self):
        with pytest.raises(UnknownNameError, match="expected the name of a model or an estimator; got 'elbos'"):
            check_estimator("elbos")

    def test_broken_examples_are_the_registrations_failure(self):
        report = check_model(right(examples="probgen.testing.nowhere:examples").spec, raising=False)
        assert {result.subject for result in report.results} == {"twin/bell"}
        assert "examples-are-models [twin/bell]: failed" in str(report)

    def test_a_class_that_is_not_there_is_one_mistake(self):
        spec = ModelSpec("acme/rocket", "A rocket.", "probgen.testing.twins.registration:Rokcet", supports=["real"])
        with pytest.raises(PluginLoadError, match="has no attribute 'Rokcet'"):
            check_model(spec)

    def test_an_estimator_by_its_name(self):
        report = check_estimator("maximum-likelihood")
        assert report.exit_code == 0
        subjects = {result.subject for result in report.results}
        assert subjects == {"maximum-likelihood[registration]", "maximum-likelihood"}


def extra_problems():
    """Problems that a plugin brings along."""
    return [Problem("extra", known_problems()["categorical"].make, {})]


class TestProblems:
    @pytest.fixture(autouse=True)
    def _listening(self, monkeypatch):
        self.heard: list[Trial] = []
        check = Check("heard", "It hears.", "estimator", self._hear, _TWINS)
        monkeypatch.setattr(estimators, "estimator_checks", lambda: (check,))

    def _hear(self, subject, trial):
        self.heard.append(trial)
        yield Judgement("heard", conforms("it was"))

    def test_further_ones_reach_the_checks(self):
        check_estimator(MaximumLikelihood(), problems=extra_problems())
        assert [problem.name for problem in self.heard[0].problems] == ["extra"]

    def test_a_plugin_brings_its_own(self):
        target = "probgen.estimators.maximum_likelihood:MaximumLikelihood"
        spec = EstimatorSpec("maximum-likelihood", "Its value.", target, problems=f"{__name__}:extra_problems")
        check_estimator(spec)
        assert [problem.name for problem in self.heard[0].problems] == ["extra"]

    def test_two_of_one_name_are_refused(self):
        twice = [*extra_problems(), *extra_problems()]
        with pytest.raises(ConfigurationError, match="problems with names of their own; got 'extra' twice"):
            check_estimator(MaximumLikelihood(), problems=twice)


class TestPytest:
    def test_each_check_of_each_subject_is_a_test(self, only_these):
        only_these(GOOD, BAD)
        mark = parametrize_with_checks([Normal(0.0, 1.0), Normal(1.0, 1.0), Bell(event_shape=(1,))]).mark
        assert mark.args[0] == "check"
        assert [param.id for param in mark.args[1]] == [
            *("Normal-good", "Normal-bad", "Normal#2-good", "Normal#2-bad", "Bell-good", "Bell-bad")
        ]

    def test_a_mapping_names_them(self, only_these):
        only_these(GOOD)
        mark = parametrize_with_checks({"narrow": Normal(0.0, 0.1), "twin": right().spec}).mark
        ids = [param.id for param in mark.args[1]]
        assert (ids[0], ids[1], ids[-1]) == ("narrow-good", "twin-examples-are-models", "twin[one]-good")

    def test_what_becomes_of_each(self, only_these):
        only_these(GOOD, BAD, SILENT)
        good, bad, silent = (param.values[0] for param in parametrize_with_checks([Normal(0.0, 1.0)]).mark.args[1])
        good()
        with pytest.raises(NonConformance, match="1 checks ran"):
            bad()
        with pytest.raises(pytest.skip.Exception, match="it is not concerned"):
            silent()

    def test_expected_failures_are_strict(self, only_these):
        only_these(GOOD, BAD)
        waived = {"good": "it was so once", "bad": "it is known"}
        mark = parametrize_with_checks([Normal(0.0, 1.0)], expected_failures=waived).mark
        good, bad = (param.values[0] for param in mark.args[1])
        with pytest.raises(pytest.xfail.Exception, match="it is known"):
            bad()
        with pytest.raises(NonConformance, match="unexpected pass"):
            good()

    def test_no_test_at_all_is_refused(self, only_these):
        only_these()
        for nothing in ([], [Normal(0.0, 1.0)]):
            with pytest.raises(NonConformance, match="expected subjects with checks"):
                parametrize_with_checks(nothing)


@parametrize_with_checks({"bell": Bell(event_shape=(1,)), "registered": right().spec})
def test_conformance(check):
    check()

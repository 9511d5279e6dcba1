"""`probgen check`: its table, its codes, its card, and what it refuses."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from helpers.installing import installed
from probgen.testing import Check, Judgement, conforms, fails, undecided
from probgen.testing.checks import estimators, models

TUTORIAL = Path(__file__).resolve().parents[2] / "docs" / "tutorial-plugin"
_TWINS = {"none": object}


@pytest.fixture(scope="module", autouse=True)
def _tutorial(tmp_path_factory):
    with installed(TUTORIAL, tmp_path_factory.mktemp("site") / "site"):
        yield


def saying(name, *verdicts, kind="model"):
    """A check with fixed answers."""
    judgements = [Judgement(f"{name} {number}", verdict) for number, verdict in enumerate(verdicts)]
    return Check(name, f"It is {name}.", kind, lambda subject, trial: judgements, _TWINS)


@pytest.fixture
def only_these(monkeypatch):
    """Return a function that replaces the checks of models, and those of estimators."""

    def replace(*checks):
        monkeypatch.setattr(models, "model_checks", lambda: checks)
        monkeypatch.setattr(estimators, "estimator_checks", lambda: checks)

    return replace


class TestVerdicts:
    def test_a_right_model_conforms(self, probgen):
        code, out, err = probgen("check tutorial/skew-normal --seed 1")
        assert code == 0, out
        assert re.search(r"^normalised +tutorial/skew-normal\[one\] +passed +exact", out, re.MULTILINE)
        assert re.search(r"^\d+ checks ran: \d+ passed", out, re.MULTILINE)
        assert not err

    def test_a_right_estimator_conforms(self, probgen):
        code, out, _ = probgen("check log-variance --seed 1")
        assert code == 0, out

    def test_a_false_claim_fails(self, probgen, only_these):
        only_these(saying("good", conforms("yes")), saying("bad", fails("no", bias=0.25)))
        code, out, _ = probgen("check tutorial/skew-normal --only bad --only good --seed 7")
        assert code == 1
        assert re.search(r"^bad +tutorial/skew-normal\[one\] +failed +exact +– +none +found 0.25$", out, re.MULTILINE)
        assert "bad 0: FAILS (exact): no" in out
        assert "again: probgen check tutorial/skew-normal --level quick --seed 7 --only bad\n" in out

    def test_an_undecided_one_is_told_apart(self, probgen, only_these):
        only_these(saying("open", undecided("who knows"), conforms("yes"), kind="estimator"))
        code, out, _ = probgen("check log-variance -e num_particles=3 --seed 7")
        assert code == 3
        assert "again: probgen check log-variance -e num_particles=3 --level quick --seed 7 --only open" in out

    def test_a_model_without_examples_fails(self, probgen):
        code, out, _ = probgen("check toy/mute")
        assert code == 1
        assert "Give the spec examples='package.module:function'" in out

    def test_the_command_that_is_printed_shows_it_again(self, probgen):
        _, out, _ = probgen("check log-variance --only claims")
        again = re.search(r"To see it again: probgen (.*)$", out, re.MULTILINE)[1]
        assert probgen(again)[1] == out


class TestOptions:
    def test_of_a_model_replace_its_examples(self, probgen, only_these):
        only_these(saying("good", conforms("yes")))
        code, out, _ = probgen("check tutorial/skew-normal -o skewness=-3")
        assert code == 0
        assert "good    tutorial/skew-normal[real]   passed" in out
        assert "1 checks ran: 1 passed." in out

    def test_of_an_estimator_are_taken(self, probgen, only_these):
        heard = []

        def hear(subject, trial):
            heard.append(subject.num_particles)
            yield Judgement("heard", conforms("yes"))

        only_these(Check("heard", "It hears.", "estimator", hear, _TWINS))
        assert probgen("check log-variance -e num_particles=5")[0] == 0
        assert heard == [5]

    @pytest.mark.parametrize(
        ("words", "message"),
        [
            ("log-varianc", "expected the name of a model or an estimator; got 'log-varianc'. Did you mean 'log-variance'?"),
            ("tutorial/skew-normal --only normalized", "got 'normalized'. Did you mean 'normalised'?"),
            ("tutorial/skew-normal --level fast", "expected a level among quick, standard, thorough"),
            ("tutorial/skew-normal -o skew=1", "expected the name of an option; got 'skew'"),
            ("log-variance -e num_particles=1", "expected num_particles to be an int of at least 2; got '1'"),
            ("log-variance -o num_particles=3", "expected options of log-variance, an estimator; got -o. Give them by -e."),
            ("tutorial/skew-normal -e skewness=3", "expected options of tutorial/skew-normal, a model; got -e"),
            ("log-variance --card card.txt", "expected --card to end in .md; got card.txt"),
            ("log-variance --card nowhere/card.md", "expected --card in a folder that exists"),
        ],
    )
    def test_wrong_ones_are_refused(self, probgen, words, message):
        code, out, err = probgen(f"check {words}")
        assert (code, out) == (2, "")
        assert message in err

    def test_without_the_kits_dependencies_it_says_what_to_install(self, probgen, monkeypatch):
        monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
        code, _, err = probgen("check log-variance")
        assert code == 2
        assert "pip install 'probgen[testing]'" in err


class TestForms:
    def test_json(self, probgen, only_these):
        only_these(saying("good", conforms("yes", detectable=1e-9)), saying("bad", fails("no", bias=0.5)))
        code, out, _ = probgen("check tutorial/skew-normal --only bad --only good --seed 3 --json")
        found = json.loads(out)
        assert (code, found["exit_code"], found["ran"]) == (1, 1, 4)
        assert (found["name"], found["kind"], found["level"], found["seed"]) == ("tutorial/skew-normal", "model", "quick", 3)
        assert found["versions"]["probgen-tutorial"] == "0.1.0"
        first, second = found["results"][:2]
        assert (first["check"], first["subject"], first["status"]) == ("good", "tutorial/skew-normal[one]", "passed")
        assert first["judgements"][0]["detectable"] == 1e-9
        assert (second["status"], second["judgements"][0]["bias"], second["judgements"][0]["detectable"]) == (
            "failed",
            0.5,
            None,
        )

    def test_the_card_is_the_same_whenever_it_is_written(self, probgen, tmp_path):
        for name in ("one.md", "two.md"):
            assert probgen(f"check tutorial/skew-normal --seed 5 --card {tmp_path / name}")[0] == 0
        card = (tmp_path / "one.md").read_text()
        assert card == (tmp_path / "two.md").read_text()
        assert card.startswith("# Conformance of `tutorial/skew-normal`\n\nIt **conforms**. ")
        assert "probgen-tutorial 0.1.0" in card
        assert "| normalised | tutorial/skew-normal[one] | passed | exact |" in card
        assert "To see it again: `probgen check tutorial/skew-normal --level quick --seed 5`." in card

    def test_a_card_of_failures_says_so(self, probgen, only_these, tmp_path):
        only_these(saying("bad", fails("no | never", bias=0.5)))
        assert probgen(f"check log-variance --only bad --card {tmp_path / 'card.md'}")[0] == 1
        card = (tmp_path / "card.md").read_text()
        assert "It **does not conform**. 1 checks ran: 1 failed." in card
        assert "```text\nbad [log-variance]: failed\n    bad 0: FAILS" in card

    def test_the_card_says_what_was_claimed_and_on_which_problems_it_was_seen(self, probgen, tmp_path):
        assert probgen(f"check log-variance --seed 5 --only claims --only state --card {tmp_path / 'card.md'}")[0] == 0
        card = (tmp_path / "card.md").read_text()
        assert "It estimates `elbo` [nats], which training makes large. It needs a LatentVariable." in card
        assert "| every phase | gradient by `*` | unbiased for grad:elbo |" in card
        assert "| value in phase main: unbiased for elbo | passed | exact: " in card
        assert "- state of log-variance: " in card
        assert "To see it again: `probgen check log-variance --level quick --seed 5 --only claims --only state`." in card

    def test_the_card_of_a_model_says_what_it_can_do(self, probgen, only_these, tmp_path):
        only_these(saying("good", conforms("yes", samples=49)))
        assert probgen(f"check tutorial/skew-normal --only good --card {tmp_path / 'card.md'}")[0] == 0
        card = (tmp_path / "card.md").read_text()
        assert "| tutorial/skew-normal[one] | real (1,) | none | Density, Reparameterized, Sampler |" in card
        assert "| good | tutorial/skew-normal[one] | passed | exact | – |" in card

"""The card: what was claimed, what it was held against, what was not looked at; the same byte for byte."""

from __future__ import annotations

import dataclasses

from torch.distributions import Bernoulli, Dirichlet, Normal

from probgen import ELBO, MaximumLikelihood, WakeSleep
from probgen.claims import Claims, Heuristic, Unbiased
from probgen.testing import Judgement, Level, Report, Result, Status, conforms, fails
from probgen.testing.card import HEADINGS, card, rows
from probgen.testing.promises import capability_rows, claim_rows, described, place_rows
from probgen.testing.subjects import subjects_of
from probgen.testing.verdict import Outcome, Tier, Verdict

CLAIM = "value in phase main: unbiased for elbo"


def drawn(samples=2000, detectable=0.2):
    return Verdict(Outcome.CONFORMS, samples, 1e-9, detectable, 0.01, None, Tier.LADDER, "within", 7)


def result(check, *judgements, status=Status.PASSED, reason="", subject="elbo"):
    said = tuple(Judgement(claim, verdict) for claim, verdict in judgements)
    return Result(check, subject, status, said, reason, seconds=1.0)


REPORT = Report(
    (
        result(
            "claims",
            (f"{CLAIM}, on one-bit", conforms("yes", detectable=1e-9, samples=930)),
            (f"{CLAIM}, on one-bit, 2 steps later", conforms("yes", detectable=1e-9, samples=930)),
            (f"{CLAIM}, on hierarchy", drawn()),
            ("gradient in phase main: unbiased for grad:elbo, on one-bit", conforms("yes", detectable=1e-9)),
        ),
        result("state", status=Status.SKIPPED, reason="it has no state"),
        result("extremes", ("finite", fails("no | never", bias=0.5)), status=Status.FAILED),
    )
)


def page(report=REPORT, subjects=()):
    return card(
        report, name="elbo", level=Level.QUICK, seed=3, versions={"probgen": "1"}, command="again", subjects=subjects
    )


def section(text, heading):
    return text.split(f"## {heading}\n\n")[1].split("\n\n## ")[0].splitlines()


class TestCard:
    def test_it_says_what_an_estimator_claims_in_each_phase_and_by_group(self):
        lines = section(page(subjects=subjects_of({"wake-sleep": WakeSleep()})), "What it claims")
        assert lines[0].startswith("It estimates `elbo` [nats], which training makes large. It needs a LatentVariable.")
        assert "| wake | value | unbiased for elbo |" in lines
        assert "| sleep | value | unbiased for sleep |" in lines
        assert "| every phase | gradient by `generative.*` | unbiased for grad:elbo |" in lines
        assert "| every phase | gradient by `inference.*` | unbiased for grad:sleep |" in lines

    def test_it_says_what_claims_were_held_against_and_on_what_that_rests(self):
        lines = section(page(), "What the claims were held against")
        assert lines[2:4] == [
            f"| {CLAIM} | passed | exact: one-bit; ladder: hierarchy | 0.2 |",
            "| gradient in phase main: unbiased for grad:elbo | passed | exact: one-bit | 1e-09 |",
        ]

    def test_it_says_what_was_not_checked_and_why(self):
        assert section(page(), "What was not checked")[0] == "- state of elbo: it has no state"

    def test_what_a_model_can_do_stands_in_it(self):
        lines = section(page(subjects=subjects_of({"coin": Bernoulli(0.3)})), "What it claims to be able to do")
        assert lines[2] == "| coin | binary () | none | Density, Enumerable, Sampler |"

    def test_findings_and_waivers(self):
        waived = result("pure", ("pure", fails("no")), status=Status.EXPECTED_FAILURE, reason="it counts its calls")
        text = page(Report((*REPORT.results, waived)))
        assert section(text, "Known failures")[0] == "- pure of elbo: it counts its calls"
        assert section(text, "Findings")[:3] == [
            "```text",
            "extremes [elbo]: failed",
            "    finite: FAILS (exact): no | never",
        ]
        assert "It **does not conform**." in text

    def test_there_is_no_section_about_nothing(self):
        text = page(Report((result("pure", ("pure", conforms("yes"))),)))
        assert [line for line in text.splitlines() if line.startswith("## ")] == ["## What was checked"]
        assert "## " not in page(Report(()))

    def test_it_ends_in_the_command_that_shows_it_again(self):
        assert page().endswith("\n\nTo see it again: `again`.\n")

    def test_how_long_it_took_does_not_matter(self):
        slower = Report(tuple(dataclasses.replace(each, seconds=9.0) for each in REPORT.results))
        assert page() == page(slower)


class TestRows:
    def test_draws_are_counted_and_quadrature_nodes_are_not(self):
        counts = {row[0]: row[HEADINGS.index("draws")] for row in rows(REPORT)}
        assert counts == {"claims": "2,000", "extremes": "–"}

    def test_a_claim_that_fails_somewhere_failed(self):
        report = Report((result("claims", (f"{CLAIM}, on a", conforms("yes")), (f"{CLAIM}, on b", fails("no"))),))
        assert place_rows(report) == [[CLAIM, "failed", "exact: a, b", "–"]]

    def test_other_judgements_stand_for_no_claim(self):
        assert place_rows(Report((result("claims", ("claims", conforms("yes"))),))) == []

    def test_models_whose_support_has_no_short_name(self):
        subjects = subjects_of({"corner": Dirichlet(Normal(0.0, 1.0).mean.expand(3) + 1)})
        assert capability_rows(subjects)[0][1] == "Simplex() (3,)"


class Silent(MaximumLikelihood):
    """It says that nothing is promised."""

    batch_coupled = True
    requires = ()

    @property
    def claims(self):
        return Claims(value=Heuristic("a try"), gradient={"a.*": Unbiased("grad:a"), "*": Heuristic("a try")})


def test_estimators_in_words():
    assert described(ELBO()).endswith("It needs a LatentVariable.")
    assert described(Silent()).endswith(
        "It needs nothing in particular. Examples of a batch share randomness or statistics."
    )
    assert claim_rows(Silent()) == [
        ["every phase", "value", "heuristic: a try"],
        ["every phase", "gradient by `a.*`", "unbiased for grad:a"],
        ["every phase", "gradient by `*`", "heuristic: a try"],
    ]


def test_a_verdict_counts_draws_only_where_there_are_some():
    exact = Verdict(Outcome.FAILS, 930, 0.0, 0.0, None, None, Tier.EXACT, "so")
    assert str(exact) == "FAILS (exact): so"
    assert str(drawn()) == "CONFORMS after 2000 samples (ladder, level 1e-09): within [seed 7]"

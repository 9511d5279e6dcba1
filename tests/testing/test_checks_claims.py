"""The check of claims: every wrong twin fails it, and estimators that are right pass."""

import pytest
import torch

from helpers.twins import first_failure
from probgen import (
    ELBO,
    IWAE,
    MMD,
    REINFORCE,
    VIMCO,
    Adversarial,
    Batch,
    ContrastiveDivergence,
    GumbelSoftmax,
    MaximumLikelihood,
    ReweightedWakeSleep,
    ScoreMatching,
    SiteStrategies,
    StraightThrough,
    WakeSleep,
)
from probgen.claims import Claims, Heuristic, LowerBound, Unbiased
from probgen.estimators.baselines import Learned, MovingAverage
from probgen.estimators.iwae_gradients import STL, DReG
from probgen.testing.checks.claims import check_claims
from probgen.testing.checks.estimators import estimator_checks
from probgen.testing.checks.scenes import Latents, set_up
from probgen.testing.problems import known_problems
from probgen.testing.problems.belief_nets import belief_net_problem
from probgen.testing.report import Status
from probgen.testing.running import run_check
from probgen.testing.trial import Trial
from probgen.testing.twins import contrastive, discrepancy, game, latent_bounds, score, score_functions, strategies
from probgen.testing.twins.likelihoods import PlainLikelihood
from probgen.testing.verdict import Outcome

CLAIMS = next(check for check in estimator_checks() if check.name == "claims")
SLOW = (
    "the penalty looks at the data",
    "importance weights are differentiated",
    "closed-form divergence inside the importance weight",
)
"""Only draws decide."""

EXACT = {
    "elbo": ELBO(),
    "beta-elbo": ELBO(beta=0.5, analytic_kl=False),
    "dreg": IWAE(num_particles=2, gradient=DReG()),
    "stl": IWAE(num_particles=2, gradient=STL()),
    "reinforce": REINFORCE(),
    "nvil": REINFORCE(num_particles=1, baseline=MovingAverage(after=Learned(hidden=(3,))), normalise_variance=True),
    "vimco": VIMCO(num_particles=3),
    "enumerated": SiteStrategies(),
    "straight-through": StraightThrough(analytic_kl=False),
    "wake-sleep": WakeSleep(),
    "reweighted": ReweightedWakeSleep(num_particles=2, sleep_guide=True),
    "maximum-likelihood": MaximumLikelihood(),
    "contrastive-divergence": ContrastiveDivergence(k=2),
    "score-matching": ScoreMatching(),
    "adversarial": Adversarial(),
    "mmd": MMD(),
}
QUICK = ("elbo", "vimco", "maximum-likelihood", "contrastive-divergence")
"""The others are seen to pass, at their defaults and in variants, where the core's own conformance is tested."""

BY_DRAWS = {"gumbel-softmax": GumbelSoftmax(temperature=0.7), "hard": GumbelSoftmax(hard=True), "iwae": IWAE()}


def run(estimator, **options):
    return run_check(CLAIMS, estimator, "subject", entropy=1, **options)


def judgements(estimator, trial=None):
    return list(check_claims(estimator, trial or Trial("claims", "subject", entropy=1)))


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in CLAIMS.twins])
def test_each_wrong_twin_fails(name):
    assert first_failure(CLAIMS, CLAIMS.twins[name]()) is not None


def test_twins_of_all_families_are_there():
    modules = (latent_bounds, score_functions, strategies, contrastive, discrepancy, game, score)
    assert len(CLAIMS.twins) == sum(len(module.TWINS) for module in modules)


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in QUICK)) for name in EXACT])
def test_right_estimators_pass(name):
    result = run(EXACT[name])
    assert result.status is Status.PASSED, str(result)


@pytest.mark.slow
@pytest.mark.parametrize("estimator", [pytest.param(value, id=name) for name, value in BY_DRAWS.items()])
def test_right_estimators_pass_where_draws_decide(estimator):
    result = run(estimator)
    assert result.status is Status.PASSED, str(result)


def test_words_and_memory():
    """A claim says where and what; an estimator that remembers is looked at later, too; the subject is not initialised."""
    estimator = REINFORCE(num_particles=1, baseline=MovingAverage(after=Learned(hidden=(3,))))
    found = {judgement.claim: judgement.verdict for judgement in judgements(estimator)}
    assert found["value in phase main: unbiased for elbo, on one-bit"].detectable == 1e-9
    assert "value in phase main: unbiased for elbo, on one-bit, 2 steps later" in found
    assert estimator.learned is None


class _Claiming(PlainLikelihood):
    def __init__(self, claims):
        self.said = claims

    @property
    def claims(self):
        return self.said


class TestUndecided:
    def test_a_quantity_that_no_problem_knows(self):
        found = judgements(_Claiming(Claims(value=Unbiased("happiness"), gradient={"*": Unbiased("grad:log_prob")})))
        assert found[-1].verdict.outcome is Outcome.INCONCLUSIVE
        assert "knows happiness" in found[-1].verdict.reason or "could tell happiness" in found[-1].verdict.reason

    @pytest.mark.parametrize(
        ("said", "told"),
        [
            ("log-prob", "Did you mean 'log_prob'"),
            ("mmd2", "It is known on two-point-cloud"),
            ("dsm[rsimple]", "What stands in brackets is not one that dsm is known for"),
            ("happiness", "Available: began, began-generator, beta-elbo, "),
        ],
    )
    def test_the_nearest_names_are_told(self, said, told):
        found = judgements(_Claiming(Claims(value=Unbiased(said), gradient={"*": Unbiased("grad:log_prob")})))
        assert told in found[-1].verdict.reason
        assert "`probgen.testing.known_problems()` and the page on checks list them" in found[-1].verdict.reason

    def test_an_estimator_that_fits_nothing(self):
        class Choosy(MaximumLikelihood):
            requires = (Batch,)

        (only,) = judgements(Choosy())
        assert only.verdict.outcome is Outcome.INCONCLUSIVE

    def test_what_promises_nothing_is_reported(self):
        claims = Claims(value=Heuristic("a score"), gradient={"*": Unbiased("grad:log_prob")})
        found = judgements(_Claiming(claims))
        assert "value in phase main: heuristic: a score, on categorical" in [judgement.claim for judgement in found]

    def test_a_bound_on_the_wrong_side_fails(self):
        class Above(PlainLikelihood):
            claims = Claims(value=LowerBound("log_prob"), gradient={"*": Unbiased("grad:log_prob")})

            def scores(self, model, batch):
                return super().scores(model, batch) + 1e-6

        assert first_failure(CLAIMS, Above()).claim.startswith("value in phase main: lower bound on log_prob")


class TestKindsOfLatents:
    """An answer on one kind of latents is none on another."""

    def test_only_the_kind_that_is_wrong_fails(self):
        right = []
        for judgement in check_claims(score_functions.ForgetsBitsBesidePaths(), Trial("claims", "subject", entropy=1)):
            if judgement.verdict.outcome is Outcome.FAILS:
                break
            right.append(judgement.claim.rpartition(" on ")[2])
        assert judgement.claim == "value in phase main: unbiased for elbo, on mixed-latents-near-posterior"
        assert {"one-bit", "gaussian-autoencoder"} == set(right)

    @pytest.mark.slow
    def test_the_same_without_its_mistake_passes(self, monkeypatch):
        kept = score_functions.ForgetsBitsBesidePaths
        monkeypatch.setattr(kept, "forgotten", lambda self, scores, *, mixed: torch.zeros_like(scores))
        assert run(kept()).status is Status.PASSED

    @pytest.mark.parametrize(
        ("problem", "latents"),
        [
            ("categorical", Latents.NONE),
            ("one-bit", Latents.DISCRETE),
            ("gaussian-autoencoder", Latents.REPARAMETERIZED),
            ("mixed-latents", Latents.MIXED),
        ],
    )
    def test_kinds(self, problem, latents):
        model = (
            MaximumLikelihood() if latents is Latents.NONE else ELBO() if latents is Latents.REPARAMETERIZED else REINFORCE()
        )
        assert set_up(model, known_problems()[problem], seed=1).latents is latents


def test_a_plugins_problem_is_looked_at_as_well():
    problem = belief_net_problem("their-own", visible=2, latents=1, seed=400)
    found = judgements(REINFORCE(), Trial("claims", "subject", entropy=1, problems=(problem,)))
    assert any(judgement.claim.endswith("on their-own") for judgement in found)

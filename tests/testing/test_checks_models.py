"""Checks of models: every wrong twin is caught, right models pass, and a mistake is found where it is."""

from __future__ import annotations

import pytest
import torch
from torch import distributions, nn

from probgen import as_model
from probgen.capabilities import capabilities
from probgen.testing.checks.models import model_checks
from probgen.testing.report import Status
from probgen.testing.running import run_check
from probgen.testing.twins import density, gradients, markov, matching, originals, reparameterized, sampler, shapes
from probgen.testing.verdict import Tier

CHECKS = {check.name: check for check in model_checks()}
TWINS = [(check.name, mistake) for check in CHECKS.values() for mistake in check.twins]


def independent(distribution):
    return distributions.Independent(distribution, 1)


RIGHT = {
    "gaussian": originals.Gaussian,
    "gaussian in three dimensions": lambda: originals.Gaussian(features=3),
    "conditional gaussian": lambda: originals.Gaussian(features=1, context=2),
    "coins": originals.Coins,
    "machine": originals.Machine,
    "bit pair": originals.BitPair,
    "normal pair": originals.NormalPair,
    "affine": lambda: originals.Affine(context=2),
    "chain of bits": originals.BitChain,
    "chain of reals": originals.RealChain,
    "noising": originals.Noising,
    "normal": lambda: as_model(distributions.Normal(0.3, 2.0)),
    "narrow and far out": lambda: as_model(distributions.Normal(1000.0, 0.01)),
    "poisson": lambda: as_model(distributions.Poisson(3.0)),
    "heavy tails": lambda: as_model(distributions.StudentT(3.0)),
    "poles at both ends": lambda: as_model(distributions.Beta(0.7, 0.6)),
    "gamma": lambda: as_model(distributions.Gamma(2.0, 1.0)),
    "interval": lambda: as_model(distributions.Uniform(0.0, 2.0)),
    "simplex": lambda: as_model(distributions.Dirichlet(torch.full((3,), 2.0))),
    "one-hot": lambda: as_model(distributions.OneHotCategorical(torch.ones(3))),
    "many bits": lambda: as_model(independent(distributions.Bernoulli(torch.full((14,), 0.3)))),
    "two modes": lambda: as_model(
        distributions.MixtureSameFamily(
            distributions.Categorical(torch.ones(2)),
            distributions.Normal(torch.tensor([-3.0, 3.0]), torch.tensor([0.1, 1.0])),
        )
    ),
    "kinks in the plane": lambda: as_model(independent(distributions.Laplace(torch.zeros(2), torch.ones(2)))),
    "positive plane": lambda: as_model(independent(distributions.LogNormal(torch.zeros(2), torch.ones(2)))),
    "correlated": lambda: as_model(distributions.MultivariateNormal(torch.zeros(3), torch.eye(3) + 0.3)),
}


@pytest.mark.parametrize(("name", "mistake"), TWINS, ids=[f"{name}: {mistake}" for name, mistake in TWINS])
def test_every_twin_is_caught(name, mistake):
    check = CHECKS[name]
    twin = check.twins[mistake]()
    assert set(check.needs) <= capabilities(twin)
    result = run_check(check, twin, "twin", entropy=1)
    assert result.status is Status.FAILED, result


@pytest.mark.parametrize("name", RIGHT)
def test_right_models_pass(name):
    subject = RIGHT[name]()
    results = [
        run_check(check, subject, name, entropy=2) for check in CHECKS.values() if set(check.needs) <= capabilities(subject)
    ]
    wrong = [str(result) for result in results if result.status not in (Status.PASSED, Status.SKIPPED)]
    assert not wrong, "\n".join(wrong)
    assert sum(result.status is Status.PASSED for result in results) >= 4


def test_the_examples_of_the_vae_pass():
    examples = pytest.importorskip("probgen_latent.examples").vae()
    for name in ("bernoulli", "conditional", "gaussian"):
        subject = examples[name]
        for check in CHECKS.values():
            if set(check.needs) <= capabilities(subject):
                result = run_check(check, subject, name, entropy=3)
                assert result.status in (Status.PASSED, Status.SKIPPED), result


@pytest.mark.parametrize(
    ("make", "passes"),
    [
        (matching.DrawsTooWidely, ("shapes", "normalised", "finite-differences", "draws-in-support", "fresh-draws")),
        (matching.DrawsAnotherCoin, ("normalised", "draw-shapes", "generator", "rsample-gradients", "enumeration")),
        (density.ForgetsTheLogDeterminant, ("shapes", "outside-support", "finite-differences", "batch-independent")),
        (gradients.DetachesTheEvent, ("normalised", "shapes", "samples-match", "repeatable")),
        (shapes.SortsTheBatch, ("shapes", "repeatable", "draws-in-support")),
        (sampler.HasAGeneratorOfItsOwn, ("normalised", "draws-in-support", "draw-shapes")),
        (reparameterized.ScalesTheGradient, ("samples-match", "joint-draw-and-score", "normalised", "finite-differences")),
        (markov.NeverMoves, ("invariant", "kernel-pure", "energy-shapes")),
        (markov.FlipsASign, ("chain-moves", "kernel-pure", "finite-differences")),
    ],
)
def test_a_mistake_is_found_where_it_is(make, passes):
    subject = make()
    for name in passes:
        if set(CHECKS[name].needs) <= capabilities(subject):
            result = run_check(CHECKS[name], subject, "twin", entropy=4)
            assert result.status in (Status.PASSED, Status.SKIPPED), result


class Turning(originals.Affine):
    """Turns its noise by a parameter: draws move along the law of their events, and not with their noise."""

    def __init__(self):
        super().__init__()
        self.angle = nn.Parameter(torch.tensor(0.4))

    def _rsample(self, n, context):
        cos, sin, zero = self.angle.cos(), self.angle.sin(), torch.zeros_like(self.angle)
        turn = torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, zero + 1]).reshape(3, 3)
        return self._inverse(torch.randn(n, 3, dtype=self.loc.dtype) @ turn, context)[0]


class TestDrawsThroughBijections:
    @pytest.mark.parametrize("level", ["quick", "thorough"])
    def test_those_that_stay_at_their_noise_are_right_without_chance(self, level):
        result = run_check(CHECKS["rsample-gradients"], originals.Affine(context=2), "affine", level=level, entropy=2)
        assert [judgement.verdict.tier for judgement in result.judgements] == [Tier.EXACT]
        assert result.status is Status.PASSED, result

    def test_those_that_move_in_another_right_way_are_left_to_draws(self):
        result = run_check(CHECKS["rsample-gradients"], Turning(), "turning", entropy=2)
        assert [judgement.verdict.tier for judgement in result.judgements] == [Tier.LADDER]
        assert result.status is Status.PASSED, result


def test_checks_have_names_of_their_own_and_twins_say_what_is_wrong():
    assert len(CHECKS) == len(model_checks())
    for check in CHECKS.values():
        assert check.kind == "model"
        for mistake, make in check.twins.items():
            assert make.__doc__, mistake


def test_a_subject_stays_as_it_was():
    subject = originals.Gaussian(context=1)
    before = {name: value.clone() for name, value in subject.state_dict().items()}
    subject.train()
    for check in CHECKS.values():
        if set(check.needs) <= capabilities(subject):
            run_check(check, subject, "gaussian", entropy=5)
    assert subject.training
    assert all(torch.equal(value, before[name]) for name, value in subject.state_dict().items())
    assert all(parameter.grad is None for parameter in subject.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", RIGHT)
def test_right_models_pass_at_the_standard_level(name):
    subject = RIGHT[name]()
    for check in CHECKS.values():
        if set(check.needs) <= capabilities(subject):
            result = run_check(check, subject, name, level="standard", entropy=6)
            assert result.status in (Status.PASSED, Status.SKIPPED), result

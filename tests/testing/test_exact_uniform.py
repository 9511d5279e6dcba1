"""Uniform noise that programs compute with: what is integrated, what is cut first, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.distributions as dist
from torch import Tensor

from probgen import REBAR, RELAX
from probgen.estimators import relax
from probgen.testing import Level, NotEnumerable, exact_expectation, exact_law
from probgen.testing.checks.claims import check_claims
from probgen.testing.checks.questions import questions, target_of
from probgen.testing.checks.scenes import gradients_of, set_up
from probgen.testing.problems import known_problems
from probgen.testing.trial import Trial
from probgen.testing.verdict import Outcome, Tier

DOUBLE = {"dtype": torch.float64}
SHIFT = torch.tensor([0.3], **DOUBLE)


def uniform(count: int = 1) -> Tensor:
    return torch.rand(count, **DOUBLE)


def logistic() -> Tensor:
    return SHIFT + uniform().clamp(1e-12, 1 - 1e-12).logit()


def gumbel() -> Tensor:
    return -(-uniform().log()).log()


def above(noise: Tensor, threshold: float) -> Tensor:
    return (noise > threshold).double()


def piecewise() -> Tensor:
    noise = uniform()
    return torch.where(noise < 0.25, noise**2, -noise)


def threshold_and_relaxation() -> Tensor:
    noisy = logistic()
    return above(noisy, 0.0) * (noisy.detach() / 0.5).sigmoid()


def relaxation_above_zero() -> float:
    points = torch.linspace(0, 1, 2_000_001, **DOUBLE)[1:-1]
    noisy = SHIFT + points.logit()
    return ((noisy > 0) * (noisy / 0.5).sigmoid()).mean().item()


SMOOTH = {
    "the variable": (uniform, 1 / 2, 1 / 12),
    "a polynomial": (lambda: uniform() ** 3, 1 / 4, 1 / 7 - 1 / 16),
    "between other ends": (lambda: dist.Uniform(-SHIFT, 3 * SHIFT).rsample() ** 2, 0.21, None),
    "in place": (lambda: uniform().mul_(2).sub_(1), 0.0, 1 / 3),
    "a product of two": (lambda: uniform(2).prod(0, keepdim=True), 1 / 4, 1 / 9 - 1 / 16),
    "copied": (lambda: torch.zeros(1, **DOUBLE).copy_(uniform()), 1 / 2, 1 / 12),
    "vmapped": (
        lambda: torch.func.vmap(lambda x: torch.rand_like(x) ** 2, randomness="different")(SHIFT),
        1 / 3,
        1 / 5 - 1 / 9,
    ),
    "cut, then read": (piecewise, 0.25**3 / 3 - (1 - 0.25**2) / 2, None),
    "a threshold and a relaxation of one noise": (threshold_and_relaxation, relaxation_above_zero(), None),
}
CUT = {
    "logistic": (lambda: above(logistic(), 0.0), torch.sigmoid(SHIFT).item()),
    "Gumbel": (lambda: above(gumbel(), 1.0), 1 - math.exp(-math.exp(-1.0))),
    "exponential": (lambda: above(-torch.log1p(-uniform()), 2.0), math.exp(-2.0)),
    "turned round": (lambda: above(1 - uniform(), 0.7), 0.3),
    "scaled": (lambda: above(-2 * uniform() / 4, -0.005), 0.01),
    "beyond a clamp": (lambda: above(uniform().clamp(0.2, 0.8), 0.9), 0.0),
    "at a clamp": (lambda: 1 - above(uniform().clamp(0.2, 0.8), 0.3), 0.3),
    "squashed": (lambda: above((4 * uniform() - 2).sigmoid(), 0.5), 0.5),
}
REFUSED = {
    "a rare jump of two variables": lambda: (uniform(2).prod() < 0.005).double(),
    "a rare jump of a power": lambda: (uniform() ** 2 < 1e-6).double(),
    "a jump that is selected by": lambda: torch.where(uniform() ** 2 < 0.5, 1.0, 0.0),
    "whole numbers": lambda: (uniform() ** 2 * 10).long(),
    "rounding": lambda: (uniform() ** 2 * 10).floor(),
    "a number that Python reads": lambda: torch.tensor(uniform()[0].item()),
    "the largest of several": lambda: (uniform(3) ** 2).argmax().double(),
    "a kink": lambda: (uniform() ** 2 - 0.3).relu(),
    "a singularity": lambda: uniform().log(),
    "the probability of another draw": lambda: torch.bernoulli(uniform()),
    "the mean of another draw": lambda: torch.normal(uniform(), SHIFT),
}


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_pieces_are_integrated(name: str) -> None:
    program, mean, variance = SMOOTH[name]
    moments = exact_expectation(program)
    assert moments.mean.item() == pytest.approx(mean, abs=1e-6)
    if variance is not None:
        assert moments.variance.item() == pytest.approx(variance, abs=1e-9)


@pytest.mark.parametrize("name", CUT)
def test_a_monotone_function_is_cut_where_it_is_compared(name: str) -> None:
    program, mean = CUT[name]
    moments = exact_expectation(program)
    assert moments.mean.item() == pytest.approx(mean, abs=1e-12)
    assert moments.paths <= 2


@pytest.mark.parametrize("name", REFUSED)
def test_what_a_rule_does_not_see_is_refused(name: str) -> None:
    with pytest.raises(NotEnumerable):
        exact_expectation(REFUSED[name])


def test_arguments_may_be_validated() -> None:
    moments = exact_expectation(lambda: dist.Normal(uniform() ** 2, 1.0, validate_args=True).mean)
    assert moments.mean.item() == pytest.approx(1 / 3)


def test_noise_that_is_only_compared_takes_no_nodes() -> None:
    def program() -> Tensor:
        bits, weight = uniform(2) < 0.3, uniform() ** 2
        return bits.double() * weight

    assert exact_expectation(program).paths == 4 * 16


def elsewhere() -> Tensor:
    noise = uniform()
    return torch.lt(noise, SHIFT, out=torch.empty_like(noise)) + 2 * torch.gt(noise, 0.5, out=torch.empty_like(noise))


def over_the_noise() -> Tensor:
    noise = uniform()
    high = noise > 0.5
    return noise.lt_(SHIFT) + 2 * high


def over_the_threshold() -> Tensor:
    noise, shift = uniform(), SHIFT.clone()
    return shift.gt_(noise) + 2 * (noise > 0.5)


@pytest.mark.parametrize("program", [elsewhere, over_the_noise, over_the_threshold])
def test_a_comparison_may_be_written_anywhere(program: Callable[[], Tensor]) -> None:
    """1 below 0.3, 2 above a half, and 0 between; the noise itself is no more where it was written over."""
    moments = exact_expectation(program)
    assert moments.paths == 3
    assert moments.mean.item() == pytest.approx(0.3 + 2 * 0.5, abs=1e-12)
    assert moments.variance.item() == pytest.approx(0.3 + 4 * 0.5 - 1.3**2, abs=1e-12)


@pytest.mark.parametrize("estimator", [RELAX(hidden=(4,)), REBAR()])
def test_learned_control_variates_are_unbiased_where_there_are_bits(estimator: RELAX | REBAR) -> None:
    scene = set_up(estimator, known_problems()["one-bit"], seed=0)
    (phase,) = scene.phases
    names = list(phase.parameters)

    def draw() -> Tensor:
        found = gradients_of(phase, scene.estimate(phase))
        return torch.cat([found[name].flatten() for name in names])

    law = exact_law(draw, nodes=8)
    sizes = [parameter.numel() for parameter in phase.parameters.values()]
    means = dict(zip(names, torch.from_numpy(law.mean).split(sizes), strict=True))
    for question in questions(scene.estimator, phase):
        if question.names:
            target = target_of(scene, question)
            assert (torch.cat([means[name] for name in question.names]) - target).norm() < 1e-5 * target.norm()


def test_a_slightly_wrong_control_variate_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    bits = known_problems()["one-bit"]
    monkeypatch.setattr("probgen.testing.checks.scenes.known_problems", lambda: {bits.name: bits})
    monkeypatch.setattr(relax, "_residual", lambda signal, guess: signal - 0.999 * guess)
    judged = [each for each in check_claims(REBAR(), Trial("claims", "rebar", Level.QUICK, 0)) if "grad:elbo" in each.claim]
    assert [each.verdict.tier for each in judged] == [Tier.EXACT]
    assert [each.verdict.outcome for each in judged] == [Outcome.FAILS]

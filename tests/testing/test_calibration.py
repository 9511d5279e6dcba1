"""Error rates of the engine, by brute force: false alarms, false passes, and what its corrections are for."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom, norm

from probgen.testing import FiniteLaw, false_alarms, power
from probgen.testing.ladder import Levels
from probgen.testing.quantiles import block_radius, normal_quantile, skewed_quantile
from probgen.testing.screen import Question, certified, t_ratio
from probgen.testing.sums import Sums


def estimator_like() -> FiniteLaw:
    """A law of twelve dependent coordinates with two dozen outcomes, skewed like a gradient estimator's."""
    stream = np.random.default_rng(0)
    probabilities = np.maximum(stream.dirichlet(np.ones(24)), 0.01)
    return FiniteLaw(stream.normal(size=(24, 12)) + 0.3, probabilities / probabilities.sum())


def rare_event(probability: float) -> FiniteLaw:
    return FiniteLaw(np.array([[0.0], [1.0]]), np.array([1 - probability, probability]))


def lognormal(outcomes: int = 60) -> FiniteLaw:
    middles = (np.arange(outcomes) + 0.5) / outcomes
    return FiniteLaw(np.exp(norm.ppf(middles))[:, None], np.full(outcomes, 1 / outcomes))


def allowance(rate: float, runs: int) -> float:
    """Five standard errors of a measured rate."""
    return 5 * math.sqrt(rate / runs)


class TestFalseAlarms:
    def check(self, runs: int) -> None:
        ladder = false_alarms(estimator_like(), alpha=1e-2, runs=runs, seed=0)
        screen = false_alarms(estimator_like(), alpha=1e-2, runs=runs, seed=1, screen_level=1e-2)
        assert ladder.refuted <= 1.2e-2
        assert ladder.suspected <= 1.2 * ladder.screen_level
        assert screen.suspected <= 1.2e-2
        assert screen.suspected > 1e-3  # it does look

    def test_at_one_percent(self) -> None:
        self.check(runs=10_000)

    @pytest.mark.slow
    def test_at_one_percent_in_many_runs(self) -> None:
        self.check(runs=100_000)

    @pytest.mark.parametrize(("probability", "factor"), [(0.01, 5), (0.02, 2)])
    def test_the_corrections_for_skewness_are_needed(self, probability: float, factor: int) -> None:
        law = rare_event(probability)
        blind = false_alarms(law, alpha=1e-2, runs=20_000, seed=0, screen_level=1e-3, skewness=np.zeros(1))
        seeing = false_alarms(law, alpha=1e-2, runs=20_000, seed=0, screen_level=1e-3)
        assert blind.suspected > factor * 1e-3
        assert seeing.suspected <= 1e-3


class TestConfirmation:
    LEVEL = Levels(1e-9).confirmation

    @pytest.mark.parametrize("sign", [-1, 1])
    @pytest.mark.parametrize("law", [estimator_like(), lognormal()], ids=["estimator", "lognormal"])
    def test_its_size_is_nominal_from_the_gate_on(self, law: FiniteLaw, sign: int) -> None:
        runs = 400_000
        worst = int(np.abs(law.skewness).argmax())
        scalar = FiniteLaw(sign * law.values[:, [worst]], law.probabilities)
        n = 3 * max(1000, math.ceil(415 * float(scalar.skewness[0]) ** 2))
        sums = scalar.sums(n, scalar.mean, np.random.default_rng(7), runs=runs)
        rate = (t_ratio(sums, level=self.LEVEL) > 1).mean()
        assert rate <= 1.3 * self.LEVEL + allowance(self.LEVEL, runs)
        assert rate >= self.LEVEL / 2

    def test_without_the_gate_it_is_not(self) -> None:
        assert self.exact_size(0.05, n=100) > 3 * self.LEVEL
        assert self.exact_size(0.05, n=3 * 415 * 18) < 1.3 * self.LEVEL

    def exact_size(self, probability: float, n: int) -> float:
        """Probability that a correct mean is rejected from below, summed over how often the event occurs."""
        counts = np.arange(n + 1.0)
        centred = np.array([probability - 0.0, probability - 1.0])
        table = np.stack([n - counts, counts], 1)
        sums = Sums(n, table @ centred[:, None], (table @ centred**2)[:, None, None], table @ centred[:, None] ** 3)
        return float(binom.pmf(counts, n, probability)[t_ratio(sums, level=self.LEVEL) > 1].sum())


class TestQuantiles:
    def test_no_skewness_is_the_normal_quantile(self) -> None:
        assert skewed_quantile(1e-4, np.zeros(2), 50, side=1) == pytest.approx(normal_quantile(1e-4))

    def test_the_corrected_tail_is_nominal_where_the_plain_one_is_not(self) -> None:
        level, n, runs = 1e-3, 1000, 200_000
        law = lognormal()
        sums = FiniteLaw(-law.values, law.probabilities).sums(n, -law.mean, np.random.default_rng(0), runs=runs)
        statistic = sums.mean[:, 0] / sums.deviation[:, 0] * math.sqrt(n)
        plain = (statistic > normal_quantile(level)).mean()
        corrected = (statistic > skewed_quantile(level, sums.skewness[:, 0], n, side=1)).mean()
        assert plain > 1.8 * level
        assert corrected < 1.3 * level

    @pytest.mark.parametrize("exponent", [1.0, 3.0, 5.0])
    def test_the_mean_leaves_the_radius_as_rarely_as_promised(self, exponent: float) -> None:
        stream = np.random.default_rng(0)
        root = stream.normal(size=(4, 4)) @ np.diag([3.0, 1.0, 0.1, 0.0])
        runs, n = 20_000, 100
        means = stream.normal(size=(runs, 4)) @ root.T / math.sqrt(n)
        radius = block_radius(root @ root.T, np.zeros(4), n, exponent)
        rate = (np.linalg.norm(means, axis=1) > radius).mean()
        assert rate <= math.exp(-exponent) + allowance(math.exp(-exponent), runs)


class TestCertificates:
    @pytest.mark.parametrize("side", [0, -1, 1])
    def test_the_true_bias_is_rarely_excluded(self, side: int) -> None:
        runs, level = 5000, 0.05
        law = estimator_like()
        bias = 0.2 * np.abs(law.mean) * (side or 1)
        question = Question(target=law.mean - bias, blocks=(slice(0, 12),), side=side)
        sums = law.sums(3000, question.target, np.random.default_rng(0), runs=runs)
        coordinates = (side * bias / question.coordinate_scale()).max()
        truth = np.linalg.norm(bias) / question.scale if side == 0 else coordinates
        missed = (certified(sums, question, level=level, looks=1) < truth).mean()
        assert missed <= level + allowance(level, runs)


class TestPower:
    def test_large_biases_fail_and_small_ones_never_pass_for_none(self) -> None:
        rows = power(estimator_like(), [0.0, 0.1, 0.3], delta=0.1, runs=40, seed=0)
        assert [row.conforms for row in rows] == [1.0, 0.0, 0.0]
        assert [row.fails for row in rows] == [0.0, 1.0, 1.0]
        assert rows[2].samples <= rows[1].samples

    def test_a_direction_may_be_chosen(self) -> None:
        along = np.eye(12)[0]
        assert power(estimator_like(), [0.3], delta=0.3, runs=10, seed=0, direction=along)[0].fails == 1.0

"""The ladder: what it answers, and that it never answers more than it knows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probgen.errors import ConfigurationError, ShapeError
from probgen.testing import FiniteLaw, Inconclusive, Outcome, Tier, Verdict, assert_mean, decide_mean
from probgen.testing.ladder import Levels, look_sizes
from probgen.testing.screen import Question, certified, screened
from probgen.testing.sums import Sums

TARGET = np.array([1.0, -2.0, 0.5])


def gaussian(shift: object = 0.0, *, scale: object = 1.0, dtype: torch.dtype = torch.float64):
    def draw(n: int, seed: int) -> torch.Tensor:
        noise = torch.randn(n, len(TARGET), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        return (torch.as_tensor(TARGET) + torch.as_tensor(shift) + torch.as_tensor(scale) * noise).to(dtype)

    return draw


def decide(draw, target=TARGET, *, delta: float = 0.1, seed: int = 0, **options) -> Verdict:
    return decide_mean(draw, target, delta=delta, seed=seed, **options)


class TestVerdicts:
    def test_a_true_claim_conforms_with_a_certificate(self) -> None:
        verdict = decide(gaussian())
        assert verdict.outcome is Outcome.CONFORMS
        assert verdict.tier is Tier.LADDER
        assert verdict.detectable <= 0.1
        assert verdict.level == 1e-9
        assert verdict.bias is verdict.direction is None

    @pytest.mark.parametrize("coordinate", range(3))
    @pytest.mark.parametrize("sign", [-1, 1])
    def test_a_biased_coordinate_fails_and_is_named(self, coordinate: int, sign: int) -> None:
        shift = np.zeros(3)
        shift[coordinate] = sign * 0.5
        verdict = decide(gaussian(shift))
        assert verdict.outcome is Outcome.FAILS
        assert verdict.direction == f"coordinate {coordinate}"
        relative = 0.5 / np.linalg.norm(TARGET)
        error = 1 / np.sqrt(verdict.samples * 6 / 7) / np.linalg.norm(TARGET)  # six sevenths of the draws confirm
        assert verdict.bias == pytest.approx(relative, abs=5 * error)

    def test_a_bias_spread_over_many_coordinates_is_found_in_their_norm(self) -> None:
        features, stream = 400, np.random.default_rng(0)
        shift = 0.045 * stream.choice([-1.0, 1.0], size=features)

        def draw(n: int, seed: int) -> np.ndarray:
            return np.random.default_rng(seed).normal(size=(n, features)) + shift

        verdict = decide(draw, np.zeros(features), delta=1.0, max_samples=1500)
        assert verdict.outcome is Outcome.FAILS
        assert verdict.direction == "the whole vector"

    def test_a_bias_in_a_block_is_named_after_it(self) -> None:
        blocks = {"weight": slice(0, 2), "offset": slice(2, 3)}
        verdict = decide(gaussian([0.0, 0.0, 0.5]), blocks=blocks)
        assert verdict.direction in {"offset[0]", "offset"}

    def test_certifying_blocks_asks_more_of_small_ones(self) -> None:
        blocks = {"weight": slice(0, 2), "offset": slice(2, 3)}
        whole, each = (decide(gaussian(), blocks=blocks, by_block=by_block) for by_block in (False, True))
        assert whole.outcome is each.outcome is Outcome.CONFORMS
        assert each.samples > whole.samples

    def test_a_small_budget_is_inconclusive(self) -> None:
        verdict = decide(gaussian(scale=100.0), max_samples=2000)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert verdict.samples == 1500
        assert verdict.detectable > 0.1

    def test_tails_that_cannot_be_trusted_are_inconclusive(self) -> None:
        """The mean of most samples of this lognormal lies far below its expectation."""

        def draw(n: int, seed: int) -> np.ndarray:
            return np.exp(3.5 * np.random.default_rng(seed).normal(size=n))

        verdict = decide(draw, float(np.exp(3.5**2 / 2)), delta=1.5, max_samples=100_000)
        assert verdict.outcome is Outcome.INCONCLUSIVE

    def test_equal_seeds_give_equal_verdicts(self) -> None:
        assert decide(gaussian(), seed=3) == decide(gaussian(), seed=3)
        assert decide(gaussian(), seed=3).detectable != decide(gaussian(), seed=4).detectable

    def test_seeds_of_calls_differ(self) -> None:
        seeds: list[int] = []

        def draw(n: int, seed: int) -> torch.Tensor:
            seeds.append(seed)
            return gaussian(scale=3.0)(n, seed)

        decide(draw)
        assert len(seeds) == len(set(seeds)) > 1

    def test_the_seed_is_fresh_unless_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PROBGEN_TEST_SEED", "5")
        first = decide_mean(gaussian(), TARGET, delta=0.1, name="a")
        assert first == decide_mean(gaussian(), TARGET, delta=0.1, name="a")
        assert first.seed != decide_mean(gaussian(), TARGET, delta=0.1, name="b").seed

    def test_sum_zero_draws_need_no_inverse(self) -> None:
        def draw(n: int, seed: int) -> np.ndarray:
            noise = np.random.default_rng(seed).normal(size=(n, 3))
            return noise - noise.mean(1, keepdims=True) + [1.0, 0.0, -1.0]

        assert decide(draw, [1.0, 0.0, -1.0]).outcome is Outcome.CONFORMS
        assert decide(draw, [1.2, -0.1, -1.1]).outcome is Outcome.FAILS

    def test_single_precision(self) -> None:
        assert decide(gaussian(dtype=torch.float32)).outcome is Outcome.CONFORMS
        assert decide(gaussian([0.5, 0.0, 0.0], dtype=torch.float32)).outcome is Outcome.FAILS

    def test_a_target_of_zero_is_judged_absolutely(self) -> None:
        draw = gaussian(-TARGET, scale=1e-4)
        assert decide(draw, np.zeros(3)).outcome is Outcome.CONFORMS
        assert decide(gaussian(-TARGET + 1e-4, scale=1e-4), np.zeros(3)).outcome is Outcome.FAILS

    def test_a_known_skewness_is_used(self) -> None:
        told = decide(gaussian(), skewness=np.full(3, 5.0))
        assert told.samples >= 415 * 25 > decide(gaussian()).samples


class TestOneSided:
    @pytest.mark.parametrize("side", [-1, 1])
    def test_only_the_claimed_side_fails(self, side: int) -> None:
        assert decide(gaussian(0.3 * side), side=side).outcome is Outcome.FAILS
        assert decide(gaussian(-0.3 * side), side=side).outcome is Outcome.CONFORMS
        assert decide(gaussian(), side=side).outcome is Outcome.CONFORMS

    def test_constants_on_the_right_side(self) -> None:
        def draw(n: int, seed: int) -> np.ndarray:
            return np.zeros(n)

        assert decide(draw, 1.0, side=1).outcome is Outcome.CONFORMS
        assert decide(draw, 1.0, side=-1).outcome is Outcome.FAILS


class TestDrawsWithoutSpread:
    @staticmethod
    def constant(value: float):
        return lambda n, seed: np.full(n, value)

    def test_a_wrong_constant_fails_once_rarer_outcomes_are_excluded(self) -> None:
        verdict = decide(self.constant(1.0), 1.2)
        assert verdict.outcome is Outcome.FAILS
        assert verdict.samples >= np.log(1e9) / 1e-4
        assert verdict.bias == pytest.approx(0.2 / 1.2)
        assert decide(self.constant(1.0), 1.2, p_min=1.0).samples == 1000

    def test_until_then_there_is_no_answer(self) -> None:
        assert decide(self.constant(1.0), 1.2, max_samples=50_000).outcome is Outcome.INCONCLUSIVE
        assert decide(self.constant(1.0), 1.0, max_samples=50_000).outcome is Outcome.INCONCLUSIVE

    def test_a_right_constant_conforms(self) -> None:
        assert decide(self.constant(1.0), 1.0).outcome is Outcome.CONFORMS
        assert decide(self.constant(1 / 3 + 1e-16), 1 / 3, p_min=1.0).samples == 1000

    def test_a_coordinate_that_is_always_zero_costs_nothing(self) -> None:
        target = TARGET * [1, 1, 0]
        assert decide(gaussian([0.0, 0.0, -0.5], scale=[1.0, 1.0, 0.0]), target).samples < 10_000

    def test_rounding_is_no_bias(self) -> None:
        def draw(n: int, seed: int) -> np.ndarray:
            noise = np.random.default_rng(seed).normal(size=(n, 2))
            return np.stack([noise[:, 0] + 1, 1e-15 * (1 + noise[:, 1])], 1)

        assert decide(draw, [1.0, 0.0]).outcome is Outcome.CONFORMS

    def test_a_rare_outcome_is_no_bias(self) -> None:
        """Most runs of a thousand draws never show the outcome that makes the mean right."""
        rare = FiniteLaw(np.array([[0.0], [1e4]]), np.array([1 - 1e-4, 1e-4]))
        outcomes = {decide(rare, 1.0, delta=0.5, seed=seed).outcome for seed in range(50)}
        assert outcomes == {Outcome.CONFORMS}


class TestRefusals:
    @pytest.mark.parametrize("value", [np.nan, np.inf])
    def test_a_draw_that_is_not_finite_fails_at_once(self, value: float) -> None:
        def draw(n: int, seed: int) -> np.ndarray:
            draws = np.random.default_rng(seed).normal(size=n)
            draws[n // 2] = value
            return draws

        verdict = decide(draw, 0.0)
        assert (verdict.outcome, verdict.samples, verdict.reason) == (Outcome.FAILS, 1000, "a draw is not finite")

    def test_draws_must_not_broadcast(self) -> None:
        with pytest.raises(ShapeError, match=r"expected draws of shape \(1000, 3\); got \(1000, 1\)"):
            decide(lambda n, seed: np.zeros((n, 1)))
        with pytest.raises(ShapeError, match=r"got \(3,\)"):
            decide(lambda n, seed: np.zeros(3))

    @pytest.mark.parametrize(
        "option",
        [{"delta": 0.0}, {"alpha": 0.0}, {"alpha": 0.5}, {"beta": 1.0}, {"side": 2}, {"max_samples": 10}, {"p_min": 0.0}],
        ids=str,
    )
    def test_options_are_checked(self, option: dict) -> None:
        with pytest.raises(ConfigurationError, match=f"expected {next(iter(option))}"):
            decide(gaussian(), **option)

    def test_the_target_must_be_finite(self) -> None:
        with pytest.raises(ShapeError, match="finite target"):
            decide(gaussian(), [np.nan, 0.0, 0.0])


class TestAssertMean:
    def test_it_returns_the_verdict_of_a_true_claim(self) -> None:
        assert assert_mean(gaussian(), TARGET, delta=0.1, seed=0).outcome is Outcome.CONFORMS

    def test_it_says_what_is_false_and_how_to_see_it_again(self) -> None:
        with pytest.raises(AssertionError, match=r"the gradient is FALSE: FAILS after \d+ samples .* off by .*seed 7"):
            assert_mean(gaussian([1.0, 0.0, 0.0]), TARGET, delta=0.1, seed=7, name="the gradient")

    def test_undecided_is_no_pass(self) -> None:
        with pytest.raises(Inconclusive, match="is undecided: INCONCLUSIVE"):
            assert_mean(gaussian(scale=100.0), TARGET, delta=0.01, seed=0, max_samples=1000)


class TestPieces:
    def test_levels_multiply_to_the_whole(self) -> None:
        for alpha in (1e-12, 1e-9, 1e-6, 1e-3, 1e-2):
            levels = Levels(alpha)
            assert levels.screen * 8 * levels.confirmation**2 == pytest.approx(alpha)
            assert levels.confirmation < 0.5

    def test_looks_grow_to_the_budget(self) -> None:
        sizes = look_sizes(10_000_000)
        assert sizes[0] == 1000
        assert sizes[-1] <= 10_000_000 < 1.5 * sizes[-1]

    def test_sums_are_those_of_numpy(self) -> None:
        draws = np.random.default_rng(0).gamma(2.0, size=(500, 3))
        target = np.array([2.0, 1.0, 3.0])
        sums = Sums.of(draws[:200] - target) + Sums.of(draws[200:] - target)
        centred = draws - draws.mean(0)
        np.testing.assert_allclose(sums.mean, draws.mean(0) - target)
        np.testing.assert_allclose(sums.covariance, np.cov(draws.T))
        np.testing.assert_allclose(sums.deviation, draws.std(0, ddof=1))
        np.testing.assert_allclose(sums.skewness, (centred**3).mean(0) / draws.std(0, ddof=1) ** 3, rtol=1e-9)

    def test_many_runs_are_read_like_one(self) -> None:
        stream = np.random.default_rng(0)
        runs = [Sums.of(stream.gamma(2.0, size=(1000, 3)) - 2.1) for _ in range(5)]
        many = Sums(
            1000,
            np.stack([run.first for run in runs]),
            np.stack([run.second for run in runs]),
            np.stack([run.third for run in runs]),
        )
        question = Question(np.full(3, 2.1), (slice(0, 2), slice(0, 3)))
        together = screened(many, question, level=1e-3, looks=4)
        for index, run in enumerate(runs):
            alone = screened(run, question, level=1e-3, looks=4)
            assert together.excess[index] == pytest.approx(alone.excess)
            np.testing.assert_allclose(together.direction[index], alone.direction)
            assert np.linalg.norm(alone.direction) == pytest.approx(1)
        np.testing.assert_allclose(
            certified(many, question, level=1e-3, looks=4, by_block=True),
            [certified(run, question, level=1e-3, looks=4, by_block=True) for run in runs],
        )

    def test_a_law_draws_like_its_table(self) -> None:
        law = FiniteLaw(np.array([[0.0, 1.0], [2.0, -1.0], [5.0, 0.0]]), np.array([0.5, 0.3, 0.2]))
        by_table = decide(law, law.mean, seed=1)
        by_draws = decide(law.draw, law.mean, seed=1)
        assert by_table.outcome is by_draws.outcome is Outcome.CONFORMS
        assert by_table.samples == by_draws.samples
        with pytest.raises(ShapeError, match="one probability for each row"):
            FiniteLaw(np.zeros((2, 1)), np.ones(3))

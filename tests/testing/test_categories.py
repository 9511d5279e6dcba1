"""Laws of draws: the multinomial martingale, the distribution function, and samplers against densities."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
import torch.distributions as dist
from scipy.special import gammaln
from scipy.stats import multinomial, norm

from probgen.adapters import as_model
from probgen.density import Density
from probgen.errors import CapabilityError, ConfigurationError, ShapeError, SupportError
from probgen.sampler import Sampler
from probgen.testing import Inconclusive, Outcome, Tier, assert_samples_match, decide_categories, decide_samples
from probgen.testing.cumulative import integrate
from probgen.testing.matching import BandEvidence
from probgen.testing.multinomial import log_wealth, variation_bound

LAW = np.array([0.1, 0.2, 0.3, 0.4])


def die(law: np.ndarray = LAW):
    return lambda n, seed: np.random.default_rng(seed).choice(len(law), size=n, p=law)


def expected_wealth(wealth, law: np.ndarray, n: int) -> float:
    """The expectation of a bettor's wealth under the claim, by enumeration."""
    tables = [c for c in itertools.product(range(n + 1), repeat=len(law)) if sum(c) == n]
    counts = np.array(tables, dtype=float)
    return float((multinomial.pmf(counts, n, law) * np.exp(wealth(counts, law))).sum())


class TestWealth:
    @pytest.mark.parametrize("n", [1, 2, 5, 9])
    def test_it_is_a_martingale(self, n: int) -> None:
        assert expected_wealth(log_wealth, LAW, n) == pytest.approx(1, rel=1e-12)

    def test_a_wrong_normaliser_is_none(self) -> None:
        def wrong(counts: np.ndarray, law: np.ndarray) -> np.ndarray:
            n, k = counts.sum(-1), counts.shape[-1]
            return log_wealth(counts, law) + (gammaln(n + k / 2) - gammaln(k / 2)) - (gammaln(n + 1 / 2) - gammaln(1 / 2))

        assert expected_wealth(wrong, LAW, 5) > 10

    def test_impossible_categories_are_infinitely_telling(self) -> None:
        law = np.array([0.5, 0.5, 0.0])
        assert log_wealth(np.array([5, 5, 1]), law) == math.inf
        assert log_wealth(np.array([5, 5, 0]), law) == log_wealth(np.array([5, 5]), law[:2])

    def test_false_alarms_at_one_percent(self) -> None:
        runs = 10_000
        stream = np.random.default_rng(0)
        counts, alarms = np.zeros((runs, len(LAW))), np.zeros(runs, dtype=bool)
        for _ in range(30):
            counts += stream.multinomial(50, LAW, size=runs)
            alarms |= log_wealth(counts, LAW) >= math.log(100)
        assert alarms.mean() <= 1e-2

    def test_the_distance_is_rarely_beyond_its_bound(self) -> None:
        other = np.array([0.2, 0.2, 0.2, 0.4])
        counts = np.random.default_rng(0).multinomial(400, other, size=2000)
        missed = np.mean([variation_bound(c, LAW, level=0.05) < 0.5 * np.abs(other - LAW).sum() for c in counts])
        assert missed <= 0.05


class TestDecideCategories:
    def test_the_claimed_law_conforms(self) -> None:
        verdict = decide_categories(die(), LAW, seed=0)
        assert (verdict.outcome, verdict.tier) == (Outcome.CONFORMS, Tier.NONASYMPTOTIC)
        assert verdict.detectable <= 0.05

    def test_another_fails_where_it_differs(self) -> None:
        verdict = decide_categories(die(np.array([0.2, 0.1, 0.3, 0.4])), LAW, seed=0)
        assert verdict.outcome is Outcome.FAILS
        assert verdict.direction in {"category 0", "category 1"}
        assert verdict.bias == pytest.approx(0.1, abs=5 * 0.5 / math.sqrt(verdict.samples))

    def test_a_law_that_is_nearly_right_is_not_passed_by_a_strict_question(self) -> None:
        near = np.array([0.11, 0.19, 0.3, 0.4])
        assert decide_categories(die(near), LAW, seed=0, delta=0.01).outcome is Outcome.FAILS
        assert decide_categories(die(near), LAW, seed=0, delta=0.1).outcome is Outcome.CONFORMS

    def test_a_small_budget_is_inconclusive(self) -> None:
        assert decide_categories(die(), LAW, seed=0, max_samples=1000).outcome is Outcome.INCONCLUSIVE

    def test_a_value_that_is_no_category_fails(self) -> None:
        verdict = decide_categories(lambda n, seed: np.full(n, 4), LAW, seed=0)
        assert verdict.outcome is Outcome.FAILS
        assert "none of the categories 0 to 3" in verdict.reason

    def test_tensors_are_taken(self) -> None:
        def draw(n: int, seed: int) -> torch.Tensor:
            return torch.multinomial(torch.tensor(LAW), n, replacement=True, generator=torch.Generator().manual_seed(seed))

        assert decide_categories(draw, torch.tensor(LAW), seed=0).outcome is Outcome.CONFORMS

    def test_input_is_checked(self) -> None:
        with pytest.raises(ConfigurationError, match="sum to 1"):
            decide_categories(die(), [0.5, 0.6])
        with pytest.raises(ShapeError, match=r"expected \(1000,\) categories"):
            decide_categories(lambda n, seed: np.zeros((n, 1)), LAW)
        with pytest.raises(ConfigurationError, match="expected delta between 0 and 1"):
            decide_categories(die(), LAW, delta=0.0)


class TestBand:
    def test_false_alarms_at_ten_percent(self) -> None:
        runs, level = 1000, 0.1
        alarms = 0
        for seed in range(runs):
            band = BandEvidence()
            band.update(np.random.default_rng(seed).uniform(size=200))
            alarms += band.refutation(level=level, looks=1) is not None
        assert alarms / runs <= level + 5 * math.sqrt(level / runs)

    def test_the_distance_is_that_of_the_step_function(self) -> None:
        band = BandEvidence()
        band.update(np.array([0.9, 0.5]))
        distance = band.bound(level=1 - 1e-12, looks=1) - math.sqrt(math.log(2) / 4)
        assert distance == pytest.approx(0.5)


class TestIntegrate:
    @pytest.mark.parametrize(
        ("law", "low", "high"),
        [
            (dist.Normal(0.0, 1.0), -math.inf, math.inf),
            (dist.Cauchy(0.0, 1.0), -math.inf, math.inf),
            (dist.Laplace(1.0, 2.0), -math.inf, math.inf),
            (dist.Gamma(2.0, 1.0), 0.0, math.inf),
            (dist.Exponential(0.1), 0.0, math.inf),
            (dist.Uniform(-1.0, 3.0), -1.0, 3.0),
            (dist.Kumaraswamy(2.0, 3.0), 0.0, 1.0),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_it_is_the_distribution_function(self, law: dist.Distribution, low: float, high: float) -> None:
        def density(x: np.ndarray) -> np.ndarray:
            return law.log_prob(torch.tensor(x)).exp().numpy()

        found = integrate(density, low, high)
        points = law.sample((50,)).double()
        assert found.mass == pytest.approx(1, abs=1e-6)
        np.testing.assert_allclose(found(points.numpy()), law.cdf(points).numpy(), atol=2e-7)

    def test_half_lines_to_the_left(self) -> None:
        found = integrate(lambda x: np.exp(x), -math.inf, 0.0)
        np.testing.assert_allclose(found(np.array([-1.0, 0.0])), [math.exp(-1), 1.0], atol=1e-9)

    def test_a_jump_is_found(self) -> None:
        found = integrate(lambda x: np.where(x < 0.3, 2.0, 0.5), 0.0, 1.0)
        assert found.mass == pytest.approx(0.95, abs=1e-9)

    def test_a_narrow_density_far_out_needs_a_hint(self) -> None:
        def density(x: np.ndarray) -> np.ndarray:
            return norm.pdf(x, 5000.0, 1e-3)

        with pytest.raises(SupportError, match="got 0 everywhere"):
            integrate(density, -math.inf, math.inf)
        near = 5000.0 + 1e-3 * np.linspace(-2, 2, 9)
        assert integrate(density, -math.inf, math.inf, near=near).mass == pytest.approx(1, abs=1e-7)

    def test_it_refuses_what_is_no_density(self) -> None:
        with pytest.raises(SupportError, match="at least 0"):
            integrate(np.cos, 0.0, 3.0)


class Pair(torch.nn.Module, Density, Sampler):
    """Two bits that agree with probability `together`, drawn as if it were `drawn`; scores are off by a `factor`."""

    def __init__(self, *, together: float = 0.8, drawn: float | None = None, factor: float = 1.0) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([2]), None
        self.support = dist.constraints.boolean
        self.together, self.drawn, self.factor = together, drawn or together, factor

    def _log_prob(self, x, context):
        return torch.where(x[:, 0] == x[:, 1], self.together / 2, (1 - self.together) / 2).mul(self.factor).log()

    def _sample(self, n, context):
        first = torch.randint(2, (n,)).float()
        return torch.stack([first, torch.where(torch.rand(n) < self.drawn, first, 1 - first)], 1)


class Shifted(torch.nn.Module, Density, Sampler):
    """A normal around its context."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.context_shape = torch.Size([1]), torch.Size([1])
        self.support = dist.constraints.real
        self.scale = torch.nn.Parameter(torch.tensor(0.5))

    def _log_prob(self, x, context):
        return dist.Normal(context, self.scale).log_prob(x).sum(-1)

    def _sample(self, n, context):
        return dist.Normal(context, self.scale).sample()


class TestSamplesAgainstDensities:
    @pytest.mark.parametrize(
        "law",
        [
            dist.Bernoulli(0.3),
            dist.Categorical(torch.arange(1.0, 6.0)),
            dist.Poisson(3.0),
            dist.Independent(dist.Bernoulli(torch.tensor([0.2, 0.5, 0.9])), 1),
            dist.Normal(3.0, 0.1),
            dist.Normal(1000.0, 0.5),
            dist.Gamma(0.5, 1.0),
            dist.Beta(0.5, 0.5),
            dist.StudentT(2.0),
            dist.Uniform(-1.0, 4.0),
            dist.LogNormal(0.0, 2.0),
        ],
        ids=lambda law: type(law).__name__,
    )
    def test_what_torch_draws_follows_its_own_density(self, law: dist.Distribution) -> None:
        assert decide_samples(law, law, seed=0).outcome is Outcome.CONFORMS

    @pytest.mark.parametrize(
        ("sampler", "density"),
        [
            (dist.Bernoulli(0.3), dist.Bernoulli(0.4)),
            (dist.Poisson(3.5), dist.Poisson(3.0)),
            (dist.Normal(0.2, 1.0), dist.Normal(0.0, 1.0)),
            (dist.Normal(0.0, 1.2), dist.Normal(0.0, 1.0)),
            (dist.Normal(0.0, 1.0), dist.HalfNormal(1.0)),
            (dist.StudentT(5.0), dist.Normal(0.0, math.sqrt(5 / 3))),
            (dist.Categorical(torch.ones(7)), dist.Categorical(torch.ones(6))),
            (Pair(drawn=0.6), Pair()),
        ],
        ids=lambda law: type(law).__name__,
    )
    def test_another_law_fails(self, sampler: object, density: object) -> None:
        assert decide_samples(sampler, density, seed=0).outcome is Outcome.FAILS

    def test_contaminated_tails_fail(self) -> None:
        mixture = dist.MixtureSameFamily(
            dist.Categorical(torch.tensor([0.99, 0.01])), dist.Normal(torch.zeros(2), torch.tensor([1.0, 10.0]))
        )
        verdict = decide_samples(mixture, dist.Normal(0.0, 1.0), seed=0, delta=0.01)
        assert verdict.outcome is Outcome.FAILS
        assert "range between quantiles" in (verdict.direction or "")

    def test_models_of_ours(self) -> None:
        assert decide_samples(Pair(), Pair(), seed=0).outcome is Outcome.CONFORMS
        assert decide_samples(Shifted(), Shifted(), context=torch.tensor([2.0]), seed=0).outcome is Outcome.CONFORMS

    @pytest.mark.parametrize("density", [Pair(factor=1.1), as_model(dist.Normal(0.0, 1.0))], ids=["bits", "line"])
    def test_a_density_that_is_not_normalised_is_no_law(self, density, monkeypatch: pytest.MonkeyPatch) -> None:
        if not isinstance(density, Pair):
            monkeypatch.setattr(type(density), "_log_prob", lambda self, x, context: self.distribution.log_prob(x) + 0.1)
        verdict = decide_samples(density, density, seed=0)
        assert verdict.outcome is Outcome.INCONCLUSIVE
        assert "instead of 1" in verdict.reason

    def test_high_dimensions_are_refused(self) -> None:
        law = dist.MultivariateNormal(torch.zeros(2), torch.eye(2))
        with pytest.raises(CapabilityError, match="at most 4096 events or a single real entry"):
            decide_samples(law, law)

    def test_a_draw_that_is_not_finite_fails(self) -> None:
        class Broken(Shifted):
            def _sample(self, n, context):
                return torch.full((n, 1), math.nan)

        verdict = decide_samples(Broken(), Shifted(), context=torch.zeros(1), seed=0)
        assert verdict.outcome is Outcome.FAILS
        assert "not finite" in verdict.reason

    def test_the_assertion(self) -> None:
        law = dist.Normal(0.0, 1.0)
        assert assert_samples_match(law, law, seed=0).outcome is Outcome.CONFORMS
        with pytest.raises(AssertionError, match=r"my flow is FALSE: FAILS after \d+ samples \(nonasymptotic"):
            assert_samples_match(dist.Normal(1.0, 1.0), law, seed=0, name="my flow")
        with pytest.raises(Inconclusive):
            assert_samples_match(law, law, seed=0, max_samples=1000)

"""The MMD test against its definition, against closed forms, and in its error rates."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis.strategies import integers

from probgen.errors import ConfigurationError, ShapeError
from probgen.evaluation import median_distance, mmd_test, two_sample

BANDWIDTH = 1.5


def gram(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    squared = (x[:, None] - y).square().sum(-1)
    return sum((-squared / (2 * (BANDWIDTH / part) ** 2)).exp() for part in (1, 2, 4, 8)) / 4


def by_definition(x: torch.Tensor, y: torch.Tensor) -> float:
    m, n = len(x), len(y)
    within = sum((k.sum() - k.trace()) / (size * (size - 1)) for k, size in ((gram(x, x), m), (gram(y, y), n)))
    return float(within - 2 * gram(x, y).mean())


def statistics(rounds: int, shift: float, generator: torch.Generator, measure=None) -> torch.Tensor:
    measure = measure or (
        lambda x, y: mmd_test(x, y, bandwidth=BANDWIDTH, generator=generator, num_permutations=1).statistic
    )
    draws = torch.randn(rounds, 2, 30, 2, generator=generator, dtype=torch.float64)
    return torch.tensor([measure(x, y + shift) for x, y in draws], dtype=torch.float64)


def closed_form(shift: float) -> float:
    """Squared MMD between N(0, I) and N(shift, I) in two dimensions."""
    total = 0.0
    for part in (1, 2, 4, 8):
        variance = (BANDWIDTH / part) ** 2
        total += 2 * variance / (variance + 2) * (1 - math.exp(-(2 * shift**2) / (2 * (variance + 2)))) / 4
    return total


def z_score(values: torch.Tensor, expected: float) -> float:
    return float((values.mean() - expected) / (values.std() / math.sqrt(len(values))))


@given(m=integers(2, 40), n=integers(2, 40), features=integers(1, 5))
def test_statistic_is_its_definition_and_does_not_care_which_sample_is_first(m, n, features):
    x, y = torch.randn(m, features).double(), torch.randn(n, features).double()
    one, other = (mmd_test(*pair, bandwidth=BANDWIDTH, num_permutations=5) for pair in ((x, y), (y, x)))
    assert one.statistic == pytest.approx(by_definition(x, y), abs=1e-12)
    assert other.statistic == pytest.approx(one.statistic, abs=1e-12)
    assert other.stderr == pytest.approx(one.stderr, abs=1e-12)
    assert 1 / 6 <= one.p_value <= 1


def test_permuted_statistics_are_those_of_the_relabelled_samples(generator):
    pool = torch.randn(9, 2, generator=generator).double()
    members = two_sample._memberships(5, 4, 20, generator, torch.device("cpu"))
    assert members.sum(0).tolist() == [5.0] * 21
    found = two_sample._statistics(two_sample._kernel_sums(pool, members, BANDWIDTH), 5, 4)
    expected = [by_definition(pool[column.bool()], pool[~column.bool()]) for column in members.T]
    assert found.tolist() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.7])
def test_statistic_is_unbiased(shift, generator):
    assert abs(z_score(statistics(1500, shift, generator), closed_form(shift))) < 5


def test_the_biased_statistic_would_be_caught(generator):
    def with_diagonal(x: torch.Tensor, y: torch.Tensor) -> float:
        return float(gram(x, x).mean() + gram(y, y).mean() - 2 * gram(x, y).mean())

    assert z_score(statistics(300, 0.0, generator, with_diagonal), 0.0) > 20


def test_a_statistic_divided_by_the_number_of_features_would_be_caught(generator):
    assert abs(z_score(statistics(1500, 0.7, generator) / 2, closed_form(0.7))) > 20


def test_standard_error_is_that_of_the_statistic_where_laws_differ(generator):
    draws = torch.randn(400, 2, 50, 2, generator=generator)
    results = [mmd_test(x, y + 1, bandwidth=BANDWIDTH, generator=generator, num_permutations=1) for x, y in draws]
    spread = torch.tensor([result.statistic for result in results]).std()
    claimed = torch.tensor([result.stderr for result in results]).mean()
    assert 0.8 < claimed / spread < 1.2


def test_p_values_are_uniform_where_laws_are_equal(generator):
    draws = torch.randn(500, 2, 20, 2, generator=generator)
    p = torch.tensor(
        [mmd_test(x, y, bandwidth=BANDWIDTH, generator=generator, num_permutations=99).p_value for x, y in draws]
    )
    grid = torch.arange(1, 101) / 100
    below = (p[:, None] <= grid + 1e-6).double().mean(0)
    # Dvoretzky-Kiefer-Wolfowitz-Massart: a deviation this large has probability 2 exp(-2 n d^2) < 1e-6.
    assert (below - grid).abs().max() < math.sqrt(math.log(2e6) / (2 * 500))


def test_differing_laws_are_told_apart_to_the_smallest_p_value(generator):
    x, y = torch.randn(2, 200, 5, generator=generator)
    assert mmd_test(x, y + 1, bandwidth=3.0, generator=generator, num_permutations=199).p_value == 1 / 200


def test_equal_constants_are_no_evidence(generator):
    result = mmd_test(torch.ones(20, 2), torch.ones(20, 2), bandwidth=1.0, generator=generator)
    assert result.p_value == 1.0
    assert result.statistic == pytest.approx(0.0, abs=1e-12)


def test_far_away_samples_do_not_lose_their_digits(generator):
    x, y = torch.randn(2, 30, 2, generator=generator).double()
    near, far = (
        mmd_test(x + offset, y + offset, bandwidth=BANDWIDTH, generator=generator, num_permutations=1).statistic
        for offset in (0.0, 1e6)
    )
    assert far == pytest.approx(near, abs=1e-8)


def test_only_a_block_of_the_gram_matrix_exists_at_a_time(generator, monkeypatch):
    shapes = []
    kernel = two_sample._kernel
    monkeypatch.setattr(two_sample, "_kernel", lambda d, bandwidth: shapes.append(tuple(d.shape)) or kernel(d, bandwidth))
    monkeypatch.setattr(two_sample, "_BLOCK", 64)
    x, y = torch.randn(2, 150, 2, generator=generator)
    result = mmd_test(x, y, bandwidth=BANDWIDTH, generator=generator, num_permutations=3)
    assert shapes == [(64, 300)] * 4 + [(44, 300)]
    assert result.statistic == pytest.approx(by_definition(x.double(), y.double()), abs=1e-12)


def test_the_generator_decides_and_the_global_stream_stays():
    x, y = torch.randn(2, 20, 2)
    before = torch.get_rng_state()
    first, second = (
        mmd_test(x, y, bandwidth=1.0, generator=torch.Generator().manual_seed(7), num_permutations=50) for _ in range(2)
    )
    assert first == second
    assert torch.equal(before, torch.get_rng_state())


def test_median_distance():
    x = torch.randn(40, 3)
    pairs = torch.cdist(x.double(), x.double())[tuple(torch.triu_indices(40, 40, 1))]
    assert median_distance(x) == pytest.approx(float(pairs.median()))
    assert median_distance(torch.tensor([[0.0]] * 9 + [[1.0]])) == pytest.approx(0.2)
    assert median_distance(torch.zeros(5, 2)) == 1.0
    assert median_distance(torch.zeros(1, 2)) == 1.0


@pytest.mark.parametrize(
    ("x", "y"), [((3,), (3, 2)), ((1, 2), (3, 2)), ((3, 2), (1, 2)), ((3, 2), (3, 4)), ((3, 2, 2), (3, 2, 2))]
)
def test_shapes_that_cannot_be_compared_are_refused(x, y):
    with pytest.raises(ShapeError, match="mmd_test: expected"):
        mmd_test(torch.zeros(x), torch.zeros(y), bandwidth=1.0)


@pytest.mark.parametrize("options", [{"bandwidth": 0.0}, {"bandwidth": math.nan}, {"bandwidth": 1.0, "num_permutations": 0}])
def test_options_out_of_range_are_refused(options):
    with pytest.raises(ConfigurationError, match="mmd_test: expected"):
        mmd_test(torch.zeros(3, 2), torch.zeros(3, 2), **options)

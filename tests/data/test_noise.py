"""The noise is a pure function of its counters, uniform, and independent along each of them."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chi2

from probgen.data.noise import example_keys, permutation, uniform

SIGNIFICANCE = 1e-6


def correlation(a: torch.Tensor, b: torch.Tensor) -> float:
    """Return the correlation of two uniform samples in its standard errors."""
    products = (a.double() - 0.5) * (b.double() - 0.5) * 12
    return float(products.mean()) * math.sqrt(products.numel())


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (0, 1), (7, 0), (-3, 2), (2**63 + 11, 10**6)])
def test_values_are_uniform(seed: int, epoch: int) -> None:
    noise = uniform(seed, epoch, torch.arange(1000), 257, dtype=torch.float64)
    counts = torch.histc(noise, bins=256, min=0, max=1).double()
    expected = noise.numel() / 256
    statistic = float(((counts - expected) ** 2 / expected).sum())
    assert chi2.sf(statistic, 255) > SIGNIFICANCE
    assert chi2.cdf(statistic, 255) > SIGNIFICANCE  # not too even either


def test_every_bit_is_fair() -> None:
    words = (uniform(1, 2, torch.arange(2000), 100, bits=31, dtype=torch.float64) * 2**31).long()
    n = words.numel()
    for bit in range(31):
        ones = int(((words >> bit) & 1).sum())
        assert abs(ones - n / 2) < 5 * math.sqrt(n) / 2, bit


def test_neighbours_in_each_counter_are_uncorrelated() -> None:
    index = torch.arange(2000)
    base = uniform(0, 0, index, 64)
    assert abs(correlation(base, uniform(1, 0, index, 64))) < 5
    assert abs(correlation(base, uniform(0, 1, index, 64))) < 5
    assert abs(correlation(base[:-1], base[1:])) < 5
    assert abs(correlation(base[:, :-1], base[:, 1:])) < 5
    assert abs(correlation(base, uniform(0, 0, index + 2000, 64))) < 5
    assert correlation(base, base) > 100  # the statistic does see dependence


def test_pairs_fill_the_square_evenly() -> None:
    noise = uniform(3, 0, torch.arange(4000), 50, dtype=torch.float64)
    for first, second in [
        (noise[:, :-1], noise[:, 1:]),
        (noise[:-1], noise[1:]),
        (noise, uniform(3, 1, torch.arange(4000), 50)),
    ]:
        cells = ((first * 16).long() * 16 + (second * 16).long()).flatten()
        counts = torch.bincount(cells, minlength=256).double()
        expected = cells.numel() / 256
        statistic = float(((counts - expected) ** 2 / expected).sum())
        assert SIGNIFICANCE < chi2.sf(statistic, 255) < 1 - SIGNIFICANCE


def test_no_two_examples_share_their_noise() -> None:
    noise = uniform(0, 0, torch.arange(50_000), 3, dtype=torch.float64, bits=31)
    assert len(torch.unique(noise, dim=0)) == 50_000


@given(
    index=st.lists(st.integers(0, 10**12), min_size=1, max_size=8),
    size=st.integers(1, 9),
    epoch=st.integers(0, 10**9),
)
def test_an_entry_depends_on_its_own_counters_alone(index: list[int], size: int, epoch: int) -> None:
    whole = uniform(5, epoch, torch.tensor(index), size)
    assert whole.shape == (len(index), size)
    for row, example in enumerate(index):
        assert torch.equal(uniform(5, epoch, torch.tensor([example]), size)[0], whole[row])
    assert torch.equal(uniform(5, epoch, torch.tensor(index), size + 3)[:, :size], whole)


@pytest.mark.parametrize(("dtype", "bits"), [(torch.float32, 23), (torch.float32, 1), (torch.float64, 31)])
def test_the_interval_is_open_and_values_are_midpoints(dtype: torch.dtype, bits: int) -> None:
    noise = uniform(0, 0, torch.arange(3000), 100, bits=bits, dtype=dtype)
    assert noise.dtype == dtype
    assert noise.min() > 0
    assert noise.max() < 1
    cells = noise.double() * 2**bits - 0.5
    assert torch.equal(cells, cells.round())


def mix(word: int, stages: list[tuple[int, int]], last: int, width: int) -> int:
    for shift, factor in stages:
        word = ((word ^ (word >> shift)) * factor) % 2**width
    return word ^ (word >> last)


def test_the_bits_are_those_of_the_hash_in_whole_numbers() -> None:
    """An oracle in Python's own integers: no wrapping, no signs, no devices."""
    wide = [(30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)]
    narrow = [(16, 0x7FEB352D), (15, 0x846CA68B)]
    golden = 0x9E3779B97F4A7C15
    for seed, epoch, index in [(0, 0, 0), (1, 2, 3), (-1, 0, 2**40), (2**64 + 5, -7, 12345)]:
        start = mix((mix((seed + 1) * golden % 2**64, wide, 31, 64) + epoch * golden) % 2**64, wide, 31, 64)
        key = mix((start + index * golden) % 2**64, wide, 31, 64)
        assert example_keys(seed, epoch, torch.tensor([index])).item() % 2**64 == key
        for entry, value in enumerate(uniform(seed, epoch, torch.tensor([index]), 5, bits=20)[0].tolist()):
            word = key % 2**32 ^ mix((entry + 1) * 0x9E3779B9 % 2**32, narrow, 16, 32)
            word = (word ^ (word >> 16)) * 0x7FEB352D % 2**32
            word = ((word ^ (word >> 15)) + (key >> 32)) * 0x846CA68B % 2**32
            cell = (((word ^ (word >> 16)) >> 12) + 2**19) % 2**20  # the sign bit counts as -1/2
            assert value * 2**20 == cell + 0.5


def test_the_bits_never_change() -> None:
    """Runs of other machines and later versions are resumed with the same noise."""
    assert (uniform(1, 2, torch.tensor([3, 4]), 2) * 2**23 - 0.5).long().tolist() == [[7882536, 6712201], [3411084, 4073542]]


def test_permutation() -> None:
    orders = [permutation(seed, epoch, 1000) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    for order in orders:
        assert torch.equal(order.sort().values, torch.arange(1000))
    assert torch.equal(permutation(0, 1, 1000), orders[1])
    fixed_points = [int((a == b).sum()) for a in orders for b in orders if a is not b]
    assert max(fixed_points) < 10  # one is expected

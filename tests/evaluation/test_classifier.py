"""The classifier two-sample test: chance where laws are equal, certainty where they are apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from probgen.errors import ShapeError
from probgen.evaluation import classifier_test


def test_equal_laws_are_told_apart_by_chance_only(generator):
    x, y = torch.randn(2, 400, 4, generator=generator)
    result = classifier_test(x, y)
    assert abs(result.accuracy - 0.5) < 5 * result.stderr
    assert result.n == 800
    assert result.stderr == pytest.approx((result.accuracy * (1 - result.accuracy) / 800) ** 0.5, rel=0.01)


def test_disjoint_laws_are_always_told_apart(generator):
    x, y = torch.rand(2, 100, 2, generator=generator)
    result = classifier_test(x, y + 2)
    assert result.accuracy == 1.0
    assert 0 < result.stderr < 0.01


def test_laws_with_equal_moments_are_told_apart(generator):
    """A ring and a Gaussian of the same mean and covariance: no linear classifier would do."""
    angle = 2 * torch.pi * torch.rand(400, generator=generator)
    ring = torch.stack([angle.cos(), angle.sin()], 1)
    result = classifier_test(ring, torch.randn(400, 2, generator=generator) * 0.5**0.5)
    assert result.accuracy > 0.5 + 5 * result.stderr


def test_units_of_the_features_do_not_matter(generator):
    x, y = torch.randn(2, 100, 2, generator=generator).double()
    y = y + 1
    factor = torch.tensor([2.0**20, 2.0**-20], dtype=torch.float64)
    assert classifier_test(x * factor, y * factor).accuracy == classifier_test(x, y).accuracy


def test_constant_features_are_harmless(generator):
    x, y = torch.randn(2, 100, 2, generator=generator)
    constant = torch.full((100, 3), 0.1)
    result = classifier_test(torch.cat([x, constant], 1), torch.cat([y + 9, constant], 1))
    assert result.accuracy == 1.0


def test_a_feature_that_is_constant_in_each_sample_still_tells(generator):
    x, y = torch.randn(2, 50, 1, generator=generator)
    result = classifier_test(torch.cat([x, torch.zeros(50, 1)], 1), torch.cat([y, torch.ones(50, 1)], 1))
    assert result.accuracy == 1.0


def test_the_larger_sample_is_cut(generator):
    assert classifier_test(torch.randn(30, 2, generator=generator), torch.randn(20, 2, generator=generator)).n == 40


def test_the_seed_decides_and_global_streams_stay(generator):
    x, y = torch.randn(2, 60, 2, generator=generator)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    assert classifier_test(x, y, seed=2**62) == classifier_test(x, y, seed=2**62)
    assert torch.equal(states[0], torch.get_rng_state())
    assert np.array_equal(states[1], np.random.get_state()[1])


@pytest.mark.parametrize(("x", "y"), [((3, 2), (9, 2)), ((9, 2), (9, 3)), ((9,), (9,))])
def test_shapes_that_cannot_be_compared_are_refused(x, y):
    with pytest.raises(ShapeError, match="classifier_test: expected"):
        classifier_test(torch.zeros(x), torch.zeros(y))

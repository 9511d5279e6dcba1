"""The schedules, against their papers' discrete ones and their limits."""

from __future__ import annotations

import math

import pytest
import torch

from probgen_diffusion.schedules import SCHEDULES, cosine, linear

GRID = torch.arange(1001, dtype=torch.float64) / 1000


@pytest.mark.parametrize("schedule", SCHEDULES.values(), ids=SCHEDULES)
class TestEverySchedule:
    def test_the_variance_is_preserved(self, schedule):
        alpha, sigma = schedule(GRID)
        torch.testing.assert_close(alpha.square() + sigma.square(), torch.ones_like(GRID))

    def test_it_starts_at_the_event_and_ends_in_noise(self, schedule):
        for dtype in (torch.float32, torch.float64):
            alpha, sigma = schedule(torch.tensor([0.0, 1.0], dtype=dtype))
            assert (alpha[0], sigma[0]) == (1, 0)
            assert 0.004 < alpha[1] < 0.008

    def test_noise_only_grows(self, schedule):
        """Also in single precision, with more steps than anybody takes, so that no variance of a step is zero."""
        alpha, sigma = schedule(torch.arange(1, 10_001) / 10_000)
        assert (alpha.diff() <= 0).all()
        assert (sigma[:9000].diff() > 0).all()
        assert (alpha > 0).all()

    def test_little_noise_is_accurate_in_single_precision(self, schedule):
        t = torch.tensor([1e-6, 1e-4, 1e-2])
        torch.testing.assert_close(schedule(t)[1], schedule(t.double())[1].float(), rtol=1e-5, atol=0)


def test_linear_is_the_limit_of_the_papers_products():
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
    products = (1 - betas).cumprod(0)
    alpha, _ = linear(GRID[1:])
    assert (alpha.square() - products).abs().max() < 2e-3
    assert (alpha.square().log() / products.log() - 1).abs()[100:].max() < 0.02


def test_cosine_is_the_papers_up_to_its_end():
    signal = (0.5 * math.pi * (GRID + 0.008) / 1.008).cos().square()
    alpha, _ = cosine(GRID)
    assert (alpha.square() - signal / signal[0]).abs().max() < 0.01

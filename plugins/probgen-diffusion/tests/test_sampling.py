"""Samplers on normal events, whose score is known: the ancestral one has their law, DDIM follows the probability flow."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.distributions import constraints

from probgen import NoiseProcess
from probgen.estimators.diffusion_bound import Transition
from probgen_diffusion.sampling import SAMPLERS, ancestral_step, ddim_step, run_back, time_grid
from probgen_diffusion.schedules import SCHEDULES

MEAN, DEVIATION = 0.7, 0.4


class NormalEvents(nn.Module, NoiseProcess):
    """The exact denoiser of N(0.7, 0.4^2), and optionally the exact variance of the way back."""

    event_shape, context_shape, support = torch.Size([1]), None, constraints.real

    def __init__(self, schedule, *, exact_variance=True):
        super().__init__()
        self._schedule, self._exact = SCHEDULES[schedule], exact_variance

    def schedule(self, t):
        return self._schedule(t)

    def denoise(self, z_t, t, context=None):
        alpha, sigma = (factor[:, None] for factor in self.schedule(t))
        return sigma * (z_t - alpha * MEAN) / ((alpha * DEVIATION).square() + sigma.square())

    def reverse_variance(self, t, s):
        if not self._exact:
            return super().reverse_variance(t, s)
        alpha, sigma = self.schedule(t)
        left = (DEVIATION * sigma).square() / ((alpha * DEVIATION).square() + sigma.square())
        transition = Transition.of(self, t, s)
        return transition.variance + transition.event_gain.square() * left


def moments_error(draws, deviation):
    """Return how many standard errors mean and variance are off, the worse of both."""
    n = len(draws)
    mean = (draws.mean() - MEAN).abs() / (deviation / n**0.5)
    variance = (draws.var() / deviation**2 - 1).abs() / (2 / n) ** 0.5
    return max(mean.item(), variance.item())


def deviation_of_means(model, t):
    """Return the standard deviation of the expected event over the states at `t`: what draws have without the last noise."""
    alpha, sigma = model.schedule(t)
    total = (alpha * DEVIATION).square() + sigma.square()
    return (alpha * DEVIATION**2 / total.sqrt()).item()


@pytest.mark.parametrize("schedule", SCHEDULES)
class TestNormalEvents:
    @pytest.mark.parametrize("evaluations", [2, 7, 50])
    def test_ancestral_draws_have_their_law_in_any_number_of_steps(self, schedule, evaluations):
        model, z, times = NormalEvents(schedule), torch.randn(40_000, 1, dtype=torch.float64), time_grid(200, evaluations)
        draws = run_back(model, z, times, step=ancestral_step)
        assert moments_error(draws, deviation_of_means(model, times[-2])) < 5

    def test_a_wrong_variance_is_seen(self, schedule):
        model, z, times = NormalEvents(schedule, exact_variance=False), torch.randn(40_000, 1).double(), time_grid(200, 7)
        assert moments_error(run_back(model, z, times, step=ancestral_step), deviation_of_means(model, times[-2])) > 10

    def test_what_the_last_noise_would_add_is_little(self, schedule):
        assert deviation_of_means(NormalEvents(schedule), time_grid(200, 200)[-2]) > 0.99 * DEVIATION

    def test_ddim_follows_the_flow_with_an_error_of_first_order(self, schedule):
        r"""The flow takes quantiles to quantiles: $z_t = \alpha_t m + \sqrt{\alpha_t^2 s^2 + \sigma_t^2} u$ for one $u$."""
        model = NormalEvents(schedule)
        alpha, sigma = model.schedule(torch.ones((), dtype=torch.float64))
        u = torch.linspace(-2, 2, 9, dtype=torch.float64)[:, None]
        start = alpha * MEAN + ((alpha * DEVIATION).square() + sigma.square()).sqrt() * u
        errors = [
            (run_back(model, start, time_grid(4000, steps), step=ddim_step) - MEAN - DEVIATION * u).abs().max().item()
            for steps in (500, 1000, 4000)
        ]
        assert errors[-1] < 2e-3
        assert errors[0] / errors[1] == pytest.approx(2, rel=0.2)

    def test_ddim_is_deterministic(self, schedule):
        z, times = torch.randn(3, 1, dtype=torch.float64), time_grid(100, 5)
        first, second = (run_back(NormalEvents(schedule), z, times, step=ddim_step) for _ in range(2))
        assert torch.equal(first, second)


@pytest.mark.parametrize("step", SAMPLERS.values(), ids=SAMPLERS)
def test_one_step_leads_to_the_mean(step):
    draws = run_back(NormalEvents("cosine"), torch.zeros(3, 1, dtype=torch.float64), time_grid(10, 1), step=step)
    torch.testing.assert_close(draws, torch.full_like(draws, MEAN), rtol=1e-3, atol=0)


@pytest.mark.parametrize(("num_steps", "evaluations"), [(1, 1), (10, 10), (10, 3), (200, 50), (7, 6)])
def test_grids(num_steps, evaluations):
    times = time_grid(num_steps, evaluations)
    assert (times[0], times[-1], len(times)) == (1, 0, evaluations + 1)
    assert (times.diff() < 0).all()
    assert torch.equal((times * num_steps).round() / num_steps, times)

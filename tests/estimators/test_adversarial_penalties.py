"""Gradient penalties: where they look, what they cost, and that they can be followed."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from helpers.draws import ERRORS, flat_gradient, standard_errors
from helpers.games import Listed, estimate_of
from probgen import Adversarial, Batch, ConfigurationError
from probgen.estimators.adversarial_losses import Wasserstein
from probgen.estimators.adversarial_penalties import AroundData, AtData, Between, GradientPenalty, Place

REAL, FAKE = torch.full((2000, 1), 3.0, dtype=torch.float64), torch.full((2000, 1), 1.0, dtype=torch.float64)


class Parabola(nn.Module):
    """A critic whose slope is its parameter times the event."""

    def __init__(self):
        super().__init__()
        self.curvature = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, x):
        return 0.5 * self.curvature * x.square().flatten(1).sum(1)


class AtDraws(Place):
    """Wrong for WGAN-GP: the slope is looked at where the draws are."""

    def __call__(self, real, fake):
        return fake


def penalties(where, **options):
    return GradientPenalty(weight=1.0, where=where, **options)(Parabola(), REAL, FAKE).detach()[:, None]


class TestPlaces:
    def test_between_is_uniform_on_the_segment(self):
        """The slope at a point is the point: its mean squared distance from 1 over [1, 3] is 4/3."""
        assert standard_errors(penalties(Between()), torch.tensor([4 / 3])) < ERRORS

    @pytest.mark.parametrize("wrong", [AtData(), AtDraws()])
    def test_wrong_places_are_seen(self, wrong):
        assert (penalties(wrong).mean() - 4 / 3).abs() > 1

    def test_between_has_a_position_for_each_pair_and_none_for_each_entry(self):
        points = Between()(torch.zeros(50, 2, 3), torch.ones(50, 2, 3))
        assert torch.equal(points, points[:, :1, :1].expand(50, 2, 3))
        assert points[:, 0, 0].unique().numel() == 50

    def test_around_data_adds_noise_of_the_batchs_scale(self):
        real = torch.tensor([-2.0, 2.0], dtype=torch.float64).repeat(20_000)[:, None]
        noise = AroundData(spread=0.3)(real, real) - real
        assert standard_errors(noise.square(), torch.tensor([0.6**2], dtype=torch.float64)) < ERRORS
        assert AroundData.batch_coupled
        assert not Between.batch_coupled

    def test_at_data(self):
        torch.testing.assert_close(penalties(AtData(), center=0.0), torch.full((2000, 1), 9.0, dtype=torch.float64))


class TestPenalty:
    def test_the_norm_is_over_the_whole_event(self):
        events = torch.randn(5, 1, 2, 3, dtype=torch.float64)
        values = GradientPenalty(weight=2.0, center=0.5, where=AtData())(Parabola(), events, events)
        torch.testing.assert_close(values.detach(), 2 * (events.flatten(1).norm(dim=1) - 0.5).square())

    def test_the_critic_can_follow_it(self):
        critic = Parabola()
        (gradient,) = torch.autograd.grad(
            GradientPenalty(weight=5.0, where=AtData())(critic, REAL, FAKE).mean(), critic.curvature
        )
        assert gradient.item() == pytest.approx(5 * 2 * (3 - 1) * 3)

    def test_a_flat_critic_has_a_finite_gradient(self):
        critic = nn.Linear(2, 1, bias=False)
        nn.init.zeros_(critic.weight)
        events = torch.randn(4, 2)
        (gradient,) = torch.autograd.grad(GradientPenalty()(critic, events, events + 1).mean(), critic.weight)
        assert torch.equal(gradient, torch.zeros(1, 2))

    @pytest.mark.parametrize("make", [lambda: GradientPenalty(weight=0.0), lambda: GradientPenalty(center=-1.0)])
    def test_wrong_options_are_refused(self, make):
        with pytest.raises(ConfigurationError, match="positive weight and a center of at least 0"):
            make()

    def test_noise_needs_a_spread(self):
        with pytest.raises(ConfigurationError, match="positive spread"):
            AroundData(spread=0.0)


class TestInTheGame:
    def test_it_is_added_to_what_the_critic_minimises_and_is_no_part_of_the_value(self):
        critic = Parabola()
        estimator = Adversarial(
            loss=Wasserstein(clip=None), critic=critic, penalty=GradientPenalty(weight=5.0, where=AtData())
        )
        estimate, phase = estimate_of(estimator, Listed(FAKE), Batch(REAL))
        torch.testing.assert_close(estimate.value, torch.full((2000,), 4.0, dtype=torch.float64))
        assert estimate.info["penalty"].item() == pytest.approx(5 * (3 - 1) ** 2)
        assert flat_gradient(phase, estimate.surrogate).item() == pytest.approx(-4 + 5 * 2 * (3 - 1) * 3)
        assert str(estimator.claims.for_parameter("critic.curvature")) == "unbiased for grad:wasserstein[gradient-penalty]"

    def test_the_generator_does_not_pay(self):
        with_one, without = (
            estimate_of(Adversarial(critic=Parabola(), penalty=penalty), Listed(FAKE), Batch(REAL), "generator")[0]
            for penalty in (GradientPenalty(), None)
        )
        torch.testing.assert_close(with_one.surrogate, without.surrogate)

    def test_validation_needs_no_gradients(self):
        estimator = Adversarial(critic=Parabola(), penalty=GradientPenalty(where=AtData()))
        with torch.no_grad():
            estimate, _ = estimate_of(estimator, Listed(FAKE), Batch(REAL))
        assert estimate.info["penalty"].item() == pytest.approx(10 * (3 - 1) ** 2)
        assert not estimate.surrogate.requires_grad

"""Every game against its best critic on six points, where divergences are sums, and against its definition anywhere."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from helpers.draws import flat_gradient
from helpers.games import Listed, Table, estimate_of, six_points
from probgen import Adversarial, Batch, ConfigurationError, ShapeError
from probgen.estimators.adversarial_losses import BEGAN, Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from probgen.nn import MLP

_, _, P, Q = six_points()
MIDDLE = (P + Q) / 2
JENSEN_SHANNON = 0.5 * (P * (P / MIDDLE).log()).sum() + 0.5 * (Q * (Q / MIDDLE).log()).sum()
TOTAL_VARIATION = 0.5 * (P - Q).abs().sum()
EARTH_MOVERS = (P.cumsum(0) - Q.cumsum(0)).abs().sum()

BEST = {
    "minimax": (Minimax(), (P / Q).log(), 2 * JENSEN_SHANNON - math.log(4)),
    "non-saturating": (NonSaturating(), (P / Q).log(), 2 * JENSEN_SHANNON - math.log(4)),
    "least-squares": (LeastSquares(), P / (P + Q), 0.5 * (P * Q / (P + Q)).sum()),
    "hinge": (Hinge(), (P - Q).sign(), 2 * TOTAL_VARIATION - 2),
    "wasserstein": (
        Wasserstein(clip=None),
        torch.cat([torch.zeros(1), -(P.cumsum(0) - Q.cumsum(0)).sign()[:-1]]).cumsum(0).double(),
        EARTH_MOVERS,
    ),
}
"""The best critic's scores and the game's value there; for Wasserstein the points are in a row, one apart."""


class TestBestCritics:
    @pytest.mark.parametrize(("loss", "scores", "value"), BEST.values(), ids=BEST)
    def test_the_value_is_the_divergence(self, loss, scores, value):
        batch, model, _, _ = six_points()
        estimate, _ = estimate_of(Adversarial(loss=loss, critic=Table(scores)), model, batch)
        torch.testing.assert_close(estimate.value.mean(), value)

    @pytest.mark.parametrize("name", ["minimax", "non-saturating", "least-squares"])
    def test_there_the_critics_gradient_is_zero(self, name):
        loss, scores, _ = BEST[name]
        batch, model, _, _ = six_points()
        estimate, phase = estimate_of(Adversarial(loss=loss, critic=Table(scores)), model, batch)
        assert flat_gradient(phase, estimate.surrogate).abs().max() < 1e-12

    @pytest.mark.parametrize("name", ["minimax", "non-saturating", "least-squares", "hinge"])
    def test_no_critic_does_better(self, name):
        loss, _, best = BEST[name]
        batch, model, _, _ = six_points()
        for _ in range(50):
            critic = Table(2 * torch.randn(6, dtype=torch.float64))
            value = estimate_of(Adversarial(loss=loss, critic=critic), model, batch)[0].value.mean()
            assert value < best if loss.critic_direction == "maximise" else value > best

    @pytest.mark.parametrize("name", ["minimax", "non-saturating", "least-squares", "hinge"])
    def test_the_critics_steps_lead_there(self, name):
        """Wrong signs would lead away."""
        loss, _, best = BEST[name]
        batch, model, _, _ = six_points()
        critic = Table(0.3 * torch.randn(6, dtype=torch.float64))
        gaps = []
        for _ in range(200):
            estimate, phase = estimate_of(Adversarial(loss=loss, critic=critic), model, batch)
            gaps.append((estimate.value.mean() - best).abs())
            (gradient,) = torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))
            with torch.no_grad():
                critic.scores -= gradient
        assert gaps[-1] < 0.3 * gaps[0]


def quantiles(loc, count=20_000):
    """Return draws whose mean of anything smooth is an expectation, `(count, 1)`."""
    return Normal(loc, 1.0).icdf((torch.arange(count, dtype=torch.float64) + 0.5) / count)[:, None]


class Ratio(nn.Module):
    """The log-ratio of two normal densities, the best critic of both original games."""

    def __init__(self, fake):
        super().__init__()
        self.fake = nn.Parameter(torch.tensor(fake, dtype=torch.float64))

    def forward(self, x):
        return 0.5 * ((x - self.fake).square() - x.square())


def divergence_slopes(loc):
    """Return the derivatives of JSD(p, q) and KL(q, p) by the location of q = N(loc, 1), with p = N(0, 1)."""
    x = torch.linspace(-12, 12, 40_001, dtype=torch.float64)
    at = torch.tensor(loc, dtype=torch.float64, requires_grad=True)
    p, q = Normal(0.0, 1.0).log_prob(x).exp(), Normal(at, 1.0).log_prob(x).exp()
    middle = (p + q) / 2
    jensen = torch.trapezoid(0.5 * p * (p / middle).log() + 0.5 * q * (q / middle).log(), x)
    leibler = torch.trapezoid(q * (q / p).log(), x)
    return [torch.autograd.grad(each, at, retain_graph=True)[0] for each in (jensen, leibler)]


class TestGeneratorsAtTheBestCritic:
    """Goodfellow et al. (2014) and Arjovsky & Bottou (2017): what each generator's gradient then is."""

    def gradient(self, loss, loc=0.8):
        model, batch = Listed(quantiles(loc)), Batch(quantiles(0.0))
        estimate, phase = estimate_of(Adversarial(loss=loss, critic=Ratio(loc)), model, batch, "generator")
        return flat_gradient(phase, estimate.surrogate)[0]

    def test_minimax_follows_the_jensen_shannon_divergence(self):
        jensen, _ = divergence_slopes(0.8)
        torch.testing.assert_close(self.gradient(Minimax()), 2 * jensen, rtol=1e-3, atol=0)

    def test_the_non_saturating_loss_follows_another(self):
        jensen, leibler = divergence_slopes(0.8)
        torch.testing.assert_close(self.gradient(NonSaturating()), leibler - 2 * jensen, rtol=1e-3, atol=0)
        assert abs(self.gradient(Minimax()) / (leibler - 2 * jensen) - 1) > 0.1


def sure(score):
    return 1 / (1 + torch.exp(-score))


DEFINITIONS = {
    "minimax": (Minimax(), lambda r, f: sure(r).log() + (1 - sure(f)).log(), lambda f: (1 - sure(f)).log()),
    "non-saturating": (NonSaturating(), lambda r, f: sure(r).log() + (1 - sure(f)).log(), lambda f: -sure(f).log()),
    "wasserstein": (Wasserstein(), lambda r, f: r - f, lambda f: -f),
    "least-squares": (
        LeastSquares(real=0.9, fake=-0.5, target=0.3),
        lambda r, f: 0.5 * (r - 0.9) ** 2 + 0.5 * (f + 0.5) ** 2,
        lambda f: 0.5 * (f - 0.3) ** 2,
    ),
    "hinge": (
        Hinge(),
        lambda r, f: torch.minimum(r - 1, torch.zeros_like(r)) + torch.minimum(-f - 1, torch.zeros_like(f)),
        lambda f: -f,
    ),
}


@pytest.mark.parametrize(("loss", "value", "generator"), DEFINITIONS.values(), ids=DEFINITIONS)
class TestDefinitions:
    def scene(self):
        model = Listed(torch.randn(30, 2, dtype=torch.float64))
        return model, Batch(torch.randn(30, 2, dtype=torch.float64) + 1), MLP((2, 8, 1)).double()

    def test_the_critics_value_and_gradient(self, loss, value, generator):
        model, batch, critic = self.scene()
        estimate, phase = estimate_of(Adversarial(loss=loss, critic=critic), model, batch)
        wanted = value(critic(batch.x), critic(model.events)).squeeze(1)
        torch.testing.assert_close(estimate.value, wanted.detach())
        sign = -1 if loss.critic_direction == "maximise" else 1
        torch.testing.assert_close(flat_gradient(phase, estimate.surrogate), sign * flat_gradient(phase, wanted.mean()))

    def test_the_generators_loss_and_gradient(self, loss, value, generator):
        model, batch, critic = self.scene()
        estimate, phase = estimate_of(Adversarial(loss=loss, critic=critic), model, batch, "generator")
        wanted = generator(critic(model.events + model.shift)).squeeze(1)
        torch.testing.assert_close(estimate.value, wanted.detach())
        torch.testing.assert_close(flat_gradient(phase, estimate.surrogate), flat_gradient(phase, wanted.mean()))

    def test_extreme_scores_give_finite_numbers(self, loss, value, generator):
        scores = torch.tensor([-200.0, 200.0], requires_grad=True)
        total = loss.value(scores, scores, {}).sum() + loss.generator(scores).sum()
        assert total.isfinite()
        assert torch.autograd.grad(total, scores)[0].isfinite().all()


class TestBEGAN:
    def scene(self, **options):
        critic = nn.Linear(2, 2).double()
        model = Listed(torch.randn(20, 2, dtype=torch.float64))
        return Adversarial(loss=BEGAN(**options), critic=critic), model, Batch(torch.randn(20, 2, dtype=torch.float64) + 1)

    @staticmethod
    def error(estimator, x):
        return (x - estimator.learned(x)).abs().mean(1)

    def test_the_balance_weighs_the_errors(self):
        estimator, model, batch = self.scene()
        state = {"balance": torch.tensor(0.4, dtype=torch.float64)}
        estimate, phase = estimate_of(estimator, model, batch, state=state)
        wanted = self.error(estimator, batch.x) - 0.4 * self.error(estimator, model.events)
        torch.testing.assert_close(estimate.value, wanted.detach())
        torch.testing.assert_close(flat_gradient(phase, estimate.surrogate), flat_gradient(phase, wanted.mean()))
        estimate, phase = estimate_of(estimator, model, batch, "generator", state)
        wanted = self.error(estimator, model.events + model.shift)
        torch.testing.assert_close(estimate.value, wanted.detach())
        torch.testing.assert_close(flat_gradient(phase, estimate.surrogate), flat_gradient(phase, wanted.mean()))

    def test_the_balance_starts_at_zero_and_moves_with_the_generator(self):
        estimator, model, batch = self.scene(diversity=0.9, rate=0.1)
        state = estimator.initial_state(model, batch)
        assert state["balance"] == 0
        after_critic = estimate_of(estimator, model, batch, "critic", state)[0].state
        assert after_critic["balance"] == 0
        half = {"balance": torch.tensor(0.5, dtype=torch.float64)}
        moved = estimate_of(estimator, model, batch, "generator", half)[0].state["balance"]
        gap = 0.9 * self.error(estimator, batch.x).mean() - self.error(estimator, model.events).mean()
        torch.testing.assert_close(moved, (0.5 + 0.1 * gap).detach())
        assert not moved.requires_grad

    @pytest.mark.parametrize(("diversity", "start", "end"), [(100.0, 0.9, 1.0), (1e-9, 0.1, 0.0)])
    def test_the_balance_stays_between_zero_and_one(self, diversity, start, end):
        estimator, model, batch = self.scene(diversity=diversity, rate=10.0)
        state = {"balance": torch.tensor(start).double()}
        assert estimate_of(estimator, model, batch, "generator", state)[0].state["balance"] == end

    def test_the_critic_has_to_reconstruct(self):
        estimator = Adversarial(loss=BEGAN(), critic=nn.Linear(2, 3))
        with pytest.raises(ShapeError, match=r"reconstructs events of shape \(4, 2\); got \(4, 3\)"):
            estimate_of(estimator, Listed(torch.zeros(4, 2)), Batch(torch.zeros(4, 2)))


@pytest.mark.parametrize(
    "make", [lambda: Wasserstein(clip=0.0), lambda: BEGAN(rate=0.0), lambda: BEGAN(diversity=-1.0)], ids=range(3)
)
def test_wrong_options_are_refused(make):
    with pytest.raises(ConfigurationError, match="expected a positive"):
        make()

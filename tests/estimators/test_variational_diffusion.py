"""The variational bound of diffusion, where the reverse process is known: it is then the log-likelihood, for any T."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import Normal

from helpers.draws import ERRORS, draws_of, flat_gradient, standard_errors
from probgen import Batch, CapabilityError, NoiseProcess, VariationalDiffusion, build_estimator
from probgen.claims import LowerBound, Unbiased
from probgen.estimators.diffusion_bound import Transition, known_part, step_error, variational_bound

FLOAT = torch.float64
EVENTS = torch.tensor([[0.4, -1.3], [2.0, 0.1], [-0.7, 3.0]], dtype=FLOAT)


class GaussianProcess(nn.Module, NoiseProcess):
    """Events from N(mean, deviation^2) and their exact reverse process, each part of which can be put wrong."""

    event_shape, context_shape, support = torch.Size([2]), None, torch.distributions.constraints.real

    def __init__(self, num_steps=4, *, mean=0.0, deviation=1.0, end=1e-6, tilt=0.0, shift=0.0, widened=1.0):
        super().__init__()
        self.num_steps, self.mean, self.deviation, self.widened = num_steps, mean, deviation, widened
        self.angle = math.acos(end)
        self.tilt = nn.Parameter(torch.tensor(tilt, dtype=FLOAT))
        self.shift = nn.Parameter(torch.tensor([shift, -shift], dtype=FLOAT))

    def schedule(self, t):
        return (self.angle * t).cos(), (self.angle * t).sin()

    def denoise(self, z_t, t, context=None):
        alpha, sigma = (factor[:, None] for factor in self.schedule(t))
        total = (alpha * self.deviation).square() + sigma.square()
        exact = sigma * (z_t - alpha * self.mean) / total
        return exact + alpha * sigma * (self.tilt * z_t + self.shift) + (0 if context is None else context)

    def reverse_variance(self, t, s):
        alpha, sigma = self.schedule(t)
        left = (self.deviation * sigma).square() / ((alpha * self.deviation).square() + sigma.square())
        transition = Transition.of(self, t, s)
        return self.widened * (transition.variance + transition.event_gain.square() * left)


class Rescaled(GaussianProcess):
    """Standard normal after scaling: the process itself knows nothing of mean and deviation, and keeps every default."""

    def __init__(self, num_steps, *, mean, deviation):
        super().__init__(num_steps, end=0.3)
        self.location, self.scale = mean, deviation

    def scaled(self, x):
        return (x - self.location) / self.scale, x.new_full((len(x),), -2 * math.log(self.scale))

    def reverse_variance(self, t, s):
        return NoiseProcess.reverse_variance(self, t, s)


SIGNS = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0], dtype=FLOAT)] * 2)
"""All that is needed to average a quadratic function of standard normal entries exactly."""


def exact_bound(model, x):
    """Return the bound without noise: the error is affine in the noise."""
    bound = known_part(model, x)
    for number in range(1, model.num_steps + 1):
        step = torch.full((len(x),), number)
        errors = torch.stack([step_error(model, x, step, sign.expand_as(x)) for sign in SIGNS])
        bound = bound - errors.mean(0)
    return bound


def log_prob(x, mean, deviation):
    return Normal(torch.tensor(mean, dtype=FLOAT), deviation).log_prob(x).sum(-1)


@pytest.mark.parametrize("num_steps", [1, 2, 3, 10, 200])
class TestExactReversal:
    @pytest.mark.parametrize(("mean", "deviation"), [(0.0, 1.0), (0.7, 0.4), (-1.5, 3.0)])
    def test_the_bound_is_the_likelihood(self, num_steps, mean, deviation):
        model = GaussianProcess(num_steps, mean=mean, deviation=deviation)
        torch.testing.assert_close(exact_bound(model, EVENTS), log_prob(EVENTS, mean, deviation), rtol=0, atol=1e-8)

    def test_so_it_is_on_another_scale_with_the_default_variance(self, num_steps):
        """A schedule that keeps the variance of standard normal events needs not even end in noise alone."""
        model = Rescaled(num_steps, mean=2.0, deviation=0.3)
        torch.testing.assert_close(exact_bound(model, EVENTS), log_prob(EVENTS, 2.0, 0.3), rtol=0, atol=1e-9)

    @pytest.mark.parametrize("wrong", [{"tilt": 0.1}, {"shift": 0.1}, {"widened": 1.1}, {"widened": 0.9}, {"end": 0.3}])
    def test_anything_else_is_below_it_on_average(self, num_steps, wrong):
        mean, deviation = 0.7, 0.4
        x = mean + deviation * SIGNS  # both bound and likelihood are quadratic
        model = GaussianProcess(num_steps, mean=mean, deviation=deviation, **wrong)
        assert (log_prob(x, mean, deviation) - exact_bound(model, x)).mean() > 1e-3


def test_a_transition_is_bayes_rule():
    """Its moments are those of the forward process's joint normal, given the later state."""
    model = GaussianProcess(end=0.1)
    t, s = torch.tensor([0.8, 1.0, 0.3], dtype=FLOAT), torch.tensor([0.3, 0.9, 0.0], dtype=FLOAT)
    (alpha_t, sigma_t), (alpha_s, sigma_s) = model.schedule(t), model.schedule(s)
    covariance = alpha_t / alpha_s * sigma_s.square()
    slope = covariance / sigma_t.square()
    found = Transition.of(model, t, s)
    torch.testing.assert_close(found.noise_gain, slope)
    torch.testing.assert_close(found.event_gain, alpha_s - slope * alpha_t)
    torch.testing.assert_close(found.variance, sigma_s.square() - slope * covariance)


class LastStepForgotten(GaussianProcess):
    """Wrong: a denoiser that is right at every time but the first, which is drawn once in T steps."""

    def denoise(self, z_t, t, context=None):
        return super().denoise(z_t, t, context) + 0.5 * (t[:, None] < 1.5 / self.num_steps)


@pytest.mark.parametrize("gradient", [False, True], ids=["value", "gradient"])
class TestOneStepForEachExample:
    def errors_of(self, model, *, gradient, drawn_from=None):
        x = EVENTS.repeat(100, 1)
        (phase,) = VariationalDiffusion().phases(model)
        target = exact_bound(model, EVENTS).mean()
        wanted = flat_gradient(phase, -target) if gradient else target.detach()
        (drawn,) = VariationalDiffusion().phases(drawn_from or model)
        draws = draws_of(lambda: drawn(drawn_from or model, Batch(x), {}), 300, phase=drawn if gradient else None)
        return standard_errors(draws, wanted)

    @pytest.mark.parametrize("num_steps", [1, 5])
    def test_it_is_unbiased(self, gradient, num_steps):
        model = GaussianProcess(num_steps, mean=0.5, deviation=0.6, tilt=0.3, shift=0.2, end=0.05)
        assert self.errors_of(model, gradient=gradient) < ERRORS

    def test_a_wrong_twin_is_seen(self, gradient):
        options = {"mean": 0.5, "deviation": 0.6, "tilt": 0.3, "shift": 0.2, "end": 0.05}
        wrong = LastStepForgotten(5, **options)
        assert self.errors_of(GaussianProcess(5, **options), gradient=gradient, drawn_from=wrong) > 2 * ERRORS


@pytest.mark.parametrize("num_evaluations", [None, 1, 3, 5, 100])
def test_the_bound_from_some_of_the_steps_is_unbiased(num_evaluations):
    model = GaussianProcess(5, mean=0.5, deviation=0.6, tilt=0.3, shift=0.2, end=0.05)
    x = EVENTS[:1].expand(200_000, 2)
    with torch.no_grad():
        draws = variational_bound(model, x, num_evaluations=num_evaluations)
        target = exact_bound(model, EVENTS[:1])
    assert standard_errors(draws[:, None], target) < ERRORS


class TestContract:
    def test_the_context_reaches_the_denoiser(self):
        model = GaussianProcess(3)
        (phase,) = VariationalDiffusion().phases(model)
        far = phase(model, Batch(EVENTS, context=torch.full((3, 2), 100.0, dtype=FLOAT)), {})
        assert far.value.shape == (3,)
        assert far.value.max() < -100

    def test_claims(self):
        estimator = build_estimator("variational-diffusion")
        assert estimator.claims.value == (Unbiased("vlb"), LowerBound("log_prob"))
        assert estimator.objective.direction == "maximise"

    def test_continuous_time_is_refused(self):
        model = GaussianProcess()
        model.num_steps = None
        with pytest.raises(CapabilityError, match="expected a process in discrete time; got GaussianProcess"):
            VariationalDiffusion().check(model)

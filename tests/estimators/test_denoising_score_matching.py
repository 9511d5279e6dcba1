"""Denoising score matching with linear denoisers, for which every expectation is an integral over time."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from helpers.draws import ERRORS, draws_of, flat_gradient, standard_errors
from probgen import Batch, CapabilityError, ConfigurationError, DenoisingScoreMatching, NoiseProcess, build_estimator
from probgen.claims import Unbiased
from probgen.estimators.denoising_score_matching import Event, Likelihood, MinSNR, Simple, Velocity

TIMES = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000


class Linear(nn.Module, NoiseProcess):
    """A denoiser that is affine in what it sees, and a schedule of log signal-to-noise that is affine in time."""

    event_shape, context_shape, support = torch.Size([2]), None, torch.distributions.constraints.real

    def __init__(self):
        super().__init__()
        self.slope = nn.Parameter(torch.tensor(0.7, dtype=torch.float64))
        self.offset = nn.Parameter(torch.tensor([0.2, -0.1], dtype=torch.float64))
        self.range = nn.Parameter(torch.tensor([4.0, -5.0], dtype=torch.float64))

    def log_snr(self, t):
        return self.range[0] + t * (self.range[1] - self.range[0])

    def schedule(self, t):
        return torch.sigmoid(self.log_snr(t)).sqrt(), torch.sigmoid(-self.log_snr(t)).sqrt()

    def denoise(self, z_t, t, context=None):
        return self.slope * z_t + self.offset + (0 if context is None else context)


class Ideal(Linear):
    """The best denoiser of normal data with standard deviation 2."""

    def denoise(self, z_t, t, context=None):
        alpha, sigma = (factor[:, None] for factor in self.schedule(t))
        return sigma * z_t / (4 * alpha.square() + sigma.square())


class Discrete(Linear):
    """The same at three times."""

    num_steps = 3


class Rescaled(Linear):
    """The same for events of half the size."""

    def scaled(self, x):
        return 2 * x, x.new_full((len(x),), 2 * math.log(2))


class SwappedSchedule(Linear):
    """Wrong: signal and noise change places."""

    def schedule(self, t):
        return super().schedule(t)[::-1]


class MeanOverEntries(DenoisingScoreMatching):
    """Wrong: the error is averaged over the entries and not summed."""

    def _estimate(self, model, batch, state):
        estimate = super()._estimate(model, batch, state)
        return type(estimate)(estimate.surrogate / 2, estimate.value / 2)


def weight(weighting, model, times):
    """Return the weights at times, written out."""
    ratio = model.log_snr(times).exp()
    if isinstance(weighting, Event):
        return 1 / ratio
    if isinstance(weighting, Velocity):
        return 1 + 1 / ratio
    if isinstance(weighting, MinSNR):
        return torch.minimum(ratio, torch.full_like(ratio, weighting.limit)) / ratio
    if isinstance(weighting, Likelihood):
        return 0.5 * (model.range[0] - model.range[1]).expand(len(times))
    return torch.ones_like(times)


def closed_form(weighting, model, x):
    """Return the loss of each event: the expectation over noise by hand, over time by quadrature or, if discrete, a sum."""
    times = TIMES if model.num_steps is None else torch.tensor([1 / 3, 2 / 3, 1.0], dtype=torch.float64)
    alpha, sigma = (factor[:, None, None] for factor in Linear.schedule(model, times))
    noise_part = (1 - model.slope * sigma).square()
    data_part = (model.slope * alpha * model.scaled(x)[0] + model.offset).square()
    return (weight(weighting, model, times)[:, None] * (noise_part + data_part).sum(-1)).mean(0)


BATCH = Batch(torch.tensor([[0.5, -1.0], [2.0, 0.3], [-0.7, 0.1]], dtype=torch.float64).repeat(100, 1))


def errors_of(model, estimator, weighting, *, gradient):
    (phase,) = estimator.phases(model)
    target = closed_form(weighting, model, BATCH.x[:3]).mean()
    wanted = flat_gradient(phase, target) if gradient else target.detach()
    draws = draws_of(lambda: phase(model, BATCH, {}), 400, phase=phase if gradient else None)
    return standard_errors(draws, wanted)


@pytest.mark.parametrize("gradient", [False, True], ids=["value", "gradient"])
class TestAgainstQuadrature:
    @pytest.mark.parametrize(
        "weighting", [Simple(), Event(), Velocity(), MinSNR(limit=2.0), Likelihood()], ids=lambda w: w.name
    )
    def test_claims_hold(self, weighting, gradient):
        """Also for the schedule's own parameters."""
        assert errors_of(Linear(), DenoisingScoreMatching(weighting=weighting), weighting, gradient=gradient) < ERRORS

    @pytest.mark.parametrize("kind", [Discrete, Rescaled])
    @pytest.mark.parametrize("weighting", [Simple(), MinSNR(limit=2.0)], ids=lambda w: w.name)
    def test_claims_hold_in_discrete_time_and_on_another_scale(self, kind, weighting, gradient):
        assert errors_of(kind(), DenoisingScoreMatching(weighting=weighting), weighting, gradient=gradient) < ERRORS

    def test_wrong_twins_are_seen(self, gradient):
        assert errors_of(SwappedSchedule(), DenoisingScoreMatching(), Simple(), gradient=gradient) > 2 * ERRORS
        assert errors_of(Linear(), MeanOverEntries(), Simple(), gradient=gradient) > 2 * ERRORS
        assert errors_of(Linear(), DenoisingScoreMatching(weighting=MinSNR()), Simple(), gradient=gradient) > 2 * ERRORS


def test_the_value_is_that_of_each_example():
    (phase,) = DenoisingScoreMatching().phases(model := Linear())
    draws = torch.stack([phase(model, BATCH, {}).value.reshape(100, 3).mean(0) for _ in range(300)])
    assert standard_errors(draws, closed_form(Simple(), model, BATCH.x[:3]).detach()) < ERRORS


def test_the_best_denoiser_has_the_least_loss():
    """For normal data the posterior variance of the noise, integrated over time, is what no denoiser can avoid."""
    model = Ideal()
    alpha, sigma = model.schedule(TIMES)
    least = (2 * 4 * alpha.square() / (4 * alpha.square() + sigma.square())).mean().detach()
    (phase,) = DenoisingScoreMatching().phases(model)

    def estimate():
        return phase(model, Batch(2 * torch.randn(200, 2, dtype=torch.float64)), {})

    assert standard_errors(draws_of(estimate, 400), least) < ERRORS


def test_the_likelihoods_weighting_counts_in_nats():
    """With the best denoiser, the loss is the information lost between the two ends."""
    model = Ideal()
    first, last = model.range.detach().exp()
    alpha, sigma = model.schedule(TIMES)
    error = 2 * 4 * alpha.square() / (4 * alpha.square() + sigma.square())
    loss = (Likelihood()(model, TIMES) * error).mean().detach()

    def information(ratio):
        """Return the information that two normal entries of variance 4 give through noise."""
        return torch.log1p(4 * ratio)

    assert loss.item() == pytest.approx((information(first) - information(last)).item(), rel=1e-6)


class TestContract:
    def test_pictures_contexts_and_no_gradients(self):
        model = Linear().float()
        model.event_shape, model.offset = torch.Size([1, 2, 2]), nn.Parameter(torch.zeros(1, 2, 2))
        (phase,) = DenoisingScoreMatching(weighting=Likelihood()).phases(model)
        with torch.no_grad():
            estimate = phase(model, Batch(torch.randn(5, 1, 2, 2), context=torch.full((5, 1, 2, 2), 100.0)), {})
        assert estimate.value.shape == (5,)
        assert estimate.value.dtype == torch.float32
        assert estimate.value.min() > 1000  # the context reached the denoiser
        assert not estimate.surrogate.requires_grad

    def test_claims_and_options(self):
        estimator = build_estimator("denoising-score-matching", weighting="likelihood")
        assert estimator.weighting == Likelihood()
        assert estimator.objective.unit == "nats"
        assert estimator.claims.value == (Unbiased("dsm[likelihood]"),)

    def test_the_likelihoods_weighting_is_for_continuous_time(self):
        with pytest.raises(CapabilityError, match=r"got Discrete of 3 steps\. Use VariationalDiffusion"):
            DenoisingScoreMatching(weighting=Likelihood()).check(Discrete())

    @pytest.mark.parametrize("limit", [0.0, -1.0, math.nan])
    def test_wrong_options_are_refused(self, limit):
        with pytest.raises(ConfigurationError, match="expected a positive limit"):
            MinSNR(limit=limit)

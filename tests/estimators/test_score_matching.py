"""Score matching against Gaussians in closed form, and against the Hessian of a network."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from helpers.draws import ERRORS, draws_of, flat_gradient, standard_errors
from probgen import Batch, ConfigurationError, ScoreMatching, SupportError, UnnormalizedDensity, build_estimator, fit
from probgen.estimators.score_matching import ExactTrace, SlicedTrace, Trace
from probgen.nn import MLP


class Quadratic(nn.Module, UnnormalizedDensity):
    """The energy of a Gaussian with a precision that is not diagonal."""

    event_shape, context_shape, support = torch.Size([3]), None, torch.distributions.constraints.real

    def __init__(self):
        super().__init__()
        self.loc = nn.Parameter(torch.tensor([0.5, -0.3, 0.1], dtype=torch.float64))
        self.root = nn.Parameter(torch.tensor([[1.0, 0, 0], [0.6, 0.8, 0], [-0.4, 0.5, 1.2]], dtype=torch.float64))

    @property
    def precision(self):
        return self.root @ self.root.T

    def _energy(self, x, context):
        return 0.5 * ((x - self.loc) @ self.root).square().sum(-1)


class Network(nn.Module, UnnormalizedDensity):
    """A smooth energy over small pictures, shifted by a context."""

    event_shape, context_shape, support = torch.Size([1, 2, 2]), torch.Size([1]), torch.distributions.constraints.real

    def __init__(self):
        super().__init__()
        self.net = MLP((5, 8, 1)).double()

    def _energy(self, x, context):
        return self.net(torch.cat([x.flatten(1), context], 1)).squeeze(1)


class WrongSign(Trace):
    """Wrong: the trace of the energy's Hessian instead of the score's Jacobian."""

    claim = ExactTrace().claim

    def __call__(self, score, x, *, differentiable):
        return -ExactTrace()(score, x, differentiable=differentiable)


class RowSums(Trace):
    """Wrong: the directions are all ones, so that entries off the diagonal count."""

    claim = SlicedTrace().claim

    def __call__(self, score, x, *, differentiable):
        return torch.autograd.grad(score.sum(), x, create_graph=differentiable, retain_graph=True)[0].flatten(1).sum(1)


def closed_form(model, x):
    """Return Hyvärinen's objective of each event under the Gaussian."""
    return 0.5 * ((x - model.loc) @ model.precision).square().sum(1) - model.precision.trace()


BATCH = Batch(torch.linspace(-1, 1, 12, dtype=torch.float64).reshape(4, 3))


class TestGaussian:
    def test_exact_value_and_gradient(self):
        (phase,) = ScoreMatching().phases(model := Quadratic())
        estimate = phase(model, BATCH, {})
        target = closed_form(model, BATCH.x)
        torch.testing.assert_close(estimate.value, target.detach())
        torch.testing.assert_close(flat_gradient(phase, estimate.surrogate), flat_gradient(phase, target.mean()))

    @pytest.mark.parametrize("wrong", [WrongSign(), RowSums()])
    def test_wrong_traces_are_seen(self, wrong):
        (phase,) = ScoreMatching(method=wrong).phases(model := Quadratic())
        assert (phase(model, BATCH, {}).value - closed_form(model, BATCH.x)).abs().min() > 0.1

    @pytest.mark.parametrize("method", [SlicedTrace(), SlicedTrace(num_projections=3), SlicedTrace(gaussian=True)])
    def test_sliced_value_and_gradient_are_unbiased(self, method):
        (phase,) = ScoreMatching(method=method).phases(model := Quadratic())
        target = closed_form(model, BATCH.x).mean()

        def estimate():
            return phase(model, BATCH, {})

        assert standard_errors(draws_of(estimate, 600), target.detach()) < ERRORS
        assert standard_errors(draws_of(estimate, 600, phase=phase), flat_gradient(phase, target)) < ERRORS

    def test_signs_give_a_diagonal_without_noise(self):
        model = Quadratic()
        with torch.no_grad():
            model.root.copy_(torch.diag(torch.tensor([0.5, 1.0, 2.0])))
        value = ScoreMatching(method=SlicedTrace()).phases(model)[0](model, BATCH, {}).value
        torch.testing.assert_close(value, closed_form(model, BATCH.x).detach())

    def test_its_minimum_is_at_the_samples_moments(self):
        x = torch.randn(50, 3, dtype=torch.float64) @ torch.randn(3, 3, dtype=torch.float64)
        model = Quadratic()
        with torch.no_grad():
            model.loc.copy_(x.mean(0))
            model.root.copy_(torch.linalg.cholesky(torch.linalg.inv(torch.cov(x.T, correction=0))))
        (phase,) = ScoreMatching().phases(model)
        assert flat_gradient(phase, phase(model, Batch(x), {}).surrogate).abs().max() < 1e-10


class TestNetwork:
    def test_exact_against_the_hessian(self):
        model, batch = Network(), Batch(torch.randn(3, 1, 2, 2).double(), context=torch.randn(3, 1).double())
        values = ScoreMatching().phases(model)[0](model, batch, {}).value
        for value, x, context in zip(values, batch.x, batch.context, strict=True):

            def energy(event, context=context):
                return model.energy(event, context)

            slope = torch.func.grad(energy)(x)
            curvature = torch.func.hessian(energy)(x).reshape(4, 4).trace()
            torch.testing.assert_close(value, (0.5 * slope.square().sum() - curvature).detach())

    def test_the_gradient_is_that_of_the_value(self):
        model, batch = Network(), Batch(torch.randn(3, 1, 2, 2).double(), context=torch.randn(3, 1).double())
        (phase,) = ScoreMatching().phases(model)
        gradient = flat_gradient(phase, phase(model, batch, {}).surrogate)
        weight = model.net[0].weight
        ends = []
        for step in (1e-5, -1e-5):
            with torch.no_grad():
                weight[2, 3] += step
            ends.append(phase(model, batch, {}).value.mean())
            with torch.no_grad():
                weight[2, 3] -= step
        assert gradient[2 * 5 + 3].item() == pytest.approx(((ends[0] - ends[1]) / 2e-5).item(), rel=1e-6)

    def test_an_energy_without_curvature_or_slope_is_no_trouble(self):
        class Flat(Quadratic):
            def _energy(self, x, context):
                return x @ self.loc

        (phase,) = ScoreMatching().phases(model := Flat())
        value = phase(model, BATCH, {}).value
        torch.testing.assert_close(value, 0.5 * model.loc.square().sum().detach().expand(4))
        model._energy = lambda x, context: model.loc.sum().expand(len(x))
        assert torch.equal(phase(model, BATCH, {}).value, torch.zeros(4, dtype=torch.float64))


class TestContract:
    def test_without_gradients_it_still_gives_its_value(self):
        (phase,) = ScoreMatching().phases(model := Quadratic())
        with torch.no_grad():
            estimate = phase(model, BATCH, {})
        torch.testing.assert_close(estimate.value, closed_form(model, BATCH.x).detach())
        assert not BATCH.x.requires_grad

    def test_the_events_have_to_be_real(self):
        model = Quadratic()
        model.support = torch.distributions.constraints.boolean
        with pytest.raises(SupportError, match="expected a model of real events; got Quadratic over binary ones"):
            ScoreMatching().phases(model)

    def test_claims_and_options(self):
        assert str(build_estimator("score-matching").claims.value[0]) == "exactly hyvarinen"
        sliced = build_estimator("score-matching", method="sliced", num_projections="3")
        assert sliced.method == SlicedTrace(num_projections=3)
        assert str(sliced.claims.value[0]) == "unbiased for hyvarinen"
        with pytest.raises(ConfigurationError, match="num_projections of at least 1; got 0"):
            SlicedTrace(num_projections=0)


@pytest.mark.parametrize("method", [ExactTrace(), SlicedTrace()])
def test_training_finds_the_gaussian(method):
    x = torch.randn(2000, 3) * torch.tensor([0.5, 1.0, 2.0]) + 1
    fit(model := Quadratic().float(), x, ScoreMatching(method=method), steps=400, batch_size=200, learning_rate=0.03)
    assert (model.loc - 1).abs().max() < 0.3
    assert (torch.linalg.inv(model.precision).diagonal().sqrt() / torch.tensor([0.5, 1.0, 2.0]) - 1).abs().max() < 0.2

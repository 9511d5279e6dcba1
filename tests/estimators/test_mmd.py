"""MMD against its closed form between Gaussians, in value and in gradient."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from helpers.draws import ERRORS, draws_of, standard_errors
from probgen import MMD, Batch, ConfigurationError, Estimate, Reparameterized, ShapeError, build_estimator, fit
from probgen.claims import Biased, Unbiased
from probgen.estimators.kernels import RBF, InverseMultiquadric, KernelMixture, MultiscaleRBF, median_heuristic
from probgen.estimators.mmd import LinearTime, UStatistic, VStatistic

BANDWIDTH = 1.1
M, N = 6, 9


class Cloud(nn.Module, Reparameterized):
    """Normal events with a mean, and a scale for all coordinates."""

    def __init__(self, features=2, contexts=None):
        super().__init__()
        self.event_shape = torch.Size([features])
        self.context_shape = None if contexts is None else torch.Size([contexts])
        self.support = torch.distributions.constraints.real
        self.loc = nn.Parameter(torch.linspace(0.3, 0.8, features, dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor(-0.3, dtype=torch.float64))

    def _rsample(self, n, context):
        shift = 0 if context is None else context[:, :1]
        return self.loc + shift + self.log_scale.exp() * torch.randn(n, *self.event_shape, dtype=torch.float64)


class DividedByFeatures(UStatistic):
    """Wrong: a known library divides by the size of an event."""

    def __call__(self, kernel, x, y, *, block_size):
        return super().__call__(kernel, x, y, block_size=block_size) / x.shape[1]


class WithItself(UStatistic):
    """Wrong: pairs of an event with itself count."""

    def __call__(self, kernel, x, y, *, block_size):
        return VStatistic()(kernel, x, y, block_size=block_size)


class CrossTermOnce(UStatistic):
    """Wrong: the cross term is not doubled."""

    def __call__(self, kernel, x, y, *, block_size):
        cross = kernel.values(torch.cdist(x, y).square()).mean()
        return super().__call__(kernel, x, y, block_size=block_size) + cross


def expected_kernel(mean, variance, features):
    """Return E k(a, b) for a - b normal with this mean and variance in each coordinate."""
    width = BANDWIDTH**2 + variance
    return (BANDWIDTH**2 / width) ** (features / 2) * torch.exp(-(mean**2).sum() / (2 * width))


def closed_form(model, *, m=None, n=None):
    """Return the squared discrepancy from the standard normal; with sample sizes, the V-statistic's expectation."""
    features, variance, zero = model.loc.numel(), (2 * model.log_scale).exp(), torch.zeros(1, dtype=torch.float64)
    among_x = expected_kernel(zero, torch.tensor(2.0, dtype=torch.float64), features)
    among_y = expected_kernel(zero, 2 * variance, features)
    discrepancy = among_x + among_y - 2 * expected_kernel(model.loc, 1 + variance, features)
    return discrepancy if m is None else discrepancy + (1 - among_x) / m + (1 - among_y) / n


def gradient_of(value, model):
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, list(model.parameters()))])


def errors_of(statistic, target, *, gradient, count=1100):
    """Return by how many standard errors an estimate is off `target(model)`."""
    model = Cloud()
    estimator = MMD(kernel=RBF(BANDWIDTH), statistic=statistic, num_samples=N, block_size=4)
    (phase,) = estimator.phases(model)

    def estimate():
        return phase(model, Batch(torch.randn(M, 2, dtype=torch.float64)), {})

    wanted = target(model)
    wanted = gradient_of(wanted, model) if gradient else wanted.detach()
    return standard_errors(draws_of(estimate, count, phase=phase if gradient else None), wanted)


def with_its_bias(model):
    return closed_form(model, m=M, n=N)


@pytest.mark.parametrize("gradient", [False, True], ids=["value", "gradient"])
class TestAgainstTheClosedForm:
    @pytest.mark.parametrize(
        ("statistic", "target"),
        [(UStatistic(), closed_form), (VStatistic(), with_its_bias), (LinearTime(), closed_form)],
        ids=["u", "v", "linear"],
    )
    def test_claims_hold(self, statistic, target, gradient):
        assert errors_of(statistic, target, gradient=gradient) < ERRORS

    @pytest.mark.parametrize("wrong", [DividedByFeatures(), WithItself(), CrossTermOnce()], ids=lambda w: type(w).__name__)
    def test_wrong_statistics_are_seen(self, wrong, gradient):
        assert errors_of(wrong, closed_form, gradient=gradient) > 2 * ERRORS


def test_an_inverse_multiquadric_against_quadrature():
    """In one dimension the expectation of a kernel is an integral over a normal difference."""
    kernel, model = InverseMultiquadric(0.8, exponent=0.5), Cloud(features=1)
    nodes, weights = (torch.as_tensor(a) for a in np.polynomial.hermite_e.hermegauss(120))
    variance = (2 * model.log_scale).exp().item()

    def expected(mean, spread):
        values = kernel.values((mean + math.sqrt(spread) * nodes) ** 2)
        return (weights * values).sum() / weights.sum()

    target = expected(0.0, 2.0) + expected(0.0, 2 * variance) - 2 * expected(model.loc.item(), 1 + variance)
    (phase,) = MMD(kernel=kernel).phases(model)
    draws = draws_of(lambda: phase(model, Batch(torch.randn(20, 1, dtype=torch.float64)), {}), 2000)
    assert standard_errors(draws, target) < ERRORS


class TestSamples:
    def test_without_a_kernel_the_first_batch_sets_the_bandwidth(self):
        model, batch = Cloud(), Batch(torch.randn(30, 2, dtype=torch.float64))
        estimator = MMD()
        state = estimator.initial_state(model, batch)
        torch.testing.assert_close(state["bandwidth"], median_heuristic(batch.x))
        (phase,) = estimator.phases(model)
        torch.manual_seed(1)
        estimate = phase(model, batch, state)
        assert torch.equal(estimate.state["bandwidth"], state["bandwidth"])
        torch.manual_seed(1)
        (fixed,) = MMD(kernel=MultiscaleRBF(state["bandwidth"])).phases(model)
        torch.testing.assert_close(fixed(model, batch, {}).value, estimate.value)

    def test_blocks_do_not_change_the_estimate(self):
        model, batch = Cloud(), Batch(torch.randn(30, 2, dtype=torch.float64))

        def run(block_size):
            torch.manual_seed(1)
            (phase,) = MMD(kernel=RBF(1.0), block_size=block_size).phases(model)
            estimate = phase(model, batch, {})
            return estimate.value, gradient_of(estimate.surrogate, model)

        for mine, its in zip(run(7), run(512), strict=True):
            torch.testing.assert_close(mine, its)

    @pytest.mark.parametrize("statistic", [UStatistic(), VStatistic(), LinearTime()])
    def test_pictures_and_single_precision(self, statistic):
        class Pictures(Cloud):
            def __init__(self):
                super().__init__()
                self.event_shape = torch.Size([1, 2, 2])

            def _rsample(self, n, context):
                return torch.randn(n, 1, 2, 2) * self.log_scale.float().exp()

        (phase,) = MMD(kernel=RBF(1.0), statistic=statistic, num_samples=5).phases(model := Pictures())
        estimate = phase(model, Batch(torch.randn(8, 1, 2, 2)), {})
        assert estimate.value.shape == ()
        assert estimate.value.dtype == torch.float32
        assert torch.autograd.grad(estimate.surrogate, model.log_scale)[0].isfinite()

    def test_mixed_precision_spares_the_distances(self):
        """With few digits the same sample, far from the origin, would not look like itself."""

        class Lowered(Cloud):
            def _rsample(self, n, context):
                return (0 * self.loc.float() + x).to(torch.bfloat16)

        x = (1 + torch.rand(40, 2)).to(torch.bfloat16).float()
        (phase,) = MMD(kernel=RBF(0.05), statistic=VStatistic()).phases(model := Lowered())
        with torch.autocast("cpu", torch.bfloat16):
            assert phase(model, Batch(x), {}).value.abs() < 1e-5

    def test_a_conditional_model_is_judged_with_its_contexts(self):
        seen = []

        class Watching(UStatistic):
            def __call__(self, kernel, x, y, *, block_size):
                seen.append((x, y))
                return super().__call__(kernel, x, y, block_size=block_size)

        model = Cloud(contexts=3)
        batch = Batch(torch.randn(9, 2, dtype=torch.float64), context=torch.randn(9, 3))
        estimator = MMD(statistic=Watching())
        state = estimator.initial_state(model, batch)
        estimator.phases(model)[0](model, batch, state)
        ((x, y),) = seen
        assert (x.shape, y.shape) == ((4, 5), (5, 5))
        torch.testing.assert_close(x, torch.cat([batch.x, batch.context.double()], 1)[:4])
        torch.testing.assert_close(y[:, 2:], batch.context[4:].double())

    def test_it_sees_an_ignored_context(self):
        """Events alone are distributed alike; with their contexts they are not."""
        contexts = torch.randn(4000, 1, dtype=torch.float64)
        right, ignoring = Cloud(features=1, contexts=1), Cloud(features=1, contexts=1)
        with torch.no_grad():
            right.loc.zero_(), ignoring.loc.zero_(), right.log_scale.fill_(-2.0)
            ignoring.log_scale.copy_(0.5 * torch.log(1 + (2 * right.log_scale).exp()))
        ignoring._rsample = lambda n, context: Cloud._rsample(ignoring, n, None)
        batch = Batch(contexts + torch.exp(torch.tensor(-2.0)) * torch.randn_like(contexts), context=contexts)
        values = [MMD(kernel=RBF(0.5)).phases(m)[0](m, batch, {}).value.item() for m in (right, ignoring)]
        assert values[1] > 0.05 > 10 * abs(values[0])


class TestContract:
    def test_claims_are_those_of_the_statistic(self):
        assert MMD().claims.value == (Unbiased("mmd2"),)
        assert isinstance(MMD(statistic=VStatistic()).claims.for_parameter("loc"), Biased)
        assert str(MMD(statistic=VStatistic()).claims.for_parameter("loc")).startswith("biased for grad:mmd2")

    def test_options_of_a_shell(self):
        estimator = build_estimator("mmd", statistic="linear-time", bandwidth="2", num_samples=4)
        assert isinstance(estimator.statistic, LinearTime)
        assert estimator.kernel.bandwidth == 2.0
        assert estimator.num_samples == 4
        assert build_estimator("mmd").kernel is None

    @pytest.mark.parametrize("options", [{"block_size": 0}, {"num_samples": 1}])
    def test_wrong_options_are_refused(self, options):
        with pytest.raises(ConfigurationError, match=r"MMD: expected .* of at least"):
            MMD(**options)

    def test_one_event_is_too_few(self):
        (phase,) = MMD(kernel=RBF(1.0)).phases(model := Cloud())
        with pytest.raises(ShapeError, match="got 1 from the data and 1 from the model"):
            phase(model, Batch(torch.zeros(1, 2, dtype=torch.float64)), {})

    def test_equal_samples_give_finite_numbers(self):
        class Still(Cloud):
            def _rsample(self, n, context):
                return self.loc.expand(n, 2)

        model = Still()
        (phase,) = MMD(kernel=RBF(1.0)).phases(model)
        estimate = phase(model, Batch(model.loc.detach().expand(5, 2)), {})
        torch.testing.assert_close(estimate.value, torch.zeros((), dtype=torch.float64))
        assert torch.equal(torch.autograd.grad(estimate.surrogate, model.loc)[0], torch.zeros(2, dtype=torch.float64))

    def test_without_gradients_it_still_gives_its_value(self):
        (phase,) = MMD(kernel=KernelMixture([RBF(1.0)])).phases(model := Cloud())
        with torch.no_grad():
            estimate = phase(model, Batch(torch.randn(9, 2, dtype=torch.float64)), {})
        assert isinstance(estimate, Estimate)
        assert not estimate.surrogate.requires_grad


def test_training_finds_mean_and_scale():
    model = Cloud().float()
    model._rsample = lambda n, context: model.loc + model.log_scale.exp() * torch.randn(n, 2)
    fit(model, torch.randn(1000, 2) * 0.5 + torch.tensor([2.0, -1.0]), MMD(), steps=200, batch_size=100, learning_rate=0.05)
    assert (model.loc - torch.tensor([2.0, -1.0])).abs().max() < 0.15
    assert abs(model.log_scale.exp() - 0.5) < 0.1

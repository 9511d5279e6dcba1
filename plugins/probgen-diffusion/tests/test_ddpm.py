"""The model: its parts agree with each other, and with what is known of normal events."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import Normal, constraints

from probgen import (
    Batch,
    BoundedLikelihood,
    CapabilityError,
    ConfigurationError,
    DenoisingScoreMatching,
    NoiseProcess,
    Sampler,
    ShapeError,
    VariationalDiffusion,
)
from probgen.capabilities import capabilities
from probgen.claims import LowerBound
from probgen.estimators.denoising_score_matching import Event, Simple, Velocity
from probgen.estimators.diffusion_bound import step_error
from probgen_diffusion.ddpm import DDPM, TARGETS
from probgen_diffusion.dense import DenseNetwork
from probgen_diffusion.examples import ddpm as examples
from probgen_diffusion.unet import UNet

SMALL = {"num_steps": 8, "width": 8, "depth": 1}


def shaken(model):
    """Give a new model parameters that make its network do something."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def events(model, n):
    context = None if model.context_shape is None else torch.randn(n, *model.context_shape)
    return torch.rand(n, *model.event_shape), context


@pytest.mark.parametrize("name", list(examples()))
class TestEveryKind:
    def test_it_trains(self, name):
        model = shaken(examples()[name])
        x, context = events(model, 5)
        for estimator in (DenoisingScoreMatching(), VariationalDiffusion()):
            estimator.check(model)
            (phase,) = estimator.phases(model)
            estimate = phase(model, Batch(x, context), {})
            assert estimate.value.shape == (5,)
            gradients = torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))
            assert all(gradient.isfinite().all() for gradient in gradients)
            assert sum(gradient.abs().sum() for gradient in gradients) > 0

    def test_draws_lie_in_the_support(self, name):
        model = examples()[name]
        _, context = events(model, 4)
        draws = model.sample((3,) if context is not None else (3, 4), context)
        assert draws.shape == (3, 4, *model.event_shape)
        assert model.support.check(draws).all()

    def test_state_round_trips(self, name):
        first, second = shaken(examples()[name]), examples()[name]
        second.load_state_dict(first.state_dict())
        x, context = events(first, 3)
        t = torch.tensor([0.1, 0.5, 1.0])
        assert torch.equal(first.denoise(x, t, context), second.denoise(x, t, context))

    def test_a_new_model_is_a_standard_normal(self, name):
        """On the scale of the noise; the clipping of bounded events is for evaluation."""
        model = examples()[name].double()
        x, context = events(model, 6)
        z, log_det = model.scaled(x.double())
        t = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9, 1.0], dtype=torch.float64)
        sigma = model.schedule(t)[1].reshape(-1, *[1] * (z.ndim - 1))
        torch.testing.assert_close(model.denoise(z, t, context), sigma * z)
        if model.variance == "large":
            draws = 2000 if z[0].numel() < 9 else 30
            repeated = x.double().repeat_interleave(draws, 0)
            with torch.no_grad():
                bounds = model.log_prob_bound(repeated, None if context is None else context.repeat_interleave(draws, 0))
            exact = Normal(0.0, 1.0).log_prob(z).reshape(6, -1).sum(1) + log_det
            bounds = bounds.reshape(6, draws)
            assert ((bounds.mean(1) - exact).abs() < 6 * bounds.std(1) / draws**0.5).all()

    def test_its_powers(self, name):
        assert capabilities(examples()[name]) == {NoiseProcess, Sampler, BoundedLikelihood}
        assert examples()[name].bound_claim == LowerBound("log_prob")


class Given(nn.Module):
    """A network that predicts the same whatever it sees."""

    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(value)

    def forward(self, z, t, context=None):
        return self.value.expand_as(z)


def of_target(target, value, **options):
    return DDPM(network=Given(value), event_shape=(2,), support=constraints.real, target=target, **options)


class TestTargets:
    @pytest.mark.parametrize(("target", "weighting"), [("noise", Simple()), ("event", Event()), ("velocity", Velocity())])
    def test_the_recipes_loss_is_the_error_of_what_is_predicted(self, target, weighting):
        """The network's answer is a correction, so its target is what it says is predicted, less what a normal has."""
        value = torch.tensor([0.3, -0.2], dtype=torch.float64)
        model = of_target(target, value)
        t = torch.linspace(0.05, 1, 20, dtype=torch.float64)
        alpha, sigma = (factor[:, None] for factor in model.schedule(t))
        z_0, noise = torch.randn(20, 2, dtype=torch.float64), torch.randn(20, 2, dtype=torch.float64)
        z_t = alpha * z_0 + sigma * noise
        truth = {"noise": noise - sigma * z_t, "event": z_0 - alpha * z_t, "velocity": alpha * noise - sigma * z_0}[target]
        error = noise - model.denoise(z_t, t)
        torch.testing.assert_close(weighting(model, t)[:, None] * error.square(), (truth - value).square())

    @pytest.mark.parametrize("target", TARGETS)
    def test_the_right_answer_is_the_exact_noise(self, target):
        """For events that are all one vector, the answer of a network that knows it."""

        class Knows(nn.Module):
            def forward(self, z, t, context=None):
                alpha, sigma = (factor[:, None] for factor in model.schedule(t))
                noise = (z - alpha * 0.5) / sigma
                return {"noise": noise - sigma * z, "event": 0.5 - alpha * z, "velocity": alpha * noise - sigma * 0.5}[
                    target
                ]

        model = DDPM(network=Knows(), event_shape=(2,), support=constraints.real, target=target).double()
        x, noise = torch.full((6, 2), 0.5, dtype=torch.float64), torch.randn(6, 2, dtype=torch.float64)
        assert step_error(model, x, torch.tensor([1, 2, 10, 50, 199, 200]), noise).max() < 1e-12


class TestBound:
    def test_a_single_event_wants_the_small_variance(self):
        x = torch.full((5, 2), 0.3)

        class Knows(nn.Module):
            def forward(self, z, t, context=None):
                alpha, sigma = (factor[:, None] for factor in exact.schedule(t))
                return (z - alpha * 0.3) / sigma - sigma * z

        options = {"event_shape": (2,), "support": constraints.real, "num_steps": 50}
        exact = DDPM(network=Knows(), **options)
        small, large = (DDPM(network=Knows(), variance=which, **options).log_prob_bound(x) for which in ("small", "large"))
        assert small.mean() > large.mean() + 1

    def test_fewer_evaluations_estimate_the_same_bound(self):
        model = shaken(DDPM.build((2,), None, constraints.real, num_steps=40, width=8, depth=1)).double()
        few = DDPM(network=model.network, event_shape=(2,), support=constraints.real, num_steps=40, bound_evaluations=6)
        x = torch.tensor([0.3, -1.0], dtype=torch.float64).expand(20_000, 2)
        with torch.no_grad():
            all_steps, some = model.log_prob_bound(x), few.log_prob_bound(x)
        error = (all_steps.var() + some.var()).sqrt() / len(x) ** 0.5
        assert (all_steps.mean() - some.mean()).abs() < 5 * error
        assert some.var() > all_steps.var()

    def test_the_unit_interval_is_seen_from_minus_one_to_one(self):
        model = DDPM.build((3,), None, constraints.unit_interval, **SMALL)
        z, log_det = model.scaled(torch.tensor([[0.0, 0.5, 1.0]]))
        assert z.tolist() == [[-1.0, 0.0, 1.0]]
        assert log_det.item() == pytest.approx(3 * math.log(2))

    def test_evaluation_clips_the_predicted_event(self):
        model = shaken(DDPM.build((3,), None, constraints.unit_interval, **SMALL))
        z, t = 3 * torch.randn(50, 3), torch.full((50,), 0.9)
        alpha, sigma = model.schedule(t[:1])

        def predicted():
            return (z - sigma * model.denoise(z, t)) / alpha

        assert predicted().abs().max() > 1.1
        free = predicted()
        model.eval()
        torch.testing.assert_close(predicted(), free.clamp(-1, 1), rtol=1e-3, atol=1e-3)


class TestAnyEvent:
    @settings(max_examples=20)
    @given(
        shape=st.lists(st.integers(1, 3), max_size=3).map(tuple),
        batch=st.lists(st.integers(0, 3), max_size=2).map(tuple),
    )
    def test_dense_networks_take_any_shape(self, shape, batch):
        model = DDPM.build(shape, None, constraints.real, num_steps=2, width=4, depth=1)
        x = model.sample(batch)
        assert x.shape == (*batch, *shape)
        assert model.log_prob_bound(x).shape == batch

    @settings(max_examples=10)
    @given(channels=st.integers(1, 2), height=st.integers(8, 19), width=st.integers(8, 19))
    def test_the_unet_takes_any_image(self, channels, height, width):
        model = shaken(DDPM.build((channels, height, width), None, constraints.real, num_steps=2, width=4))
        assert isinstance(model.network, UNet)
        x = torch.randn(2, channels, height, width)
        assert model.denoise(x, torch.tensor([0.5, 1.0])).shape == x.shape

    @pytest.mark.parametrize("attention", [False, True])
    def test_the_unet_takes_no_image_at_all(self, attention):
        model = DDPM.build((1, 8, 8), (3,), constraints.real, attention=attention, **SMALL)
        assert model.sample((0,), torch.zeros(3)).shape == (0, 1, 8, 8)
        assert model.log_prob_bound(torch.zeros(0, 1, 8, 8), torch.zeros(3)).shape == (0,)

    @pytest.mark.parametrize(("side", "levels"), [(8, 2), (14, 3), (28, 3), (64, 3)])
    def test_levels_of_the_unet(self, side, levels):
        network = UNet(event_shape=(1, side, side), context_size=0, width=2, depth=1, attention=False)
        assert len(network.down) == levels

    def test_auto_takes_the_unet_for_images_that_are_large_enough(self):
        models = [DDPM.build(shape, None, constraints.real, **SMALL) for shape in [(64,), (1, 7, 8), (1, 8, 8)]]
        assert [type(model.network) for model in models] == [DenseNetwork, DenseNetwork, UNet]
        dense = DDPM.build((1, 8, 8), None, constraints.real, architecture="mlp", **SMALL)
        assert isinstance(dense.network, DenseNetwork)

    @pytest.mark.parametrize("shape", [(3,), (1, 8, 8)])
    def test_time_and_context_reach_every_network(self, shape):
        model = shaken(DDPM.build(shape, (4,), constraints.real, **SMALL))
        z, t, context = torch.randn(2, *shape), torch.tensor([0.3, 0.3]), torch.randn(2, 4)
        base = model.network(z, t, context)
        assert not torch.allclose(model.network(z, t + 0.1, context), base)
        assert not torch.allclose(model.network(z, t, -context), base)

    def test_images_do_not_see_each_other(self):
        model = shaken(DDPM.build((1, 8, 8), None, constraints.real, attention=True, **SMALL))
        z, t = torch.randn(3, 1, 8, 8), torch.tensor([0.2, 0.4, 0.8])
        torch.testing.assert_close(model.denoise(z, t)[1:], model.denoise(z[1:], t[1:]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_steps": 0}, "num_steps of at least 1; got 0"),
        ({"sampling_steps": -1}, "sampling_steps of at least 1; got -1"),
        ({"bound_evaluations": -1}, "bound_evaluations of at least 1"),
        ({"width": 7}, "an even size; got 7"),
        ({"depth": -2}, "depth of at least 1; got -2"),
        ({"schedule": "cosin"}, "Did you mean 'cosine'"),
        ({"target": "x0"}, "target among noise, event, velocity; got 'x0'"),
        ({"variance": "learned"}, "variance among large, small"),
        ({"sampler": "euler"}, "sampler among ancestral, ddim"),
        ({"architecture": "cnn"}, "architecture among auto, mlp, unet"),
    ],
)
def test_options_are_checked(options, message):
    with pytest.raises(ConfigurationError, match=message):
        DDPM.build((3,), None, constraints.real, **options)


def test_what_does_not_fit_is_refused():
    with pytest.raises(CapabilityError, match="expected a real or unit-interval support"):
        DDPM.build((3,), None, constraints.boolean)
    with pytest.raises(ShapeError, match=r"sides of at least 8; got \(3,\). Use architecture='mlp'"):
        DDPM.build((3,), None, constraints.real, architecture="unet")

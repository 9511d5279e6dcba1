"""Generators: shapes, supports, noise, and training by every game and by kernel means."""

from __future__ import annotations

import pytest
import torch
from torch.distributions import constraints

from probgen import MMD, Adversarial, Batch, ConfigurationError, DataError, ShapeError, SupportError, build, fit
from probgen.plugin import registry
from probgen_gan.examples import generators
from probgen_gan.generator import DenseGenerator

GAMES = ("minimax", "non-saturating", "wasserstein", "wasserstein-gp", "least-squares", "hinge", "dragan", "began")


@pytest.mark.parametrize("name", list(generators()))
class TestEveryKind:
    def test_draws_lie_in_the_support_and_carry_gradients(self, name):
        generator = generators()[name]
        context = None if generator.context_shape is None else torch.randn(5, *generator.context_shape)
        draws = generator.rsample((5,) if context is None else (), context)
        assert draws.shape == (5, *generator.event_shape)
        assert generator.support.check(draws).all()
        gradients = torch.autograd.grad(draws.sum(), list(generator.parameters()))
        assert all(gradient.any() for gradient in gradients)

    def test_the_noise_is_fresh(self, name):
        generator = generators()[name]
        context = None if generator.context_shape is None else torch.zeros(generator.context_shape)
        draws = generator.sample((50,), context).reshape(50, -1)
        assert len(draws.unique(dim=0)) == 50


@pytest.mark.parametrize("loss", GAMES)
def test_every_game_trains_it(loss):
    generator = DenseGenerator(event_shape=(2,), noise_size=2, hidden=(8,))
    before = {name: value.clone() for name, value in generator.named_parameters()}
    fit(generator, torch.randn(64, 2), Adversarial.build(loss=loss), steps=4, batch_size=16)
    assert all((value != before[name]).any() for name, value in generator.named_parameters())


def test_uniform_noise_fills_its_interval():
    generator = DenseGenerator(event_shape=(1,), noise_size=1, hidden=(1,), noise="uniform", activation="tanh").double()
    with torch.no_grad():
        for layer in (generator.network[0], generator.network[-1]):
            layer.weight.fill_(1e-3)
    draws = generator.sample((4000,)) / 1e-6  # small weights make the network linear
    assert draws.min() > -1.0
    assert draws.max() < 1.0
    assert draws.std().item() == pytest.approx(1 / 3**0.5, rel=0.05)


def test_it_starts_where_the_data_are_once():
    x = 7.0 + 3.0 * torch.randn(400, 2)
    generator = DenseGenerator(event_shape=(2,), hidden=(64,))
    generator.initialize(Batch(x))
    draws = generator.sample((2000,))
    torch.testing.assert_close(draws.mean(0), x.mean(0), rtol=0.3, atol=1.0)
    generator.initialize(Batch(x - 100))
    assert (generator.sample((100,)).mean(0) > 0).all()


def test_kernel_means_bring_it_to_the_data():
    torch.manual_seed(0)
    x = torch.randn(2000, 2) * torch.tensor([1.0, 0.2]) + torch.tensor([2.0, -1.0])
    generator = DenseGenerator(event_shape=(2,), noise_size=2, hidden=(16,))
    fit(generator, x, MMD(), steps=300, batch_size=200, learning_rate=3e-3)
    draws = generator.sample((4000,))
    torch.testing.assert_close(draws.mean(0), x.mean(0), rtol=0, atol=0.15)
    torch.testing.assert_close(draws.std(0), x.std(0), rtol=0.3, atol=0.05)


@pytest.mark.parametrize("name", ["gan/mlp", "gan/gmmn"])
def test_by_name_with_labels(name):
    model = build(name, "digits", context="label", hidden=[16])
    assert model.context_shape == (10,)
    assert model.support is constraints.unit_interval
    recipe = registry().model(name).load("recipe")(model)
    for stage in recipe.stages:
        stage.estimator.check(model)


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"support": constraints.boolean}, SupportError),
        ({"noise_size": 0}, ConfigurationError),
        ({"hidden": ()}, ConfigurationError),
        ({"noise": "cauchy"}, ConfigurationError),
    ],
)
def test_refusals(options, error):
    with pytest.raises(error, match="DenseGenerator"):
        DenseGenerator(event_shape=(2,), **options)


@pytest.mark.parametrize("name", ["gan/mlp", "gan/gmmn"])
class TestRefusals:
    def test_discrete_data(self, name):
        with pytest.raises(SupportError, match=f"{name}.*binary"):
            build(name, event_shape=(3,), support="binary")

    def test_data_that_are_not_numbers(self, name):
        x = torch.randn(40, 2)
        x[7, 1] = torch.nan
        with pytest.raises(DataError, match="finite numbers in data; got nan in row 7, column 1"):
            fit(build(name, event_shape=(2,), support="real"), x, steps=2)

    def test_a_context_of_another_size(self, name):
        model = build(name, event_shape=(2,), context_shape=(3,), support="real")
        with pytest.raises(ShapeError, match=r"context of shape \(\.\.\., 3\)"):
            model.sample((2,), torch.zeros(4))
        with pytest.raises(ShapeError, match="context"):
            model.sample((2,))
        with pytest.raises(DataError, match=r"contexts of shape \(3,\)"):
            fit(model, "moons", context="label", steps=2)

"""`as_model`: distributions of torch and Pyro as models, with the powers that they really have."""

from __future__ import annotations

import math

import pyro.distributions as pyro_dist
import pytest
import torch
from torch import nn
from torch.distributions import (
    AffineTransform,
    Bernoulli,
    Categorical,
    ExpTransform,
    Gamma,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    OneHotCategorical,
    Poisson,
    TransformedDistribution,
    kl_divergence,
)

from probgen import (
    CapabilityError,
    Density,
    Enumerable,
    Reparameterized,
    Sampler,
    ShapeError,
    as_model,
)
from probgen.capabilities import capabilities
from probgen.supports import support_name

PLAIN = {Density, Sampler}
TWO = torch.ones(2)
CASES = [
    (Normal(0.0, 1.0), {Reparameterized}, "real"),
    (Gamma(2.0, 1.0), {Reparameterized}, None),
    (Poisson(3.0), set(), "count"),
    (Bernoulli(0.3), {Enumerable}, "binary"),
    (Categorical(torch.ones(4)), {Enumerable}, "categorical"),
    (OneHotCategorical(torch.ones(4)), {Enumerable}, None),
    (Independent(Normal(TWO, TWO), 1), {Reparameterized}, "real"),
    (Independent(Bernoulli(0.5 * TWO), 1), set(), "binary"),  # has_enumerate_support, which Independent cannot keep
    (MultivariateNormal(TWO, torch.eye(2)), {Reparameterized}, "real"),
    (MixtureSameFamily(Categorical(TWO), Independent(Normal(torch.zeros(2, 3), 1.0), 1)), set(), "real"),
    (
        TransformedDistribution(Normal(0.0, 1.0), [AffineTransform(1.0, TWO[0]).inv, ExpTransform()]),
        {Reparameterized},
        "positive",
    ),
    (Categorical(torch.ones(5000)), set(), "categorical"),  # too many events to list
    (pyro_dist.Delta(torch.tensor(1.0)), {Reparameterized}, "real"),
]
IDS = [type(case[0]).__name__ + str(index) for index, case in enumerate(CASES)]


@pytest.mark.parametrize(("distribution", "powers", "support"), CASES, ids=IDS)
class TestAnyDistribution:
    def test_powers_are_computed(self, distribution, powers, support):
        assert capabilities(as_model(distribution)) == PLAIN | powers

    def test_a_power_that_is_lacking_raises(self, distribution, powers, support):
        model = as_model(distribution)
        if Reparameterized in powers:
            assert model.rsample((2,)).shape == (2, *distribution.event_shape)
        else:
            with pytest.raises(CapabilityError, match=r"rsample: expected a reparameterised distribution"):
                model.rsample((2,))
        if Enumerable in powers:
            assert math.isclose(model.log_prob(model.enumerate_support()).exp().sum(), 1, rel_tol=1e-5)
        else:
            with pytest.raises(CapabilityError, match=r"enumerate_support: expected one that lists at most 4096"):
                model.enumerate_support()

    def test_draws_and_scores_are_the_distributions(self, distribution, powers, support):
        model = as_model(distribution)
        assert model.event_shape == distribution.event_shape
        assert model.context_shape is None
        draws = model.sample((3, 2))
        assert draws.shape == (3, 2, *distribution.event_shape)
        torch.testing.assert_close(model.log_prob(draws), distribution.log_prob(draws))
        torch.testing.assert_close(model.given().log_prob(draws), distribution.log_prob(draws))
        torch.testing.assert_close(model.given().expand((3, 2)).log_prob(draws), distribution.log_prob(draws))

    def test_the_support_is_that_of_an_entry(self, distribution, powers, support):
        if support is not None:
            assert support_name(as_model(distribution).support) == support

    def test_it_moves_and_the_original_stays(self, distribution, powers, support):
        before = distribution.sample().dtype
        model = nn.ModuleDict({"part": as_model(distribution)}).double()["part"]
        draws = model.sample((2,))
        assert draws.dtype == (torch.float64 if draws.is_floating_point() else before)
        assert model.log_prob(draws).dtype == torch.float64
        assert distribution.sample().dtype == before


@pytest.mark.parametrize(
    ("distribution", "outside"),
    [
        (Bernoulli(0.3), 0.5),
        (Categorical(torch.ones(4)), 7.0),
        (Categorical(torch.ones(4)), -1.0),
        (Gamma(2.0, 1.0), -1.0),
        (Poisson(3.0), 0.5),
    ],
)
def test_the_density_is_zero_outside_the_support(distribution, outside):
    inside = float(distribution.sample())
    scores = as_model(distribution).log_prob(torch.tensor([inside, outside]))
    assert scores[0].isfinite()
    assert scores[1] == -torch.inf


def test_the_closed_form_divergence_survives():
    prior = as_model(Independent(Normal(torch.zeros(2), 2 * TWO), 1)).given()
    other = as_model(Independent(Normal(TWO, TWO), 1)).given()
    torch.testing.assert_close(kl_divergence(other, prior), kl_divergence(Normal(TWO, TWO), Normal(0 * TWO, 2 * TWO)).sum())


def test_a_type_that_pyro_does_not_know_is_wrapped():
    class Own(Normal):
        pass

    distribution = as_model(Own(0.0, 1.0)).given().expand((3,))
    assert distribution.has_rsample
    assert distribution.log_prob(torch.zeros(3)).shape == (3,)


def test_a_model_passes_through():
    model = as_model(Normal(0.0, 1.0))
    assert as_model(model) is model


@pytest.mark.parametrize("part", [3.0, nn.Linear(1, 1), "flows/maf", Normal])
def test_anything_else_is_refused(part):
    with pytest.raises(CapabilityError, match=r"as_model: expected a model or a torch.distributions object; got "):
        as_model(part)


def test_a_batch_of_distributions_is_refused():
    with pytest.raises(ShapeError, match=r"batch_shape \(2,\)\. Use torch\.distributions\.Independent\(normal, 1\)"):
        as_model(Normal(TWO, TWO))


@pytest.mark.parametrize(
    "distribution",
    [
        Normal(torch.tensor(0.0, requires_grad=True), 1.0),
        Independent(Normal(TWO.clone().requires_grad_(), TWO), 1),
        TransformedDistribution(Normal(0.0, 1.0), [AffineTransform(torch.tensor(0.0, requires_grad=True), 1.0)]),
        pyro_dist.TransformedDistribution(
            pyro_dist.Normal(TWO, TWO).to_event(1), [pyro_dist.transforms.affine_autoregressive(2)]
        ),
    ],
    ids=["plain", "nested", "transform", "network"],
)
def test_something_to_be_learned_is_refused(distribution):
    with pytest.raises(CapabilityError, match=r"expected a fixed .* Write a Density with nn.Parameters"):
        as_model(distribution)

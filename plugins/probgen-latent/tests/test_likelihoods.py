"""The decoders: normalised, drawn as they score, and bounded."""

from __future__ import annotations

import itertools
from functools import partial

import pytest
import torch
from torch.distributions import Categorical, Normal, constraints

from probgen import Batch, CapabilityError, ConfigurationError
from probgen.supports import categorical, levels
from probgen_latent.likelihoods import (
    LIKELIHOODS,
    BernoulliDecoder,
    CategoricalDecoder,
    GaussianDecoder,
    LogisticDecoder,
    choose,
)
from probgen_latent.networks import DecoderNetwork

FINITE = [
    (BernoulliDecoder, constraints.boolean),
    (CategoricalDecoder, categorical(3)),
    (LogisticDecoder, categorical(3)),
    (LogisticDecoder, categorical(2)),
]
IDS = ["bernoulli", "categorical", "logistic-3", "logistic-2"]
DRAWS = 20_000


def _network(output_shape, weight=2.0):
    network = DecoderNetwork(
        features=2, output_shape=output_shape, hidden=(4,), architecture="mlp", activation="tanh", dropout=0.0
    )
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=weight)
    return network


def make(kind, support, event_shape=(2,), **options):
    return kind(partial(_network, **options), event_shape=event_shape, context_shape=(2,), support=support)


def test_automatic_mixed_precision_spares_the_likelihood_of_bits():
    decoder = make(BernoulliDecoder, constraints.boolean, event_shape=(50,))
    x, context = torch.rand(20, 50).lt(0.5).float(), torch.randn(20, 2)
    with torch.autocast("cpu", torch.bfloat16):
        logits = decoder.network(context).squeeze(1)
        scores = decoder.log_prob(x, context)
    assert (logits.dtype, scores.dtype) == (torch.bfloat16, torch.float32)
    exact = torch.distributions.Bernoulli(logits=logits.double()).log_prob(x.double()).sum(1)
    torch.testing.assert_close(scores.double(), exact, rtol=1e-6, atol=1e-4)


@pytest.mark.parametrize(("kind", "support"), FINITE, ids=IDS)
class TestFinite:
    def test_it_sums_to_one(self, kind, support):
        decoder = make(kind, support)
        events = torch.tensor(list(itertools.product(range(levels(support)), repeat=2)), dtype=torch.float32)
        totals = decoder.log_prob(events[:, None], torch.randn(5, 2)).exp().sum(0)
        torch.testing.assert_close(totals, torch.ones(5), rtol=0, atol=2e-6)

    def test_frequencies_are_the_masses(self, kind, support):
        decoder = make(kind, support, event_shape=(1,), weight=0.7)
        context = torch.randn(2)
        draws = decoder.sample((DRAWS,), context)[:, 0]
        for value in range(levels(support)):
            mass = decoder.log_prob(torch.tensor([float(value)]), context).exp().item()
            assert abs((draws == value).float().mean() - mass) < 5 * (mass * (1 - mass) / DRAWS) ** 0.5 + 1e-6

    def test_nothing_outside_the_support(self, kind, support):
        decoder = make(kind, support)
        outside = torch.tensor([[0.5, 0.0], [-1.0, 0.0], [float(levels(support)), 0.0]])
        assert (decoder.log_prob(outside, torch.randn(2)) == -torch.inf).all()

    def test_gradients_are_finite_far_out(self, kind, support):
        decoder = make(kind, support, weight=50.0)
        x = torch.randint(levels(support), (20, 2)).float()
        scores = decoder.log_prob(x, torch.randn(20, 2))
        assert scores.isfinite().all()
        assert all(g.isfinite().all() for g in torch.autograd.grad(scores.sum(), list(decoder.parameters())))


class TestMeans:
    @pytest.mark.parametrize(("kind", "support"), [FINITE[0], FINITE[1]], ids=IDS[:2])
    def test_the_mean_is_that_of_the_masses(self, kind, support):
        decoder = make(kind, support, event_shape=(1,))
        context = torch.randn(4, 2)
        values = torch.arange(float(levels(support)))
        masses = decoder.log_prob(values[:, None, None], context).exp()
        torch.testing.assert_close(decoder.mean(context)[:, 0], (values[:, None] * masses).sum(0))

    def test_the_location_of_levels_stays_in_range(self):
        decoder = make(LogisticDecoder, categorical(16), weight=50.0)
        means = decoder.mean(torch.randn(50, 2))
        assert means.min() >= 0
        assert means.max() <= 15

    @pytest.mark.parametrize(("kind", "support"), [*FINITE, (GaussianDecoder, constraints.real)])
    def test_any_leading_dimensions(self, kind, support):
        decoder = make(kind, support, event_shape=(2, 3))
        assert decoder.mean(torch.zeros(4, 5, 2)).shape == (4, 5, 2, 3)
        assert decoder.sample((), torch.zeros(4, 5, 2)).shape == (4, 5, 2, 3)
        assert decoder.given(torch.zeros(4, 5, 2)).batch_shape == (4, 5)


class TestGaussian:
    def test_scores_and_draws(self):
        decoder = make(GaussianDecoder, constraints.real, weight=0.5)
        context = torch.randn(2)
        mean, log_scale = decoder.network(context).unbind(0)
        reference = Normal(mean, (5.0 * torch.tanh(log_scale / 5.0)).exp())
        draws = decoder.sample((DRAWS,), context)
        torch.testing.assert_close(decoder.log_prob(draws, context), reference.log_prob(draws).sum(-1))
        assert ((draws.mean(0) - reference.mean).abs() < 5 * reference.stddev / DRAWS**0.5).all()
        assert ((draws.std(0) / reference.stddev - 1).abs() < 5 / (2 * DRAWS) ** 0.5).all()

    def test_the_variance_is_bounded(self):
        decoder = make(GaussianDecoder, constraints.real, weight=100.0)
        best = decoder.log_prob(decoder.mean(context := torch.randn(50, 2)), context)
        assert best.max() < 2 * (5.0 - 0.5 * torch.log(torch.tensor(2 * torch.pi)))


def test_levels_of_the_logistic_are_bins_of_its_distribution():
    decoder = make(LogisticDecoder, categorical(5), event_shape=(1,), weight=0.5)
    context = torch.randn(2)
    location, log_scale = decoder.network(context)[:, 0].double()
    edges = (torch.tensor([-0.75, -0.25, 0.25, 0.75], dtype=torch.float64) - location) / (
        5 * torch.tanh(log_scale / 5)
    ).exp()
    cumulative = torch.cat([torch.zeros(1), edges.sigmoid(), torch.ones(1)])
    masses = decoder.log_prob(torch.arange(5.0)[:, None], context).exp()
    torch.testing.assert_close(masses.double(), cumulative.diff(), rtol=1e-4, atol=1e-6)


def test_a_categorical_is_torchs():
    decoder = make(CategoricalDecoder, categorical(3))
    x, context = torch.randint(3, (6, 2)), torch.randn(6, 2)
    reference = Categorical(logits=decoder.network(context).movedim(1, -1)).log_prob(x).sum(-1)
    torch.testing.assert_close(decoder.log_prob(x.float(), context), reference)


class TestChoosing:
    @pytest.mark.parametrize(
        ("support", "kind"),
        [
            (constraints.boolean, BernoulliDecoder),
            (constraints.real, GaussianDecoder),
            (categorical(17), CategoricalDecoder),
            (categorical(256), LogisticDecoder),
        ],
    )
    def test_automatically(self, support, kind):
        assert choose("auto", support) is kind

    def test_by_name(self):
        assert choose("discretised-logistic", categorical(4)) is LIKELIHOODS["discretised-logistic"]

    def test_what_does_not_fit(self):
        with pytest.raises(CapabilityError, match=r"a likelihood for binary entries; got 'gaussian'\. Use 'bernoulli'"):
            choose("gaussian", constraints.boolean)
        with pytest.raises(CapabilityError, match="a binary, categorical or real support"):
            choose("auto", constraints.positive)
        with pytest.raises(ConfigurationError, match=r"a likelihood among auto, bernoulli, .*; got 'poisson'"):
            choose("poisson", constraints.real)


MARGINAL = {
    "bernoulli": (BernoulliDecoder, constraints.boolean, lambda shape: (torch.rand(shape) < 0.2).float()),
    "categorical": (CategoricalDecoder, categorical(4), lambda shape: (3 * torch.rand(shape).square()).round()),
    "gaussian": (GaussianDecoder, constraints.real, lambda shape: 3.0 + 0.1 * torch.randn(shape)),
    "logistic": (LogisticDecoder, categorical(50), lambda shape: (30 + 4 * torch.randn(shape)).round().clamp(0, 49)),
}


@pytest.mark.parametrize("name", list(MARGINAL))
@pytest.mark.parametrize("architecture", ["mlp", "conv"])
class TestInitialise:
    def build(self, name, architecture):
        kind, support, draw = MARGINAL[name]
        network = partial(DecoderNetwork, features=2, hidden=(4,), architecture=architecture, activation="tanh", dropout=0.0)
        shape = (1, 5, 4)
        decoder = kind(lambda output: network(output_shape=output), event_shape=shape, context_shape=(2,), support=support)
        return decoder, draw((500, *shape))

    def test_it_starts_at_the_marginals(self, name, architecture):
        decoder, x = self.build(name, architecture)
        decoder.network.requires_grad_(False)
        before = decoder.log_prob(x, torch.zeros(2)).mean()
        decoder.initialize(Batch(x))
        entries = x.reshape(len(x), -1)
        torch.testing.assert_close(decoder.mean(torch.zeros(2)).flatten(), entries.mean(0), rtol=0.2, atol=0.15)
        assert decoder.log_prob(x, torch.zeros(2)).mean() > before

    def test_a_trained_one_stays_as_it_is(self, name, architecture):
        decoder, x = self.build(name, architecture)
        decoder.network.output_biases().data.fill_(0.5)
        decoder.initialize(Batch(x))
        assert (decoder.network.output_biases() == 0.5).all()

    def test_one_example_will_do(self, name, architecture):
        decoder, x = self.build(name, architecture)
        decoder.initialize(Batch(x[:1]))
        assert decoder.network.output_biases().isfinite().all()

"""Sigmoid belief nets: exact on small ones, and trained by every estimator for discrete latents."""

from __future__ import annotations

import itertools
from math import log

import pytest
import torch
from torch.distributions import constraints

from probgen import (
    ELBO,
    REINFORCE,
    RELAX,
    VIMCO,
    Batch,
    CapabilityError,
    ConfigurationError,
    ReweightedWakeSleep,
    SupportError,
    WakeSleep,
    as_source,
    build,
    fit,
    run_pair,
)
from probgen.testing import decide_categories
from probgen_latent.examples import sbn as examples
from probgen_latent.sbn import SigmoidBeliefNet


def net(shape=(3,), hidden=(2,), context=None, scale=1.5):
    made = SigmoidBeliefNet.build(shape, context, constraints.boolean, hidden=hidden)
    for parameter in made.parameters():
        torch.nn.init.normal_(parameter, std=scale)
    return made.double()


def bits(count):
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=count)), dtype=torch.float64)


def evidence(made, x):
    """Return log p(x) of a net of one layer by a sum over its units."""
    z = bits(len(made.top))
    prior = torch.distributions.Bernoulli(logits=made.top).log_prob(z).sum(-1)
    given = torch.distributions.Bernoulli(logits=made.generation[0](z)).log_prob(x[:, None]).sum(-1)
    return (prior + given).logsumexp(-1)


class TestLaw:
    def test_importance_weights_average_to_the_evidence(self):
        made, x = net(), bits(3)
        trace = run_pair(made, x, None, num_particles=20_000)
        estimate = trace.log_weights.logsumexp(0) - log(20_000)
        torch.testing.assert_close(estimate, evidence(made, x), rtol=0, atol=0.1)

    def test_draws_have_the_evidence_as_their_law(self):
        made = net()
        masses = evidence(made, bits(3)).exp().detach()
        assert masses.sum().item() == pytest.approx(1.0)

        def draw(n, seed):
            sample = made.sample((n,), generator=torch.Generator().manual_seed(seed))
            return (sample * torch.tensor([4, 2, 1])).sum(-1).long()

        assert decide_categories(draw, masses.numpy(), delta=0.05, seed=0).outcome == "CONFORMS"

    def test_shapes_at_every_depth(self):
        for hidden in ((4,), (4, 3), (4, 3, 2)):
            made = net((2, 3), hidden, context=(2,))
            context = torch.randn(5, 2, dtype=torch.float64)
            assert made.sample((), context).shape == (5, 2, 3)
            assert made.log_prob_bound(torch.zeros(5, 2, 3), context).shape == (5,)

    def test_it_starts_at_the_marginals_once(self):
        made = SigmoidBeliefNet.build((3,), None, constraints.boolean, hidden=(2,))
        x = torch.tensor([[1.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
        made.initialize(Batch(x))
        torch.testing.assert_close(made.generation[0].bias.sigmoid(), torch.tensor([0.75, 0.25, 0.5]))
        made.initialize(Batch(1 - x))
        torch.testing.assert_close(made.mean, torch.tensor([0.75, 0.25, 0.5]))


@pytest.mark.parametrize(
    "estimator",
    [REINFORCE(), VIMCO(num_particles=2), ReweightedWakeSleep(num_particles=2), WakeSleep(), RELAX()],
    ids=lambda each: type(each).__name__,
)
def test_every_estimator_for_discrete_latents_trains_it(estimator):
    made = examples()["two-layers"]
    before = {name: value.clone() for name, value in made.named_parameters()}
    fit(made, torch.bernoulli(torch.full((40, 1, 2, 1), 0.3)), estimator, steps=4)
    assert all((value != before[name]).any() for name, value in made.named_parameters())


def test_pathwise_gradients_are_refused():
    with pytest.raises(CapabilityError):
        fit(examples()["one-layer"], torch.zeros(8, 3), ELBO(), steps=1)


@pytest.mark.parametrize("name", ["latent/sbn", "latent/helmholtz"])
def test_it_learns_bars_and_stripes_by_its_recipe(name):
    torch.manual_seed(0)
    made = build(name, "bars-and-stripes", hidden=[12])
    fit(made, "bars-and-stripes", steps=900, learning_rate=1e-2, seed=0)
    batch = as_source("bars-and-stripes").view("binary").split("train").batch(torch.arange(30))
    with torch.no_grad():
        bound = run_pair(made, batch.x, None, num_particles=200).log_weights.logsumexp(0).mean() - log(200)
    assert bound > -9.0  # 11.1 for sixteen independent fair bits; 3.4 at best


def test_refusals():
    with pytest.raises(SupportError, match="binary"):
        SigmoidBeliefNet.build((3,), None, constraints.real)
    with pytest.raises(ConfigurationError):
        SigmoidBeliefNet.build((3,), None, constraints.boolean, hidden=())

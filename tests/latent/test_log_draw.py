"""The score of a draw is that of the law it came from, however the program weights its terms."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro import poutine

from probgen import PyroPair, run_pair

KEPT = torch.tensor([True, False, True])


def weighted_pair(**options):
    def model(x):
        with pyro.plate("data", len(x)), poutine.scale(scale=3.0):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    def guide(x):
        with pyro.plate("data", len(x)), poutine.scale(scale=3.0), poutine.mask(mask=KEPT.repeat(len(x) // 3)):
            pyro.sample("z", dist.Bernoulli(logits=x))

    return PyroPair(model, guide, event_shape=(), **options)


@pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
def test_masks_and_scales_are_left_out(particles):
    x = torch.tensor([0.3, -1.0, 2.0])
    site = run_pair(weighted_pair(particles=particles), x, num_particles=2).sites["z"]
    score = dist.Bernoulli(logits=x).log_prob(site.value)
    torch.testing.assert_close(site.log_draw, score)
    torch.testing.assert_close(site.log_q, torch.where(KEPT, 3 * score, 0.0))


def test_without_them_it_is_the_guides_score_itself():
    def program(x, observed):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(0.5))
            if observed:
                pyro.sample("x", dist.Normal(z, 1.0), obs=x)

    pair = PyroPair(lambda x: program(x, True), lambda x: program(x, False), event_shape=())
    trace = run_pair(pair, torch.zeros(3))
    assert trace.sites["z"].log_draw is trace.sites["z"].log_q
    assert trace.sites["x"].log_draw is None

"""Draws that are not a guide's own: answers to its statements, dreams, assignments, and values between the discrete ones."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from torch.distributions import Independent

from helpers.enumerable_pairs import BeliefNet
from helpers.pairs import linear_gaussian_pair
from probgen import CapabilityError, ConfigurationError, PyroPair, run_pair
from probgen.pyro_bridge import Drawn, Enumeration, count_assignments, run_dream
from probgen.pyro_bridge.soft_scores import soft_log_prob

MODES = ["fold", "plate", "loop"]


def discrete(statement):
    return not statement.distribution.has_rsample


class TestAnswers:
    @pytest.mark.parametrize("particles", MODES)
    def test_both_programs_go_on_with_the_answer(self, particles):
        pair, model = linear_gaussian_pair(particles=particles)
        x = torch.randn(4, 3, dtype=torch.float64)

        def zeros(statement):
            assert (statement.name, statement.plates) == ("z", ("data",))
            return Drawn(torch.zeros(statement.full_shape, dtype=x.dtype), reparameterized=False)

        trace = run_pair(pair, x, num_particles=3, draw=zeros)
        z = trace.sites["z"]
        assert z.value.shape == (3, 4, 2)
        assert not z.value.any()
        assert not z.reparameterized
        torch.testing.assert_close(z.log_p, model.prior().log_prob(z.value))

    def test_a_statement_that_is_not_answered_draws(self):
        pair, _ = linear_gaussian_pair()
        trace = run_pair(pair, torch.randn(4, 3, dtype=torch.float64), draw=lambda statement: None)
        assert trace.sites["z"].reparameterized
        assert trace.sites["z"].value.requires_grad

    def test_a_frozen_guide_has_no_gradients_and_the_model_has(self):
        pair, _ = linear_gaussian_pair()
        trace = run_pair(pair, torch.randn(4, 3, dtype=torch.float64), num_particles=2, frozen_guide=True)
        assert not trace.log_guide.requires_grad
        assert not trace.sites["z"].value.requires_grad
        assert trace.log_joint.requires_grad

    def test_observations_are_not_asked_for(self):
        seen = []
        pair, _ = linear_gaussian_pair()
        run_pair(pair, torch.randn(4, 3, dtype=torch.float64), draw=lambda statement: seen.append(statement.name))
        assert seen == ["z"]


class TestDreams:
    def test_latents_are_the_models_and_scores_the_guides(self):
        pair, model = linear_gaussian_pair()
        trace = run_dream(pair, torch.zeros(5000, 3, dtype=torch.float64))
        (z,), (x,) = trace.sites["z"].value, trace.sites["x"].value
        guide = dist.Normal(pair.guide_program.mean(x), pair.guide_program.log_scale.exp()).to_event(1)
        torch.testing.assert_close(trace.log_guide[0], guide.log_prob(z))
        assert trace.log_guide.requires_grad
        assert not trace.sites["z"].reparameterized
        covariance = model.weight @ model.weight.T + (2 * model.log_scale).exp() * torch.eye(3)
        assert (torch.cov(x.T) - covariance).abs().max() < 0.2 * covariance.abs().max()

    def test_the_exact_posterior_scores_as_the_joint_says(self):
        pair, model = linear_gaussian_pair(exact=True)
        trace = run_dream(pair, torch.zeros(6, 3, dtype=torch.float64))
        evidence = model.log_evidence(trace.sites["x"].value[0])
        torch.testing.assert_close(trace.log_joint[0] - trace.log_guide[0], evidence, rtol=0, atol=1e-9)

    def test_values_of_the_template_do_not_matter(self):
        pair, _ = linear_gaussian_pair()
        torch.manual_seed(1)
        first = run_dream(pair, torch.zeros(4, 3, dtype=torch.float64))
        torch.manual_seed(1)
        second = run_dream(pair, torch.full((4, 3), torch.nan, dtype=torch.float64))
        assert torch.equal(first.log_guide, second.log_guide)

    def test_a_latent_that_the_model_does_not_draw(self):
        def model(x):
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(0.0, 1.0), obs=x)

        def guide(x):
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(0.0, 1.0))

        with pytest.raises(ConfigurationError, match=r"PyroPair\.guide: expected every latent to be drawn by the model"):
            run_dream(PyroPair(model, guide, event_shape=()), torch.zeros(3))


class Scoops:
    """Latents of several shapes: a category in a plate of units, a vector of bits, and a one-hot vector given both."""

    def __init__(self, units=2):
        self.units = units
        generator = torch.Generator().manual_seed(3)
        self.logits = torch.randn(units, 3, generator=generator, dtype=torch.float64)

    def latents(self, x, shift):
        with pyro.plate("data", len(x), dim=-2):
            with pyro.plate("units", self.units, dim=-1):
                k = pyro.sample("k", dist.Categorical(logits=self.logits + shift + x[:, None, None]))
            level = k.to(x.dtype).sum(-1, keepdim=True)
            bits = pyro.sample("b", dist.Bernoulli(logits=torch.stack([level, 1 - level], -1)).to_event(1))
            hot = pyro.sample("h", dist.OneHotCategorical(logits=bits.sum(-1, keepdim=True) * self.logits[0] + shift))
        return k, bits, hot

    def model(self, x):
        _, bits, hot = self.latents(x, 0.5)
        with pyro.plate("data", len(x), dim=-2):
            pyro.sample("x", dist.Normal(bits.sum(-1) + hot[..., 0], 1.0), obs=x[:, None])

    def guide(self, x):
        self.latents(x, 0.0)

    def pair(self, particles):
        pair = PyroPair(self.model, self.guide, event_shape=(), particles=particles)
        pair.plate_nesting = 2
        return pair


class TestAssignments:
    x = torch.tensor([0.3, -1.0, 0.7, 0.2, 0.9], dtype=torch.float64)

    def run(self, particles, num_draws=1):
        pair = Scoops().pair(particles)
        sizes = count_assignments(pair, self.x, None, discrete)
        enumeration = Enumeration(pair, sizes, num_draws=num_draws, num_examples=len(self.x))
        trace = run_pair(pair, self.x, num_particles=enumeration.num_particles, draw=enumeration.assign)
        return sizes, trace

    def test_they_are_counted_in_the_order_of_the_guide(self):
        sizes, _ = self.run("fold")
        assert list(sizes.items()) == [("k", 9), ("b", 4), ("h", 3)]

    @pytest.mark.parametrize("particles", MODES)
    def test_every_assignment_occurs_once(self, particles):
        """So the guide's probabilities of all of them add up to one, for each example."""
        _, trace = self.run(particles)
        assert trace.num_particles == 9 * 4 * 3
        torch.testing.assert_close(trace.log_guide.exp().sum(0), torch.ones(5, dtype=torch.float64))
        rows = torch.cat([trace.sites[name].value.flatten(2).double() for name in ("k", "b", "h")], -1)
        assert len({tuple(row.tolist()) for row in rows[:, 0]}) == 108

    @pytest.mark.parametrize("particles", MODES)
    def test_modes_agree_on_where_each_of_them_is(self, particles):
        _, trace = self.run(particles, num_draws=2)
        _, folded = self.run("fold", num_draws=2)
        for name in ("k", "b", "h"):
            assert torch.equal(trace.sites[name].value, folded.sites[name].value)
        torch.testing.assert_close(trace.log_joint, folded.log_joint)

    @pytest.mark.parametrize("particles", ["fold", "plate"])
    def test_a_draw_before_a_site_is_one_for_all_its_assignments(self, particles):
        pair = Scoops().pair(particles)
        sizes = count_assignments(pair, self.x, None, lambda statement: statement.name == "b")
        enumeration = Enumeration(pair, sizes, num_draws=3, num_examples=len(self.x))
        seen = {}

        def draw(statement):
            seen[statement.name] = None
            if statement.name == "b":
                return enumeration.assign(statement)
            return enumeration.share(statement, Drawn(statement.distribution.sample(), reparameterized=False), seen)

        trace = run_pair(pair, self.x, num_particles=enumeration.num_particles, draw=draw)
        k, bits, hot = (trace.sites[name].value.unflatten(0, (4, 3)) for name in ("k", "b", "h"))
        assert torch.equal(k, k[:1].expand_as(k))
        assert not torch.equal(k[0, 0], k[0, 1])
        assert not torch.equal(hot[0], hot[1])
        assert torch.equal(bits, bits[:, :1, :1].expand_as(bits))

    def test_a_site_outside_the_plate_is_refused(self):
        def latents(x):
            return pyro.sample("k", dist.Categorical(torch.ones(3)))

        def model(x):
            k = latents(x)
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(k.to(x.dtype), 1.0), obs=x)

        with pytest.raises(CapabilityError, match="an enumerated site inside the plate of the batch; got 'k' outside of it"):
            count_assignments(PyroPair(model, latents, event_shape=()), self.x, None, discrete)

    def test_an_infinite_support_is_refused(self):
        def latents(x):
            with pyro.plate("data", len(x)):
                pyro.sample("n", dist.Poisson(torch.ones(len(x))))

        with pytest.raises(CapabilityError, match="a site of finite support to enumerate; got 'n', a Poisson"):
            count_assignments(PyroPair(latents, latents, event_shape=()), self.x, None, discrete)

    def test_two_plates_of_the_batchs_size(self):
        with pytest.raises(ConfigurationError, match="expected one plate of the batch's size 2 at 'k'; got 'data', 'units'"):
            count_assignments(Scoops(units=2).pair("fold"), self.x[:2], None, discrete)


class TestSoftScores:
    @pytest.mark.parametrize(
        "distribution",
        [
            dist.Bernoulli(torch.tensor([0.2, 0.9])),
            dist.Bernoulli(logits=torch.tensor([[0.3, 2.0], [-1.0, 0.0]])).to_event(1),
            Independent(torch.distributions.Bernoulli(torch.tensor([[[0.2, 0.9]]])), 2),
            dist.OneHotCategorical(torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])),
            dist.OneHotCategorical(torch.tensor([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])).to_event(1),
        ],
    )
    def test_at_discrete_values_they_are_the_scores(self, distribution):
        value = distribution.sample((7,))
        torch.testing.assert_close(soft_log_prob(distribution, value, where="z"), distribution.log_prob(value))

    def test_between_them_they_are_linear(self):
        distribution = dist.OneHotCategorical(torch.tensor([0.2, 0.8]))
        middle = soft_log_prob(distribution, torch.tensor([0.25, 0.75]), where="z")
        torch.testing.assert_close(middle, 0.25 * torch.tensor(0.2).log() + 0.75 * torch.tensor(0.8).log())

    def test_other_distributions_have_none(self):
        with pytest.raises(CapabilityError, match="a Bernoulli or OneHotCategorical where 'z' is relaxed; got a Poisson"):
            soft_log_prob(dist.Poisson(1.0), torch.tensor(0.5), where="z")

    def test_a_relaxed_site_is_scored_softly_in_both_programs(self):
        programs = BeliefNet(latents=2)
        soft = torch.tensor([0.3, 0.9], dtype=torch.float64)

        def relaxed(statement):
            return Drawn(soft.expand(statement.full_shape), reparameterized=True, relaxed=True)

        trace = run_pair(programs.pair(), torch.ones(4, 3, dtype=torch.float64), draw=relaxed)
        prior = dist.Bernoulli(logits=programs.p.prior).to_event(1)
        torch.testing.assert_close(trace.sites["z"].log_p, soft_log_prob(prior, soft, where="z").expand(1, 4))

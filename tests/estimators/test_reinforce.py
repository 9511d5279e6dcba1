"""REINFORCE: unbiased by enumeration with every baseline, and what the enumeration says of wrong ones."""

from __future__ import annotations

import copy

import pyro
import pyro.distributions as dist
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from helpers.enumerable_pairs import (
    BeliefChain,
    BeliefNet,
    Gaussian,
    Mixed,
    exact_means,
    exact_moments,
    flat_gradient,
    gradient,
    part,
    relative_error,
    weights,
)
from helpers.pairs import linear_gaussian_pair
from probgen import ELBO, REINFORCE, Batch, CapabilityError, ConfigurationError, PyroPair, as_model, fit, run_pair
from probgen.claims import Biased, Heuristic, LowerBound, Unbiased
from probgen.estimator import Estimate, parameters_of
from probgen.estimators.baselines import Learned, LeaveOneOut, MovingAverage, NoBaseline
from probgen.estimators.learning_signals import learning_signals, scored_sites

UNBIASED = 1e-10
X = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)
NET, FORWARD, BACKWARD = BeliefNet, BeliefChain, lambda: BeliefChain(bottom_up=True)
NVIL = {"baseline": MovingAverage(after=Learned(hidden=(4,))), "normalise_variance": True}


def phase_of(estimator, pair, x=X):
    """Return the phase of an estimator that has seen a batch, and its first state."""
    batch = Batch(x)
    estimator.initialize(pair, batch)
    state = estimator.initial_state(pair, batch)
    (phase,) = estimator.phases(pair)
    return lambda: phase(pair, batch, state), state


def errors(estimator, programs):
    """Return the relative errors of an estimator's mean value and of its mean gradient."""
    pair = programs.pair()
    estimate, _ = phase_of(estimator, pair)
    moments, exact = exact_moments(pair, estimate), programs.elbo(X)
    return (
        relative_error(moments["value"].mean, exact.detach()),
        relative_error(moments["gradient"].mean, gradient(exact, pair)),
    )


class TestByEnumeration:
    @pytest.mark.parametrize("programs", [NET, FORWARD, BACKWARD], ids=["net", "forward", "backward"])
    @pytest.mark.parametrize(
        "baseline",
        [NoBaseline(), MovingAverage(), Learned(hidden=(4,)), MovingAverage(after=Learned(hidden=()))],
        ids=["none", "moving average", "learned", "centred"],
    )
    def test_one_particle_is_unbiased(self, programs, baseline):
        assert max(errors(REINFORCE(num_particles=1, baseline=baseline), programs())) < UNBIASED

    @pytest.mark.parametrize(("num_particles", "programs"), [(2, BACKWARD), (3, lambda: BeliefNet(2))], ids=["two", "three"])
    def test_leave_one_out_is_unbiased(self, num_particles, programs):
        assert max(errors(REINFORCE(num_particles=num_particles), programs())) < UNBIASED

    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    def test_however_particles_are_run(self, particles):
        programs = BeliefNet(2)
        pair = programs.pair(particles=particles)
        estimate, _ = phase_of(REINFORCE(num_particles=2), pair)
        assert relative_error(exact_moments(pair, estimate)["gradient"].mean, gradient(programs.elbo(X), pair)) < UNBIASED

    def test_a_batch_is_the_mean_of_its_examples(self):
        programs, x = BeliefNet(2), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
        pair = programs.pair()
        estimate, _ = phase_of(REINFORCE(num_particles=1, **NVIL | {"normalise_variance": False}), pair, x)
        moments, exact = exact_moments(pair, estimate), programs.elbo(x)
        torch.testing.assert_close(moments["value"].mean, exact.detach())
        assert relative_error(moments["gradient"].mean, gradient(exact, pair)) < UNBIASED

    def test_better_baselines_leave_less_variance(self):
        variances = {}
        for name, estimator in {
            "none": REINFORCE(num_particles=2, baseline=NoBaseline()),
            "average": REINFORCE(num_particles=2, baseline=MovingAverage()),
            "leave-one-out": REINFORCE(num_particles=2),
        }.items():
            pair = BeliefNet(2).pair()
            variances[name] = exact_moments(pair, phase_of(estimator, pair)[0])["gradient"].variance.sum()
        assert variances["leave-one-out"] < 0.5 * variances["none"]
        assert variances["average"] < 0.5 * variances["none"]

    def test_a_site_need_not_answer_for_what_was_settled_before(self):
        """The twin gives each site the signal of the whole run: unbiased as well, with more variance."""

        def whole(pair, batch):
            trace = run_pair(pair, batch.x)
            signal = trace.log_weights.detach()
            score = trace.total(site.log_q for site in scored_sites(trace))
            return Estimate(-(trace.log_joint + signal * score).mean(), signal[0])

        pair = BeliefChain().pair()
        own = exact_moments(pair, phase_of(REINFORCE(num_particles=1, baseline=NoBaseline()), pair)[0])["gradient"]
        shared = exact_moments(pair, lambda: whole(pair, Batch(X)))["gradient"]
        torch.testing.assert_close(own.mean, shared.mean)
        assert own.variance.sum() < 0.5 * shared.variance.sum()


def wrong_estimate(pair, batch, *, num_particles=2, centre=lambda signal: 0.0, factor=1.0, forgotten=(), settled=False):
    """Return REINFORCE without a baseline, or something that is nearly it."""
    trace = run_pair(pair, batch.x, num_particles=num_particles)
    bound = trace.log_weights.detach()
    scores = []
    for name, signal in learning_signals(trace).items():
        site = trace.sites[name]
        if settled:  # as if a draw had no influence on terms of later sites
            signal = (site.log_p - site.log_q).detach() + trace.sites["x" + name[1:]].log_p.detach()
        scores.append((signal - centre(signal)) * (0 if name in forgotten else site.log_q))
    return Estimate(-(trace.log_joint + factor * sum(scores)).mean(), bound.mean(0))


class TestWrongTwins:
    def error(self, programs=NET, **mistake):
        programs = programs() if programs is not NET else BeliefNet(2)
        pair = programs.pair()
        moments = exact_moments(pair, lambda: wrong_estimate(pair, Batch(X), **mistake))
        return relative_error(moments["gradient"].mean, gradient(programs.elbo(X), pair))

    def test_the_right_one_is_right(self):
        assert self.error() < UNBIASED

    def test_a_baseline_that_sees_its_own_draw_is_seen(self):
        assert self.error(centre=lambda signal: signal.mean(0)) > 1e-2

    def test_leave_one_out_without_its_divisor_is_unbiased_but_no_average(self):
        """Any function of the other particles leaves the mean alone; what it loses is the variance that it was to save."""

        def undivided(signal):
            return signal.sum(0) - signal

        def divided(signal):
            return undivided(signal) / 2

        variances = []
        for centre in (undivided, divided):
            pair = BeliefNet(2).pair()
            moments = exact_moments(
                pair, lambda pair=pair, centre=centre: wrong_estimate(pair, Batch(X), num_particles=3, centre=centre)
            )
            variances.append(moments["gradient"].variance.sum())
        assert variances[0] > 2 * variances[1]
        signals = {"z": torch.arange(6.0).reshape(3, 2)}
        torch.testing.assert_close(LeaveOneOut()(signals, Batch(X), {})[0]["z"], divided(signals["z"]))

    @pytest.mark.parametrize(("factor", "expected"), [(0.999, 1e-4), (-1.0, 0.5)])
    def test_a_score_of_another_size_or_sign_is_seen(self, factor, expected):
        assert self.error(factor=factor) > expected

    def test_a_site_without_its_score_is_seen(self):
        assert self.error(FORWARD, num_particles=1, forgotten=("z1",)) > 1e-2

    @pytest.mark.parametrize("programs", [FORWARD, BACKWARD], ids=["forward", "backward"])
    def test_signals_that_leave_out_too_much_are_seen(self, programs):
        assert self.error(programs, num_particles=1, settled=True) > 1e-2


class TestMixedWithReparameterisedSites:
    x = torch.tensor([0.7], dtype=torch.float64)

    @pytest.mark.parametrize("bit_first", [True, False])
    @pytest.mark.parametrize(
        "estimator",
        [REINFORCE(num_particles=1, baseline=NoBaseline()), REINFORCE(num_particles=2)],
        ids=["none", "leave-one-out"],
    )
    def test_both_are_unbiased_in_one_pass(self, bit_first, estimator):
        programs = Mixed(bit_first=bit_first)
        pair = programs.pair()
        estimate, _ = phase_of(estimator, pair, self.x)
        value, slope = exact_means(pair, estimate, nodes=programs.nodes)
        exact = programs.elbo(self.x)
        torch.testing.assert_close(value, exact.detach())
        assert relative_error(slope, gradient(exact, pair)) < UNBIASED

    @pytest.mark.parametrize("bit_first", [True, False])
    def test_a_score_that_forgets_how_its_logits_came_about_is_seen(self, bit_first):
        """Where the bit is drawn given the Gaussian, its score has a gradient along the Gaussian as well."""

        def forgetful(pair):
            trace = run_pair(pair, self.x)
            bit, z = trace.sites["bit"], trace.sites["z"]
            logits = pair.programs._bit(self.x, z.value.detach())
            score = dist.Bernoulli(logits=logits).log_prob(bit.value)
            bound = trace.log_joint - z.log_q + learning_signals(trace)["bit"] * score
            return Estimate(-bound.mean(), trace.log_weights.detach()[0])

        programs = Mixed(bit_first=bit_first)
        pair = programs.pair()
        _, slope = exact_means(pair, lambda: forgetful(pair), nodes=programs.nodes)
        error = relative_error(slope, gradient(programs.elbo(self.x), pair))
        assert (error < UNBIASED) == bit_first

    def test_without_a_site_to_score_it_is_the_sampled_elbo(self):
        pair, _ = linear_gaussian_pair()
        batch = Batch(torch.randn(4, 3, dtype=torch.float64))
        found = []
        for estimator in (REINFORCE(num_particles=2, **NVIL), ELBO(analytic_kl=False, num_particles=2)):
            estimator.initialize(pair, batch)
            state = estimator.initial_state(pair, batch)
            torch.manual_seed(1)
            estimate = estimator.phases(pair)[0](pair, batch, state)
            found.append((estimate.value, flat_gradient(estimate.surrogate, pair)))
        torch.testing.assert_close(*found)


class Subsampled(BeliefNet):
    """Two of ten examples, whose terms stand for all."""

    def plate(self, x):
        return pyro.plate("data", 10, subsample=torch.arange(len(x)))

    def model(self, x):
        with self.plate(x):
            z = pyro.sample("z", dist.Bernoulli(logits=self.p.prior.expand(len(x), -1)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=z @ self.p.weight + self.p.bias).to_event(1), obs=x)

    def guide(self, x):
        with self.plate(x):
            pyro.sample("z", dist.Bernoulli(logits=x @ self.q.weight + self.q.bias).to_event(1))


class Shared(nn.Module):
    """One bit behind all examples."""

    def __init__(self):
        super().__init__()
        self.q, self.p = weights(1, seed=1), weights(2, seed=2)

    def model(self, x):
        bit = pyro.sample("bit", dist.Bernoulli(logits=x.new_zeros(())))
        with pyro.plate("data", len(x)):
            pyro.sample("x", dist.Normal(self.p[0] + self.p[1] * bit, 1.0), obs=x)

    def guide(self, x):
        pyro.sample("bit", dist.Bernoulli(logits=self.q[0]))

    def elbo(self, x):
        bit = torch.tensor([[0.0], [1.0]], dtype=torch.float64)
        log_q = dist.Bernoulli(logits=self.q[0]).log_prob(bit[:, 0])
        log_p = dist.Normal(self.p[0] + self.p[1] * bit, 1.0).log_prob(x).sum(1) - torch.log(torch.tensor(2.0).double())
        return (log_q.exp() * (log_p - log_q)).sum()


class TestCoupledExamples:
    def test_the_score_of_a_subsampled_draw_is_not_scaled(self):
        programs, x = Subsampled(2), torch.tensor([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]], dtype=torch.float64)
        pair = programs.pair()
        estimate, _ = phase_of(REINFORCE(num_particles=1, baseline=NoBaseline()), pair, x)
        moments, exact = exact_moments(pair, estimate), 5 * programs.elbo(x).sum()
        assert moments["value"].mean.item() == pytest.approx(exact.item())
        assert relative_error(moments["gradient"].mean, gradient(exact, pair)) < UNBIASED

        def scaled():
            trace = run_pair(pair, x)
            score = trace.total([trace.sites["z"].log_q])
            return Estimate(-(trace.log_joint + trace.log_weights.detach() * score).mean(), trace.log_weights[0].detach())

        assert relative_error(exact_moments(pair, scaled)["gradient"].mean, gradient(5 * programs.elbo(x).sum(), pair)) > 0.5

    @pytest.mark.parametrize("baseline", [NoBaseline(), MovingAverage(), LeaveOneOut()])
    def test_a_latent_behind_all_examples(self, baseline):
        programs, x = Shared(), torch.tensor([0.3, -1.0, 0.8], dtype=torch.float64)
        pair = PyroPair(programs.model, programs.guide, event_shape=())
        pair.programs = programs
        estimate, _ = phase_of(REINFORCE(num_particles=2, baseline=baseline), pair, x)
        moments, exact = exact_moments(pair, estimate), programs.elbo(x)
        assert moments["value"].mean.item() == pytest.approx(exact.item())
        assert relative_error(moments["gradient"].mean, gradient(exact, pair)) < UNBIASED

    def test_a_learned_baseline_is_refused(self):
        programs = Shared()
        pair = PyroPair(programs.model, programs.guide, event_shape=())
        with pytest.raises(CapabilityError, match=r"Learned: expected a signal for each example; .* Use LeaveOneOut or"):
            phase_of(REINFORCE(baseline=Learned()), pair, torch.zeros(3, dtype=torch.float64))[0]()


class TestNormalisedVariance:
    def test_the_guides_gradient_is_rescaled_and_the_models_is_not(self):
        programs = BeliefNet()
        with torch.no_grad():
            programs.p.weight.mul_(4)
        pair = programs.pair()
        estimate, state = phase_of(REINFORCE(num_particles=1, **NVIL), pair)
        state["variance"].fill_(9.0)
        found, exact = exact_moments(pair, estimate)["gradient"].mean, gradient(programs.elbo(X), pair)
        assert relative_error(3 * part(pair, found, "q"), part(pair, exact, "q")) < UNBIASED
        assert relative_error(part(pair, found, "p"), part(pair, exact, "p")) < UNBIASED

    def test_small_signals_are_left_alone(self):
        programs = BeliefNet()
        pair = programs.pair()
        estimate, state = phase_of(REINFORCE(num_particles=1, **NVIL), pair)
        state["variance"].fill_(0.3)
        assert relative_error(exact_moments(pair, estimate)["gradient"].mean, gradient(programs.elbo(X), pair)) < UNBIASED

    def test_it_says_so(self):
        claims = REINFORCE(**NVIL).claims
        assert claims.for_parameter("inference.guide.weight") == Biased("grad:elbo", "grad:nvil")
        assert claims.for_parameter("generative.model.weight") == Unbiased("grad:elbo")
        assert claims.for_parameter("baseline.0.weight") == Heuristic("regression target")

    def test_the_average_is_of_what_the_baseline_leaves(self):
        pair = BeliefNet().pair()
        estimate, state = phase_of(REINFORCE(num_particles=2, normalise_variance=True), pair)
        drawn = estimate()
        torch.testing.assert_close(drawn.state["variance"], 0.8 * state["variance"] + 0.2 * drawn.info["residual_variance"])


class TestStatements:
    def test_claims(self):
        claims = REINFORCE().claims
        assert claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
        assert claims.for_parameter("guide.weight") == Unbiased("grad:elbo")
        assert claims.for_parameter("baseline.0.weight") == Heuristic("regression target")

    def test_every_parameter_has_a_claim(self):
        for options in ({}, NVIL):
            estimator, pair = REINFORCE(**options), BeliefNet().pair()
            estimator.initialize(pair, Batch(X))
            (phase,) = estimator.phases(pair)
            assert len(phase.parameters) == len(parameters_of(pair)) + len(parameters_of(estimator.learned))
            for name in phase.parameters:
                estimator.claims.for_parameter(name)

    @pytest.mark.parametrize(
        ("options", "kind", "after"),
        [
            ({}, LeaveOneOut, None),
            ({"baseline": "none"}, NoBaseline, None),
            ({"baseline": "moving-average", "centred": True}, MovingAverage, NoBaseline),
            ({"baseline": "learned"}, Learned, None),
            ({"baseline": "learned", "centred": True}, MovingAverage, Learned),
        ],
    )
    def test_names_at_the_shell(self, options, kind, after):
        baseline = REINFORCE.build(**options).baseline
        assert isinstance(baseline, kind)
        assert after is None or isinstance(baseline.after, after)

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_particles": 0, "baseline": NoBaseline()}, "REINFORCE: expected num_particles of at least 1; got 0"),
            ({"num_particles": 1}, "REINFORCE: expected num_particles of at least 2 for LeaveOneOut; got 1"),
            ({"num_particles": 1, "baseline": MovingAverage(after=LeaveOneOut())}, "at least 2 for MovingAverage; got 1"),
        ],
    )
    def test_options_are_checked(self, options, message):
        with pytest.raises(ConfigurationError, match=message):
            REINFORCE(**options)

    def test_it_needs_a_latent_variable(self):
        with pytest.raises(CapabilityError, match="REINFORCE: expected a model that is LatentVariable"):
            REINFORCE().check(as_model(dist.Normal(0.0, 1.0)))

    def test_it_runs_without_gradients(self):
        pair = BeliefNet().pair()
        estimate, _ = phase_of(REINFORCE(**NVIL), pair)
        with torch.no_grad():
            assert estimate().value.shape == (1,)

    @settings(max_examples=20)
    @given(
        num_particles=st.integers(2, 4),
        size=st.integers(1, 4),
        baseline=st.sampled_from([NoBaseline(), MovingAverage(), Learned(hidden=(2,)), LeaveOneOut()]),
        particles=st.sampled_from(["fold", "plate", "loop"]),
        normalise_variance=st.booleans(),
    )
    def test_shapes(self, num_particles, size, baseline, particles, normalise_variance):
        pair = BeliefChain().pair(particles=particles)
        estimator = REINFORCE(num_particles=num_particles, baseline=baseline, normalise_variance=normalise_variance)
        estimate, state = phase_of(estimator, pair, torch.ones(size, 3, dtype=torch.float64))
        drawn = estimate()
        assert drawn.value.shape == (size,)
        assert drawn.surrogate.shape == ()
        assert {name: tensor.shape for name, tensor in drawn.state.items()} == {name: t.shape for name, t in state.items()}
        assert not any(tensor.requires_grad for tensor in (drawn.value, *drawn.info.values(), *drawn.state.values()))


class TestTraining:
    def test_batches_of_any_size_one_state_and_a_learned_baseline(self):
        """Ten examples in batches of four, the last of two, until the bound has risen."""
        pair = BeliefNet().pair(support=dist.constraints.boolean).float()
        data = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]]).repeat(5, 1)
        estimator = REINFORCE(num_particles=1, **NVIL)
        before = self.elbo(pair, data)
        untrained = None

        def watch(event):
            nonlocal untrained
            untrained = untrained or [p.detach().clone() for p in estimator.learned.parameters()]

        fit(pair, data, estimator, steps=100, batch_size=4, learning_rate=0.05, callbacks=[watch], log_every=25)
        assert self.elbo(pair, data) > before + 0.2
        moved = [not torch.equal(one, other) for one, other in zip(untrained, estimator.learned.parameters(), strict=True)]
        assert all(moved)

    def elbo(self, pair, x):
        return copy.deepcopy(pair.programs).double().elbo(x.double()).mean().item()

    def test_a_model_in_training_mode_stays_in_it(self):
        pair, _ = linear_gaussian_pair()
        pair.guide_program.norm = nn.BatchNorm1d(3, dtype=torch.float64)
        estimator = REINFORCE(baseline=MovingAverage())
        estimator.initial_state(pair.train(), Batch(torch.randn(4, 3, dtype=torch.float64)))
        assert all(module.training for module in pair.modules())

    def test_what_is_learned_belongs_to_the_estimator(self):
        estimator = REINFORCE(num_particles=1, baseline=Learned(hidden=(4,)))
        assert estimator.learned is None
        phase_of(estimator, BeliefNet().pair())
        assert [tuple(p.shape) for p in estimator.learned.parameters()] == [(4, 3), (4,), (1, 4), (1,)]


def test_signals_of_a_continuous_pair_are_none():
    pair = Gaussian().pair()
    assert learning_signals(run_pair(pair, torch.zeros(2, dtype=torch.float64))) == {}

"""Wake-sleep, plain and reweighted, by enumeration of their own randomness; and how wrong ones are found out."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from pyro.infer.autoguide import AutoNormal
from torch import nn

from helpers.enumerable_pairs import BeliefNet, flat_gradient, gradient, part, relative_error, weights
from helpers.pairs import linear_gaussian_pair
from helpers.small_models import BitChain, agrees, phase_moments, phase_named, posterior_divergence, sleep_divergence
from probgen import Batch, CapabilityError, ConfigurationError, PyroPair, ReweightedWakeSleep, WakeSleep, run_pair
from probgen.claims import Consistent, LowerBound, Unbiased
from probgen.estimator import Estimate, Phase, parameters_of
from probgen.estimators.site_draws import without_gradient
from probgen.pyro_bridge import run_dream

MODELS = [lambda: BeliefNet(latents=2), BitChain]


def small(make=MODELS[0], **options):
    """Return programs, their pair and one example."""
    programs = make()
    x = torch.tensor([[1.0, 0.0, 1.0]], dtype=torch.float64)[:, : programs.event_shape[0]]
    return programs, programs.pair(**options), Batch(x)


def reaches(moments, pair, program):
    """Whether a gradient is anything but zero in the parameters of a program."""
    return bool(part(pair, moments["gradient"].mean, program).any())


def off(found, target, pair, program):
    return relative_error(part(pair, found["gradient"].mean, program), part(pair, target, program))


def everything(pair, estimate):
    """Return a phase that differentiates a wrong estimate with respect to all parameters."""
    return Phase("wrong", parameters_of(pair), estimate=estimate)


class TestWakeSleep:
    @pytest.mark.parametrize("make", MODELS)
    def test_wake_climbs_the_elbo_of_the_model_and_leaves_the_guide(self, make):
        programs, pair, batch = small(make)
        moments = phase_moments(phase_named(WakeSleep(), pair, "wake"), pair, batch)
        elbo = programs.elbo(batch.x)
        torch.testing.assert_close(moments["value"].mean, elbo.detach())
        assert agrees(moments["gradient"].mean, gradient(elbo, pair), pair=pair, program="p")
        assert not reaches(moments, pair, "q")

    @pytest.mark.parametrize("make", MODELS)
    def test_sleep_fits_the_guide_to_dreams_and_leaves_the_model(self, make):
        programs, pair, batch = small(make)
        moments = phase_moments(phase_named(WakeSleep(), pair, "sleep"), pair, batch)
        expected = sleep_divergence(programs)
        torch.testing.assert_close(moments["value"].mean, -expected.detach().expand(1))
        assert agrees(moments["gradient"].mean, flat_gradient(expected, programs), pair=pair, program="q")
        assert not reaches(moments, pair, "p")

    def test_a_wake_phase_that_updates_the_guide_is_seen(self):
        _, pair, batch = small()

        def wrong(pair, batch, state):
            trace = run_pair(pair, batch.x)
            return Estimate(-trace.log_weights.mean(), trace.log_weights.detach()[0])

        draws = [everything(pair, wrong)(pair, batch, {}) for _ in range(3)]
        assert any(part(pair, flat_gradient(draw.surrogate, pair.programs), "q").any() for draw in draws)

    def test_sleep_on_data_is_seen(self):
        programs, pair, batch = small()

        def wrong(pair, batch, state):
            score = run_pair(pair, batch.x).log_guide[0]
            return Estimate(-score.mean(), score.detach())

        moments = phase_moments(everything(pair, wrong), pair, batch)
        assert off(moments, flat_gradient(sleep_divergence(programs), programs), pair, "q") > 0.5

    def test_reparameterised_draws_carry_nothing_to_the_guide(self):
        pair, _ = linear_gaussian_pair()
        wake, sleep = WakeSleep().phases(pair)
        batch = Batch(torch.randn(4, 3, dtype=torch.float64))
        for phase, others in ((wake, sleep), (sleep, wake)):
            surrogate = phase(pair, batch, {}).surrogate
            gradients = torch.autograd.grad(surrogate, list(others.parameters.values()), allow_unused=True)
            assert all(gradient is None for gradient in gradients)

    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    def test_there_are_as_many_dreams_as_examples(self, particles):
        _, pair, _ = small(particles=particles)
        for phase in WakeSleep().phases(pair):
            assert phase(pair, Batch(torch.zeros(7, 3, dtype=torch.float64)), {}).value.shape == (7,)

    def test_dreams_are_dreamt_at_the_contexts_of_the_batch(self):
        class Guide(nn.Module):
            def __init__(self):
                super().__init__()
                self.slope = weights(2, seed=1)

            def forward(self, x, context):
                with pyro.plate("data", len(x)):
                    pyro.sample("z", dist.Normal(self.slope[0] * x + self.slope[1] * context, 1e-3))

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.offset = weights(seed=2)

            def forward(self, x, context):
                with pyro.plate("data", len(x)):
                    z = pyro.sample("z", dist.Normal(100 * context, 1.0))
                    pyro.sample("x", dist.Normal(z + self.offset, 1e-3), obs=x)

        pair = PyroPair(Model(), Guide(), event_shape=(), context_shape=())
        contexts = torch.tensor([1.0, -1.0, 3.0], dtype=torch.float64)
        batch = Batch(torch.zeros(3, dtype=torch.float64), contexts)
        dreams = run_dream(pair, batch.x, batch.context)
        assert ((dreams.sites["x"].value[0] - 100 * contexts).abs() < 10).all()
        with torch.no_grad():
            pair.guide_program.slope.copy_(torch.tensor([1.0, 0.0]))
            pair.model_program.offset.zero_()
        sleep = phase_named(WakeSleep(), pair, "sleep")
        assert (sleep(pair, batch, {}).value > -50).all()  # a guide that sees the dreamt x, at its context, is nearly right

    def test_examples_may_share_a_latent(self):
        class Guide(nn.Module):
            def __init__(self):
                super().__init__()
                self.mean = weights(seed=1)

            def forward(self, x):
                pyro.sample("mean", dist.Normal(self.mean, 0.5))

        pair = PyroPair(shared_model(), Guide(), event_shape=())
        for phase in WakeSleep().phases(pair):
            assert phase(pair, Batch(torch.randn(5, dtype=torch.float64)), {}).value.shape == ()
        with pytest.raises(CapabilityError, match="ReweightedWakeSleep: expected every site inside the plate of the batch"):
            ReweightedWakeSleep().phases(pair)[0](pair, Batch(torch.randn(5, dtype=torch.float64)), {})

    def test_a_dream_of_a_part_of_the_data_is_refused(self):
        class Program(nn.Module):
            def __init__(self, observes):
                super().__init__()
                self.observes, self.mean = observes, weights(seed=1)

            def forward(self, x):
                with pyro.plate("data", 1000, subsample_size=len(x)):
                    z = pyro.sample("z", dist.Normal(self.mean, 1.0))
                    if self.observes:
                        pyro.sample("x", dist.Normal(z, 1.0), obs=x)

        pair = PyroPair(Program(observes=True), Program(observes=False), event_shape=())
        wake, sleep = WakeSleep().phases(pair)
        batch = Batch(torch.zeros(10, dtype=torch.float64))
        assert wake(pair, batch, {}).value.shape == ()
        with pytest.raises(CapabilityError, match="Sleep phase: expected plates without subsampling; got scale 100 at 'z'"):
            sleep(pair, batch, {})

    def test_it_runs_without_gradients(self):
        _, pair, batch = small()
        for phase in (*WakeSleep().phases(pair), *ReweightedWakeSleep(sleep_guide=True).phases(pair)):
            with torch.no_grad():
                assert phase(pair, batch, {}).value.shape == (1,)

    def test_claims_name_an_objective_for_each_group(self):
        claims = WakeSleep().claims
        assert claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
        assert claims.for_parameter("generative.decoder.weight") == Unbiased("grad:elbo")
        assert claims.for_parameter("inference.encoder.weight") == Unbiased("grad:sleep")
        assert claims.for_value("sleep") == (Unbiased("sleep"),)


def shared_model():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = weights(seed=3)

        def forward(self, x):
            mean = pyro.sample("mean", dist.Normal(x.new_zeros(()), 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(mean, self.scale.exp()), obs=x)

    return Model()


def awake(pair, num_particles):
    return phase_named(ReweightedWakeSleep(num_particles=num_particles), pair, "wake")


class TestReweightedWakeSleep:
    @pytest.mark.parametrize("make", MODELS)
    @pytest.mark.parametrize("num_particles", [1, 2])
    def test_the_value_is_the_importance_weighted_bound(self, make, num_particles):
        programs, pair, batch = small(make)
        moments = phase_moments(awake(pair, num_particles), pair, batch)
        torch.testing.assert_close(moments["value"].mean, programs.bound(batch.x, num_particles).detach())
        assert moments["value"].mean < programs.evidence(batch.x)

    def test_its_gradients_tend_to_those_of_likelihood_and_posterior_divergence(self):
        """The bias falls like 1/K; one particle is plain wake, whose gradient for the guide has expectation zero."""
        programs, pair, batch = small(lambda: BeliefNet(latents=1))
        evidence = gradient(programs.evidence(batch.x), pair)
        divergence = flat_gradient(posterior_divergence(programs, batch.x).mean(), programs)
        biases = {}
        for num_particles in (1, 2, 4, 8):
            moments = phase_moments(awake(pair, num_particles), pair, batch)
            biases[num_particles] = off(moments, evidence, pair, "p"), off(moments, divergence, pair, "q")
        assert biases[1][1] == pytest.approx(1.0)
        for group in (0, 1):
            assert biases[8][group] < 0.6 * biases[4][group] < 0.4 * biases[2][group]

    def test_one_particle_awake_is_wake_sleep(self):
        programs, pair, batch = small()
        moments = phase_moments(awake(pair, 1), pair, batch)
        assert agrees(moments["gradient"].mean, gradient(programs.elbo(batch.x), pair), pair=pair, program="p")

    def test_undetached_weights_are_seen(self):
        """The scores then come back through the weights, and no number of particles makes up for it."""
        programs, pair, batch = small(lambda: BeliefNet(latents=1))

        def wrong(pair, batch, state):
            trace = run_pair(pair, batch.x, num_particles=4, draw=without_gradient)
            weighted = (trace.log_weights.softmax(0) * (trace.log_joint + trace.log_guide)).sum(0)
            return Estimate(-weighted.mean(), weighted.detach())

        right, moments = (phase_moments(phase, pair, batch) for phase in (awake(pair, 4), everything(pair, wrong)))
        targets = {
            "p": gradient(programs.evidence(batch.x), pair),
            "q": flat_gradient(posterior_divergence(programs, batch.x).mean(), programs),
        }
        for program, target in targets.items():
            assert off(moments, target, pair, program) > 2 * off(right, target, pair, program)

    def test_sleep_is_that_of_wake_sleep(self):
        programs, pair, batch = small(BitChain)
        phase = phase_named(ReweightedWakeSleep(wake_guide=False, sleep_guide=True), pair, "sleep")
        expected = flat_gradient(sleep_divergence(programs), programs)
        assert agrees(phase_moments(phase, pair, batch)["gradient"].mean, expected, pair=pair, program="q")

    @pytest.mark.parametrize("particles", ["fold", "plate", "loop"])
    def test_reparameterised_draws_are_constants(self, particles):
        """A wake phase that let the guide's gradient through the draws would train it on the bound."""
        pair, _ = linear_gaussian_pair(particles=particles)
        x = torch.randn(3, 3, dtype=torch.float64)
        trace = run_pair(pair, x, num_particles=4, draw=without_gradient)
        assert not trace.sites["z"].value.requires_grad
        assert not trace.sites["z"].reparameterized
        assert trace.log_guide.requires_grad
        estimator = ReweightedWakeSleep(num_particles=4, wake_guide=False)
        surrogate = estimator.phases(pair)[0](pair, Batch(x), {}).surrogate
        guide = list(pair.guide_program.parameters())
        assert all(gradient is None for gradient in torch.autograd.grad(surrogate, guide, allow_unused=True))

    def test_a_particle_count_that_is_effective(self):
        pair, _ = linear_gaussian_pair(exact=True, inference=("model_program.bias",))
        phase = phase_named(ReweightedWakeSleep(num_particles=8, wake_guide=False), pair, "wake")
        estimate = phase(pair, Batch(torch.randn(3, 3, dtype=torch.float64)), {})
        torch.testing.assert_close(estimate.info["effective_particles"], torch.tensor(8.0, dtype=torch.float64))

    def test_phases_claims_and_parameters_follow_the_options(self):
        pair, _ = linear_gaussian_pair()
        groups = {}
        for wake_guide in (True, False):
            for sleep_guide in (True, False):
                estimator = ReweightedWakeSleep(wake_guide=wake_guide, sleep_guide=sleep_guide)
                names = [name for phase in estimator.phases(pair) for name in phase.parameters]
                groups[wake_guide, sleep_guide] = {name.partition(".")[0] for name in names}
                assert {pattern.partition(".")[0] for pattern in estimator.claims.gradient} == groups[
                    wake_guide, sleep_guide
                ]
                for name in names:
                    estimator.claims.for_parameter(name)
        assert groups[True, True] == {"generative", "inference", "sleep"}
        assert groups[False, False] == {"generative"}
        assert ReweightedWakeSleep().claims.value[-1] == Consistent("log_prob", "num_particles")

    def test_options_are_checked(self):
        with pytest.raises(ConfigurationError, match="ReweightedWakeSleep: expected num_particles of at least 1; got 0"):
            ReweightedWakeSleep(num_particles=0)


class TestWhoseParameters:
    def test_statements_belong_to_the_program_that_makes_them(self):
        def model(x):
            scale = pyro.param("scale", torch.tensor(1.0), constraint=dist.constraints.positive)
            with pyro.plate("data", len(x)):
                z = pyro.sample("z", dist.Normal(torch.zeros(len(x)), 1.0))
                pyro.sample("x", dist.Normal(z, scale), obs=x)

        def guide(x):
            mean = pyro.param("mean", torch.tensor(0.0))
            with pyro.plate("data", len(x)):
                pyro.sample("z", dist.Normal(x - mean, 1.0))

        pair = PyroPair(model, guide, event_shape=())
        pair.initialize(Batch(torch.zeros(5)))
        wake, sleep = WakeSleep().phases(pair)
        assert list(wake.parameters) == ["generative.statements.param_scale"]
        assert list(sleep.parameters) == ["inference.statements.param_mean"]

    def test_an_autoguide_is_awake_but_cannot_dream(self):
        pair, model = linear_gaussian_pair()
        pair = PyroPair(model, AutoNormal(model), event_shape=(3,))
        batch = Batch(torch.randn(4, 3, dtype=torch.float64))
        pair.initialize(batch)
        wake, sleep = WakeSleep().phases(pair)
        assert all(".guide_program." in name for name in sleep.parameters)
        assert wake(pair, batch, {}).value.shape == (4,)
        with pytest.raises(
            CapabilityError, match=r"PyroPair\.guide: expected the model's latents alone, .* 'z_unconstrained'"
        ):
            sleep(pair, batch, {})

    def test_shared_parameters_are_refused(self):
        pair, model = linear_gaussian_pair()
        guide = pair.guide_program
        guide.tied = model.bias
        with pytest.raises(
            ConfigurationError, match=r"expected parameters of the model and of the guide apart; got 'model_"
        ):
            WakeSleep().phases(PyroPair(model, guide, event_shape=(3,)))

    def test_a_guide_that_is_a_method_of_the_model_is_refused(self):
        pair, _ = linear_gaussian_pair(exact=True)
        with pytest.raises(ConfigurationError, match="parameters of the model and of the guide apart; got 'model_program"):
            WakeSleep().phases(pair)

    def test_a_guide_without_parameters_is_refused(self):
        _, model = linear_gaussian_pair()
        pair = PyroPair(model, lambda x: model.exact_guide(x), event_shape=(3,))
        with pytest.raises(ConfigurationError, match="expected a guide with parameters of its own; got none"):
            WakeSleep().phases(pair)

    def test_a_model_without_parameters_is_refused(self):
        pair, model = linear_gaussian_pair()
        model.requires_grad_(False)
        with pytest.raises(
            ConfigurationError, match="expected trainable parameters in both programs; got none under 'generative"
        ):
            WakeSleep().phases(pair)

    def test_patterns_say_whose_they_are(self):
        pair, _ = linear_gaussian_pair(exact=True, inference=("model_program.w*",))
        assert list(pair.inference_parameters()) == ["model_program.weight"]
        pair.inference = ("encoder.*",)
        with pytest.raises(
            ConfigurationError, match=r"expected patterns of the guide's parameters in `inference`; got \('enc"
        ):
            pair.inference_parameters()

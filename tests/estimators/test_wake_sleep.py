"""Wake-sleep, plain and reweighted, by enumeration of their own randomness; and how wrong ones are found out."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import pytest
import torch
from helpers.pairs import linear_gaussian_pair
from helpers.small_models import assert_gradient, belief_chain, belief_net, exact_estimate, parameter, phase_named
from probgen import Batch, CapabilityError, ConfigurationError, PyroPair, ReweightedWakeSleep, WakeSleep, run_pair
from probgen.claims import Consistent, LowerBound, Unbiased
from probgen.estimator import Estimate, Phase, parameters_of
from probgen.estimators.site_draws import without_gradient
from probgen.pyro_bridge import run_dream
from pyro.infer.autoguide import AutoNormal
from torch import nn

GENERATIVE, INFERENCE = ("model_program.",), ("guide_program.",)
MODELS = [belief_net, belief_chain]


def is_zero(moments, prefixes):
    return all(not moments[name].mean.any() for name in moments.blocks if name.startswith(prefixes))


def off(moments, expected, prefixes):
    """Return how far the expectation of a gradient is from what it should be, relative to its size."""
    names = [name for name in expected if name.startswith(prefixes)]
    target = torch.cat([expected[name].flatten() for name in names])
    return ((torch.cat([moments[name].mean for name in names]) - target).norm() / target.norm()).item()


def everything(pair, estimate):
    """Return a phase that differentiates a wrong estimate with respect to all parameters."""
    return Phase("wrong", parameters_of(pair), estimate=estimate)


class TestWakeSleep:
    @pytest.mark.parametrize("make", MODELS)
    def test_wake_climbs_the_elbo_of_the_model_and_leaves_the_guide(self, make):
        model = make()
        moments = exact_estimate(model, phase_named(WakeSleep(), model.pair, "wake"))
        elbo = model.elbo()
        torch.testing.assert_close(moments["value"].mean, elbo.detach())
        assert_gradient(moments, model.gradient(-elbo.mean()), GENERATIVE)
        assert is_zero(moments, INFERENCE)

    @pytest.mark.parametrize("make", MODELS)
    def test_sleep_fits_the_guide_to_dreams_and_leaves_the_model(self, make):
        model = make()
        moments = exact_estimate(model, phase_named(WakeSleep(), model.pair, "sleep"))
        expected = model.sleep_divergence()
        torch.testing.assert_close(moments["value"].mean, -expected.detach().expand(1))
        assert_gradient(moments, model.gradient(expected), INFERENCE)
        assert is_zero(moments, GENERATIVE)

    def test_a_wake_phase_that_updates_the_guide_is_seen(self):
        model = belief_net()

        def wrong(pair, batch, state):
            trace = run_pair(pair, batch.x)
            return Estimate(-trace.log_weights.mean(), trace.log_weights.detach()[0])

        assert not is_zero(exact_estimate(model, everything(model.pair, wrong)), INFERENCE)

    def test_sleep_on_data_is_seen(self):
        model = belief_net()

        def wrong(pair, batch, state):
            score = run_pair(pair, batch.x).log_guide[0]
            return Estimate(-score.mean(), score.detach())

        moments = exact_estimate(model, everything(model.pair, wrong))
        assert off(moments, model.gradient(model.sleep_divergence()), INFERENCE) > 0.5

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
        model = belief_net(particles=particles)
        for phase in WakeSleep().phases(model.pair):
            assert phase(model.pair, Batch(torch.zeros(7, 2, dtype=torch.float64)), {}).value.shape == (7,)

    def test_dreams_are_dreamt_at_the_contexts_of_the_batch(self):
        class Guide(nn.Module):
            def __init__(self):
                super().__init__()
                self.slope = parameter(2, seed=1)

            def forward(self, x, context):
                with pyro.plate("data", len(x)):
                    pyro.sample("z", dist.Normal(self.slope[0] * x + self.slope[1] * context, 1e-3))

        class Model(nn.Module):
            def __init__(self):
                super().__init__()
                self.offset = parameter(seed=2)

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
                self.mean = parameter(seed=1)

            def forward(self, x):
                pyro.sample("mean", dist.Normal(self.mean, 0.5))

        pair = PyroPair(shared_model(), Guide(), event_shape=())
        for phase in WakeSleep().phases(pair):
            assert phase(pair, Batch(torch.randn(5, dtype=torch.float64)), {}).value.shape == ()
        with pytest.raises(CapabilityError, match="ReweightedWakeSleep: expected every site inside the plate of the batch"):
            ReweightedWakeSleep().phases(pair)[0](pair, Batch(torch.randn(5, dtype=torch.float64)), {})

    def test_it_runs_without_gradients(self):
        model = belief_net(examples=3)
        for phase in (*WakeSleep().phases(model.pair), *ReweightedWakeSleep(sleep_guide=True).phases(model.pair)):
            with torch.no_grad():
                assert phase(model.pair, model.batch, {}).value.shape == (3,)

    def test_claims_name_an_objective_for_each_group(self):
        claims = WakeSleep().claims
        assert claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
        assert claims.for_parameter("generative.decoder.weight") == Unbiased("grad:elbo")
        assert claims.for_parameter("inference.encoder.weight") == Unbiased("grad:sleep_phi")


def shared_model():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = parameter(seed=3)

        def forward(self, x):
            mean = pyro.sample("mean", dist.Normal(x.new_zeros(()), 1.0))
            with pyro.plate("data", len(x)):
                pyro.sample("x", dist.Normal(mean, self.scale.exp()), obs=x)

    return Model()


class TestReweightedWakeSleep:
    @pytest.mark.parametrize("make", MODELS)
    @pytest.mark.parametrize("num_particles", [1, 2])
    def test_the_value_is_the_importance_weighted_bound(self, make, num_particles):
        model = make()
        phase = phase_named(ReweightedWakeSleep(num_particles=num_particles), model.pair, "wake")
        moments = exact_estimate(model, phase)
        torch.testing.assert_close(moments["value"].mean, model.importance_bound(num_particles).detach())
        assert moments["value"].mean < model.log_prob()

    def test_its_gradients_tend_to_those_of_likelihood_and_posterior_divergence(self):
        """The bias falls like 1/K; one particle is plain wake, whose gradient for the guide has expectation zero."""
        model = belief_net(latents=1)
        evidence, divergence = model.gradient(-model.log_prob().mean()), model.gradient(model.posterior_divergence().mean())
        biases = {}
        for num_particles in (1, 2, 4):
            phase = phase_named(ReweightedWakeSleep(num_particles=num_particles), model.pair, "wake")
            moments = exact_estimate(model, phase)
            biases[num_particles] = off(moments, evidence, GENERATIVE), off(moments, divergence, INFERENCE)
        assert biases[1][1] == pytest.approx(1.0)
        for group in (0, 1):
            assert biases[4][group] < 0.65 * biases[2][group] < 0.65 * biases[1][group]

    def test_one_particle_awake_is_wake_sleep(self):
        model = belief_net()
        moments = exact_estimate(model, phase_named(ReweightedWakeSleep(num_particles=1), model.pair, "wake"))
        assert_gradient(moments, model.gradient(-model.elbo().mean()), GENERATIVE)

    def test_undetached_weights_are_seen(self):
        """The gradient for the model then has the variance of the weights in it, and does not tend to the likelihood's."""
        model = belief_net(latents=1)

        def wrong(pair, batch, state):
            trace = run_pair(pair, batch.x, num_particles=4, draw=without_gradient)
            weighted = (trace.log_weights.softmax(0) * (trace.log_joint + trace.log_guide)).sum(0)
            return Estimate(-weighted.mean(), weighted.detach())

        right = exact_estimate(model, phase_named(ReweightedWakeSleep(num_particles=4), model.pair, "wake"))
        moments = exact_estimate(model, everything(model.pair, wrong))
        evidence = model.gradient(-model.log_prob().mean())
        assert off(moments, evidence, GENERATIVE) > 5 * off(right, evidence, GENERATIVE)

    def test_sleep_is_that_of_wake_sleep(self):
        model = belief_chain()
        estimator = ReweightedWakeSleep(num_particles=2, wake_guide=False, sleep_guide=True)
        assert_gradient(
            exact_estimate(model, phase_named(estimator, model.pair, "sleep")),
            model.gradient(model.sleep_divergence()),
            INFERENCE,
        )
        assert is_zero(exact_estimate(model, phase_named(estimator, model.pair, "sleep")), GENERATIVE)

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

    def test_a_guide_without_parameters_is_refused(self):
        pair, _ = linear_gaussian_pair(exact=True)
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

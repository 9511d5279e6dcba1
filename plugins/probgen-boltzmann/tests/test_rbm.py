"""The restricted Boltzmann machine against every configuration listed."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.distributions import constraints

import probgen
from probgen import Batch, CapabilityError, ConfigurationError, MaximumLikelihood, ShapeError, SupportError
from probgen.capabilities import capability_names
from probgen.claims import Exact, LowerBound
from probgen_boltzmann import enumeration
from probgen_boltzmann.enumeration import log_partition_by_enumeration
from probgen_boltzmann.rbm import RBM

from .machines import (
    ERRORS,
    all_bits,
    energy_gradients,
    joint_scores,
    machine,
    number_of,
    standard_errors,
    transition_matrix,
)

SHAPES = [(4, 3), (3, 5), (1, 1), (2, 6)]


class DeafKernel(RBM):
    """Wrong: the visible units do not hear the visible biases."""

    @torch.no_grad()
    def step(self, state, context=None):
        hidden = torch.bernoulli(torch.sigmoid(self._hidden_inputs(state["x"])))
        return {"x": torch.bernoulli(torch.sigmoid(hidden @ self.weight))}, {}


class TestDensity:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_energy_is_free_of_the_hidden_units(self, shape):
        model = machine(*shape)
        torch.testing.assert_close(-model.energy(all_bits(shape[0])), joint_scores(model).logsumexp(1))

    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_log_partition_is_that_of_the_list(self, shape):
        model = machine(*shape)
        found = model.log_partition()
        torch.testing.assert_close(found.value, joint_scores(model).detach().logsumexp((0, 1)))
        assert (found.claim, float(found.stderr)) == (Exact("log_partition"), 0.0)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_probabilities_add_up_to_one(self, shape):
        model = machine(*shape)
        assert model.log_prob(model.enumerate_support()).exp().sum().item() == pytest.approx(1, abs=1e-12)

    def test_chunks_change_nothing(self, monkeypatch):
        model = machine(6, 5)
        whole = model.log_prob(all_bits(6))
        gradients = torch.autograd.grad(whole.sum(), list(model.parameters()))
        monkeypatch.setattr(enumeration, "_CHUNK", 18)
        parts = model.log_prob(all_bits(6))
        torch.testing.assert_close(parts, whole)
        torch.testing.assert_close(torch.autograd.grad(parts.sum(), list(model.parameters())), gradients)

    def test_the_gradient_of_the_log_partition(self):
        model = machine(4, 3)
        assert torch.autograd.gradcheck(log_partition_by_enumeration, (model.weight, model.hidden_bias, model.visible_bias))

    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_gradient_of_the_likelihood_is_data_minus_model(self, shape):
        model = machine(*shape)
        names = [name for name, _ in model.named_parameters()]
        slopes = energy_gradients(model, names)
        x = all_bits(shape[0])[-2:]
        model_side = torch.softmax(-model.energy(all_bits(shape[0])).detach(), 0) @ slopes
        gradients = torch.autograd.grad(model.log_prob(x).mean(), list(model.parameters()))
        found = torch.cat([gradient.flatten() for gradient in gradients])
        torch.testing.assert_close(found, model_side - slopes[number_of(x)].mean(0))

    def test_a_second_derivative_is_refused(self):
        model = machine()
        with pytest.raises(CapabilityError, match="differentiated once"):
            torch.autograd.grad(model.log_prob(all_bits(4)).sum(), model.weight, create_graph=True)

    def test_what_is_not_binary_has_no_probability(self):
        assert machine().log_prob(torch.full((4,), 0.5, dtype=torch.float64)).item() == -torch.inf

    @pytest.mark.parametrize("change", ["in place", "data", "state", "precision"])
    def test_the_remembered_log_partition_never_lags(self, change):
        model, other = machine(), machine()
        model.log_partition()
        if change == "in place":
            with torch.no_grad():
                model.weight.add_(0.5)
        elif change == "data":
            model.weight.data.mul_(2.0)
        elif change == "state":
            model.load_state_dict(other.state_dict())
        else:
            model.float().double()
        fresh = machine()
        fresh.load_state_dict(copy.deepcopy(model.state_dict()))
        assert torch.equal(model.log_partition().value, fresh.log_partition().value)

    def test_it_is_remembered_where_no_gradient_is_asked_for(self, monkeypatch):
        model = machine()
        with torch.no_grad():
            first = model.log_prob(all_bits(4))
            monkeypatch.setattr("probgen_boltzmann.rbm.log_partition_by_enumeration", None)
            assert torch.equal(model.log_prob(all_bits(4)), first)
        with pytest.raises(TypeError):
            model.log_prob(all_bits(4))

    def test_shapes(self):
        model = RBM(event_shape=(1, 2, 3), hidden=2)
        assert model.log_prob(torch.zeros(5, 4, 1, 2, 3)).shape == (5, 4)
        assert model.sample((5, 2)).shape == (5, 2, 1, 2, 3)
        assert model.sample((0,)).shape == (0, 1, 2, 3)
        with pytest.raises(ShapeError, match=r"RBM.energy: expected x of shape"):
            model.energy(torch.zeros(6))


class TestKernel:
    def moved(self, model, start, n=40_000):
        chains = model.init(start.expand(n, -1))
        state, diagnostics = model.step(chains)
        assert not state["x"].requires_grad
        assert diagnostics == {}
        return torch.nn.functional.one_hot(number_of(state["x"]), 2 ** start.shape[-1]).double()

    @pytest.mark.parametrize("shape", SHAPES)
    def test_a_step_is_a_row_of_the_transition_matrix(self, shape):
        model, start = machine(*shape), all_bits(shape[0])[1]
        row = transition_matrix(model).detach()[1]
        assert standard_errors(self.moved(model, start), row) < ERRORS

    @pytest.mark.parametrize("shape", SHAPES)
    def test_the_matrix_keeps_the_machine_s_distribution(self, shape):
        model = machine(*shape)
        pi = model.log_prob(all_bits(shape[0])).exp()
        torch.testing.assert_close(pi @ transition_matrix(model), pi)

    def test_a_wrong_kernel_is_seen(self):
        model = machine()
        wrong = DeafKernel(event_shape=(4,), hidden=3).double()
        wrong.load_state_dict(model.state_dict())
        assert standard_errors(self.moved(wrong, all_bits(4)[1]), transition_matrix(model).detach()[1]) > 2 * ERRORS

    def test_the_state_is_not_changed(self):
        x = torch.ones(7, 4, dtype=torch.float64)
        machine().step({"x": x})
        assert torch.equal(x, torch.ones_like(x))


class TestSampler:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_draws_of_a_small_machine_are_exact(self, shape):
        model = machine(*shape)
        draws = number_of(model.sample((40_000,)))
        found = torch.nn.functional.one_hot(draws, 2 ** shape[0]).double()
        assert standard_errors(found, model.log_prob(all_bits(shape[0])).exp().detach()) < ERRORS

    def test_a_large_machine_runs_chains_from_the_base_rates(self):
        model = RBM(event_shape=(21,), hidden=21, burn_in=3)
        with torch.no_grad():
            model.weight.zero_()
            model.base_bias.fill_(100.0)
        steps = []
        step = model.step
        model.step = lambda state: (steps.append(state["x"].mean().item()), step(state))[1]
        draws = model.sample((5000,))
        assert len(steps) == 3
        assert steps[0] == 1.0
        assert standard_errors(draws.double(), torch.tensor(0.5)) < ERRORS

    def test_a_generator_decides(self):
        model = machine()
        one, other = (model.sample((20,), generator=torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one, other)


ALWAYS = {"Layered", "MarkovKernel", "Sampler", "UnnormalizedDensity"}


class TestCapabilities:
    @pytest.mark.parametrize(
        ("visible", "hidden", "more"),
        [(20, 30, {"Density", "Enumerable"}), (30, 20, {"Density"}), (21, 21, set())],
    )
    def test_a_small_machine_can_do_more(self, visible, hidden, more):
        assert set(capability_names(RBM(event_shape=(visible,), hidden=hidden))) == ALWAYS | more

    def test_a_large_one_says_what_it_cannot(self):
        model = RBM(event_shape=(21,), hidden=21, temperatures=5)
        with pytest.raises(CapabilityError, match=r"RBM.log_prob: .*21 visible and 21 hidden"):
            model.log_prob(torch.zeros(21))
        with pytest.raises(CapabilityError, match=r"RBM.enumerate_support: .*21"):
            model.enumerate_support()
        with pytest.raises(CapabilityError, match="Density"):
            MaximumLikelihood().check(model)
        assert model.log_partition(num_particles=10).claim == LowerBound("log_partition")

    def test_it_takes_no_context(self):
        with pytest.raises(CapabilityError, match=r"RBM.build: expected no context; got one of shape \(3,\)"):
            RBM.build((4,), (3,), constraints.boolean)

    def test_it_takes_bits_alone(self):
        with pytest.raises(SupportError, match=r"RBM.build: expected a binary support"):
            RBM.build((4,), None, constraints.real)

    @pytest.mark.parametrize("option", ["hidden", "burn_in", "temperatures"])
    def test_options_out_of_range(self, option):
        with pytest.raises(ConfigurationError, match=rf"RBM: expected {option} of at least 1; got 0"):
            RBM.build((4,), None, constraints.boolean, **{option: 0})


class TestTraining:
    def test_visible_biases_start_at_the_log_odds(self):
        model = RBM(event_shape=(3,), hidden=2)
        model.initialize(Batch(torch.tensor([[1.0, 0, 1], [1, 0, 0], [1, 0, 1]])))
        expected = torch.log(torch.tensor([4.0, 1.0, 3.0]) / torch.tensor([1.0, 4.0, 2.0]))
        torch.testing.assert_close(model.visible_bias.detach(), expected)
        torch.testing.assert_close(model.base_bias, expected)

    def test_a_centred_machine_starts_undecided(self):
        model = RBM(event_shape=(3,), hidden=2, centered=True)
        x = torch.tensor([[1.0, 0, 1], [1, 0, 0], [1, 0, 1]])
        model.initialize(Batch(x))
        at_the_mean = model.weight @ x.mean(0) + model.hidden_bias
        torch.testing.assert_close(at_the_mean, torch.zeros(2))
        at_one_half = torch.full((2,), 0.5) @ model.weight + model.visible_bias
        torch.testing.assert_close(at_one_half, model.base_bias)

    def test_a_trained_machine_keeps_its_biases(self):
        model = RBM(event_shape=(3,), hidden=2)
        with torch.no_grad():
            model.hidden_bias[0] = 1.0
        model.initialize(Batch(torch.ones(4, 3)))
        assert not model.visible_bias.any()

    def test_weights_start_in_the_stated_interval(self):
        model, width = RBM(event_shape=(784,), hidden=16), 4 * (6 / 800) ** 0.5
        assert 0.99 * width < model.weight.max() <= width
        assert -width <= model.weight.min() < -0.99 * width

    def test_the_exact_gradient_reaches_the_best_likelihood(self):
        x = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(50, 1)
        model = RBM(event_shape=(6,), hidden=3)
        probgen.fit(model, x, MaximumLikelihood(), view="binary", steps=400, learning_rate=0.05)
        assert model.log_prob(x).mean().item() == pytest.approx(-torch.log(torch.tensor(2.0)).item(), abs=0.05)

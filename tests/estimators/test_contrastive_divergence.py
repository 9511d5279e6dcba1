"""Contrastive divergence against the transition matrix of a small machine, and against a chain in closed form."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import nn

from helpers.draws import ERRORS, draws_of, flat_gradient, standard_errors
from helpers.toys import SmallRBM, data, exact_log_partition
from probgen import Batch, CapabilityError, ConfigurationError, ContrastiveDivergence, MarkovKernel, UnnormalizedDensity, fit
from probgen.estimator import parameters_of

STATES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6)))
CODES = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4)))


class FrozenChain(ContrastiveDivergence):
    """Wrong: the chain never moves."""

    def _moved(self, model, batch, state):
        return model.init(batch.x, batch.context), {}


class ThroughTheChain(ContrastiveDivergence):
    """Wrong: the gradient goes through the draws."""

    _moved = ContrastiveDivergence._moved.__wrapped__


class OneStepShort(ContrastiveDivergence):
    """Wrong: the chain makes k - 1 steps."""

    def _moved(self, model, batch, state):
        return ContrastiveDivergence(k=self.k - 1)._moved(model, batch, state)


def number_of(x):
    """Return the position of events in STATES."""
    return (x @ 2.0 ** torch.arange(5, -1, -1)).long()


def machine():
    model = SmallRBM()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 1.2)
    return model


def transition_matrix(model):
    """Return the probabilities of a step of block Gibbs from each visible state to each, (64, 64)."""

    def rows(probabilities, outcomes):
        return torch.exp(torch.distributions.Bernoulli(probabilities[:, None]).log_prob(outcomes).sum(-1))

    with torch.no_grad():
        to_hidden = rows(torch.sigmoid(STATES @ model.weight + model.hidden_bias), CODES)
        to_visible = rows(torch.sigmoid(CODES @ model.weight.T + model.visible_bias), STATES)
        return to_hidden.double() @ to_visible.double()


def energy_gradients(model):
    """Return the gradient of each state's energy, (64, P)."""
    parameters = list(model.parameters())
    gradients = [torch.autograd.grad(model.energy(state), parameters) for state in STATES]
    return torch.stack([torch.cat([g.flatten() for g in gradient]) for gradient in gradients]).double()


def exact_update(model, starts, chain_starts, k):
    """Return the expected gradient of the energy gap for data `starts` and chains that start elsewhere or there."""
    slopes, matrix = energy_gradients(model), transition_matrix(model)
    after = torch.linalg.matrix_power(matrix, k) @ slopes
    return slopes[number_of(starts)].mean(0) - after[number_of(chain_starts)].mean(0)


def errors_of(estimator, model, batch, target, state=None, count=150):
    (phase,) = estimator.phases(model)
    return standard_errors(draws_of(lambda: phase(model, batch, state or {}), count, phase=phase), target)


class TestSmallMachine:
    start = Batch(torch.tensor([1.0, 0.0, 1.0, 1.0, 0.0, 0.0]).expand(1000, 6))

    @pytest.mark.parametrize("k", [1, 3])
    def test_the_expected_update_is_that_of_k_steps(self, k):
        model = machine()
        target = exact_update(model, self.start.x, self.start.x, k)
        assert errors_of(ContrastiveDivergence(k=k), model, self.start, target) < ERRORS

    @pytest.mark.parametrize("wrong", [FrozenChain(k=2), OneStepShort(k=2)])
    def test_a_chain_with_too_few_steps_is_seen(self, wrong):
        model = machine()
        assert errors_of(wrong, model, self.start, exact_update(model, self.start.x, self.start.x, 2)) > 2 * ERRORS

    def test_it_is_biased_for_the_likelihood_as_it_says(self):
        model = machine()
        slopes = energy_gradients(model)
        probabilities = torch.softmax(-model.energy(STATES).detach().double(), 0)
        likelihood = slopes[number_of(self.start.x[:1])[0]] - probabilities @ slopes
        assert errors_of(ContrastiveDivergence(), model, self.start, likelihood) > 2 * ERRORS
        assert errors_of(ContrastiveDivergence(k=30), model, self.start, likelihood) < ERRORS
        assert str(ContrastiveDivergence(k=2).claims.for_parameter("weight")).endswith("unbiased for cd[2]")

    def test_the_value_is_the_energy_gap_of_each_example(self):
        model = machine()
        (phase,) = ContrastiveDivergence(k=2).phases(model)
        batch = Batch(STATES.repeat(40, 1))
        draws = torch.stack([phase(model, batch, {}).value.reshape(40, 64).mean(0) for _ in range(100)]).double()
        energies = model.energy(STATES).detach().double()
        matrix = torch.linalg.matrix_power(transition_matrix(model), 2)
        assert standard_errors(draws, energies - matrix @ energies) < ERRORS

    def test_persistent_chains_start_where_they_stood(self):
        model = machine()
        estimator = ContrastiveDivergence(k=2, persistent=True, num_chains=1000)
        state = estimator.initial_state(model, Batch(STATES[5:6]))
        target = exact_update(model, self.start.x, STATES[5:6], 2)
        assert errors_of(estimator, model, self.start, target, state) < ERRORS
        from_data = exact_update(model, self.start.x, self.start.x, 2)
        assert errors_of(estimator, model, self.start, from_data, state) > 2 * ERRORS


class Spring(nn.Module, UnnormalizedDensity, MarkovKernel):
    """A stiffness over real events, with unadjusted Langevin steps that carry gradients."""

    event_shape, context_shape, support = torch.Size([1]), None, torch.distributions.constraints.real
    step_size = 0.5

    def __init__(self):
        super().__init__()
        self.stiffness = nn.Parameter(torch.tensor(1.5))

    def _energy(self, x, context):
        return 0.5 * self.stiffness * x.square().sum(-1)

    def init(self, x, context=None):
        return {"x": x, "age": torch.zeros(len(x))}

    def step(self, state, context=None):
        x = state["x"] * (1 - 0.5 * self.step_size * self.stiffness)
        moved = x + self.step_size**0.5 * torch.randn_like(x)
        return {"x": moved, "age": state["age"] + 1}, {"jump": (moved - state["x"]).abs().mean(1)}


class TestLangevin:
    batch = Batch(torch.full((2000, 1), 1.2))

    def target(self):
        """Return half of x0² less the second moment after two steps."""
        shrink = (1 - 0.5 * 0.5 * 1.5) ** 2
        moment = shrink * (shrink * 1.2**2 + 0.5) + 0.5
        return torch.tensor([0.5 * (1.2**2 - moment)], dtype=torch.float64)

    def test_the_draws_are_constants(self):
        assert errors_of(ContrastiveDivergence(k=2), Spring(), self.batch, self.target()) < ERRORS

    def test_a_gradient_through_the_chain_is_seen(self):
        assert errors_of(ThroughTheChain(k=2), Spring(), self.batch, self.target()) > 2 * ERRORS

    def test_diagnostics_and_mean_energies_are_logged(self):
        (phase,) = ContrastiveDivergence().phases(model := Spring())
        estimate = phase(model, self.batch, {})
        assert set(estimate.info) == {"data_energy", "chain_energy", "jump"}
        assert all(tensor.ndim == 0 and not tensor.requires_grad for tensor in estimate.info.values())
        gap = estimate.info["data_energy"] - estimate.info["chain_energy"]
        torch.testing.assert_close(estimate.value.mean(), gap)


class TestState:
    def test_chains_are_the_kernels_state_under_a_prefix(self):
        model, batch = Spring(), Batch(torch.randn(5, 1))
        estimator = ContrastiveDivergence(k=3, persistent=True, num_chains=12)
        before = estimator.initial_state(model, batch)
        assert {name: tuple(tensor.shape) for name, tensor in before.items()} == {"chains.x": (12, 1), "chains.age": (12,)}
        assert torch.equal(before["chains.x"][5:10], batch.x)
        kept = {name: tensor.clone() for name, tensor in before.items()}
        after = estimator.phases(model)[0](model, Batch(batch.x[:2]), before).state
        assert after["chains.age"].tolist() == [3.0] * 12
        assert all(torch.equal(before[name], kept[name]) for name in kept)
        assert not any(tensor.requires_grad for tensor in after.values())

    def test_without_persistence_there_is_none(self):
        model, batch = SmallRBM(), Batch(data("rbm"))
        estimator = ContrastiveDivergence()
        assert estimator.initial_state(model, batch) == {}
        assert estimator.phases(model)[0](model, batch, {}).state == {}
        assert not estimator.batch_coupled

    def test_persistence_needs_a_model_without_context(self):
        model = Spring()
        model.context_shape = torch.Size([3])
        with pytest.raises(CapabilityError, match=r"without context.*\(3,\)"):
            ContrastiveDivergence(persistent=True).initial_state(model, Batch(torch.zeros(2, 1)))

    @pytest.mark.parametrize("options", [{"k": 0}, {"num_chains": 3}, {"num_chains": 0, "persistent": True}])
    def test_wrong_options_are_refused(self, options):
        with pytest.raises(ConfigurationError, match=r"ContrastiveDivergence: expected"):
            ContrastiveDivergence(**options)


def test_without_gradients_it_still_gives_its_value():
    (phase,) = ContrastiveDivergence().phases(model := SmallRBM())
    with torch.no_grad():
        estimate = phase(model, Batch(data("rbm")), {})
    assert estimate.value.shape == (50,)
    assert not estimate.surrogate.requires_grad


@pytest.mark.parametrize("options", [{}, {"k": 5, "persistent": True, "num_chains": 200}], ids=["cd", "pcd"])
def test_training_raises_the_exact_likelihood(options):
    model = SmallRBM()
    x = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(50, 1)

    def likelihood():
        return (-model.energy(x).mean() - exact_log_partition(model)).item()

    before = likelihood()
    fit(model, x, ContrastiveDivergence(**options), view="binary", steps=300, batch_size=20, learning_rate=0.01)
    assert likelihood() > before + 1.0


def test_the_phase_trains_every_parameter():
    model = machine()
    (phase,) = ContrastiveDivergence().phases(model)
    assert phase.parameters.keys() == parameters_of(model).keys()
    gradient = flat_gradient(phase, phase(model, Batch(data("rbm")), {}).surrogate)
    assert (gradient != 0).sum() > len(gradient) - 4  # a mean over 50 examples may be zero by chance

"""The centred gradient: a change of coordinates, blind to which value is called 1, with the expectation that it claims."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import probgen
from probgen import Batch, CapabilityError, ConfigurationError, ContrastiveDivergence, fit
from probgen_boltzmann.centering import CenteredContrastiveDivergence, centered
from probgen_boltzmann.rbm import RBM

from .machines import ERRORS, all_bits, energy_gradients, machine, number_of, standard_errors, transition_matrix

NAMES = ["weight", "visible_bias", "hidden_bias"]


def gradients_of(model, loss):
    return dict(zip(NAMES, torch.autograd.grad(loss, [getattr(model, name) for name in NAMES]), strict=True))


def flat(gradients):
    return torch.cat([gradients[name].flatten() for name in NAMES]).detach()


def offsets_of(model):
    return {
        "visible_bias": torch.rand_like(model.visible_bias).detach(),
        "hidden_bias": torch.rand_like(model.hidden_bias).detach(),
    }


def unflattened(model, vector):
    shapes = [getattr(model, name).shape for name in NAMES]
    parts = vector.split([shape.numel() for shape in shapes])
    return {name: part.view(shape) for name, part, shape in zip(NAMES, parts, shapes, strict=True)}


class CenteredMachine(nn.Module):
    """A machine written in v - m and h - n, as in the paper; the free energy up to a constant."""

    def __init__(self, model, offsets):
        super().__init__()
        self.m, self.n = offsets["visible_bias"], offsets["hidden_bias"]
        self.weight = nn.Parameter(model.weight.detach().clone())
        self.visible_bias = nn.Parameter(model.visible_bias.detach() + self.n @ self.weight.detach())
        self.hidden_bias = nn.Parameter(model.hidden_bias.detach() + self.weight.detach() @ self.m)

    def energy(self, v):
        inputs = (v - self.m) @ self.weight.T + self.hidden_bias
        there = (v - self.m) @ (self.visible_bias - self.n @ self.weight) - self.n @ self.hidden_bias
        return -there - nn.functional.softplus(inputs).sum(-1)

    def plain_parameters(self):
        """Return the ordinary machine's parameters with the same energy, up to a constant."""
        return {
            "weight": self.weight,
            "visible_bias": self.visible_bias - self.n @ self.weight,
            "hidden_bias": self.hidden_bias - self.weight @ self.m,
        }


def test_a_step_is_a_step_of_the_machine_written_in_centred_units():
    model = machine(5, 3)
    offsets = offsets_of(model)
    other = CenteredMachine(model, offsets)
    data, chains = (torch.rand(20, 5, dtype=torch.float64).round() for _ in range(2))
    moved = centered(gradients_of(model, model.energy(data).mean() - model.energy(chains).mean()), offsets, model.couplings)
    for parameter, gradient in zip(
        other.parameters(),
        torch.autograd.grad(other.energy(data).mean() - other.energy(chains).mean(), list(other.parameters())),
        strict=True,
    ):
        parameter.data -= 0.1 * gradient
    for name, expected in other.plain_parameters().items():
        torch.testing.assert_close(getattr(model, name) - 0.1 * moved[name], expected)


def flipped(model, visible):
    """Return the machine that gives each configuration's negative the probability of the configuration."""
    other = machine(*visible)
    with torch.no_grad():
        other.weight.copy_(-model.weight)
        other.visible_bias.copy_(-model.visible_bias)
        other.hidden_bias.copy_(model.hidden_bias + model.weight.sum(1))
    return other


@pytest.mark.parametrize("centred", [True, False])
def test_only_the_centred_step_is_the_same_for_negatives(centred):
    model = machine(5, 3)
    negative = flipped(model, (5, 3))
    data, chains = (torch.rand(20, 5, dtype=torch.float64).round() for _ in range(2))
    offsets = offsets_of(model)
    steps = []
    for each, v, w in ((model, data, chains), (negative, 1 - data, 1 - chains)):
        gradients = gradients_of(each, each.energy(v).mean() - each.energy(w).mean())
        steps.append(centered(gradients, offsets, each.couplings) if centred else gradients)
        offsets = {"visible_bias": 1 - offsets["visible_bias"], "hidden_bias": offsets["hidden_bias"]}
    here, there = steps
    same = torch.allclose(here["hidden_bias"] + here["weight"].sum(1), there["hidden_bias"])
    assert torch.allclose(here["weight"], -there["weight"]) == centred
    assert torch.allclose(here["visible_bias"], -there["visible_bias"])
    assert same == centred


class TestExpectation:
    start = torch.tensor([[1.0, 0, 1, 1]], dtype=torch.float64)

    def target(self, model, offsets, chains, k):
        """Return the centred form of the exact update of `k` steps."""
        slopes = energy_gradients(model, NAMES)
        matrix = torch.linalg.matrix_power(transition_matrix(model).detach(), k)
        update = slopes[number_of(self.start)[0]] - matrix[number_of(chains)[0]] @ slopes
        return flat(centered(unflattened(model, update), offsets, model.couplings))

    def drawn(self, estimator, model, state, count=200):
        (phase,) = estimator.phases(model)
        batch = Batch(self.start.expand(500, 4))
        return torch.stack([flat(gradients_of(model, phase(model, batch, state).surrogate)) for _ in range(count)])

    @pytest.mark.parametrize(("k", "persistent"), [(1, False), (3, False), (2, True)])
    def test_it_is_the_centred_update_of_k_steps(self, k, persistent):
        model = machine(scale=2.0)
        estimator = CenteredContrastiveDivergence(
            k=k, persistent=persistent, num_chains=500 if persistent else None, offset_rate=0.25
        )
        offsets = offsets_of(model)
        elsewhere = torch.tensor([[0.0, 1, 0, 0]], dtype=torch.float64)
        state = {
            **(estimator.initial_state(model, Batch(elsewhere)) if persistent else {}),
            **{f"offsets.{name}": tensor for name, tensor in offsets.items()},
        }
        means = {name: mean[0].detach() for name, mean in model.layer_means(self.start).items()}
        moved = {name: 0.75 * offsets[name] + 0.25 * means[name] for name in offsets}
        draws = self.drawn(estimator, model, state)
        chains = elsewhere if persistent else self.start
        assert standard_errors(draws, self.target(model, moved, chains, k)) < ERRORS
        assert standard_errors(draws, self.target(model, offsets, chains, k)) > 2 * ERRORS
        assert standard_errors(draws, self.target(model, moved, chains, k - 1)) > 2 * ERRORS

    def test_the_claim_names_the_update(self):
        claims = CenteredContrastiveDivergence(k=3).claims
        assert str(claims.for_parameter("weight")) == "biased for grad:log_prob; unbiased for centered-cd[3]"


class TestState:
    def test_offsets_start_at_the_means_of_the_first_batch(self):
        model = machine()
        batch = Batch(all_bits(4)[3:7])
        state = CenteredContrastiveDivergence().initial_state(model, batch)
        assert state.keys() == {"offsets.visible_bias", "offsets.hidden_bias"}
        torch.testing.assert_close(state["offsets.visible_bias"], batch.x.mean(0))
        hidden = torch.sigmoid(batch.x @ model.weight.T + model.hidden_bias).mean(0)
        torch.testing.assert_close(state["offsets.hidden_bias"], hidden.detach())

    @pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
    def test_they_move_by_the_rate_and_nothing_is_changed_in_place(self, rate):
        model = machine()
        estimator = CenteredContrastiveDivergence(persistent=True, offset_rate=rate)
        before = estimator.initial_state(model, Batch(all_bits(4)[3:7]))
        kept = {name: tensor.clone() for name, tensor in before.items()}
        batch = Batch(all_bits(4)[9:12])
        after = estimator.phases(model)[0](model, batch, before).state
        expected = (1 - rate) * before["offsets.visible_bias"] + rate * batch.x.mean(0)
        torch.testing.assert_close(after["offsets.visible_bias"], expected)
        assert after.keys() == before.keys() == {"chains.x", "offsets.visible_bias", "offsets.hidden_bias"}
        assert all(torch.equal(before[name], kept[name]) for name in kept)
        assert not any(tensor.requires_grad for tensor in after.values())

    def test_the_value_is_the_plain_estimator_s(self):
        model, batch = machine(), Batch(all_bits(4))
        plain, centred = ContrastiveDivergence(k=2), CenteredContrastiveDivergence(k=2)
        values = []
        for estimator in (plain, centred):
            torch.manual_seed(4)
            with torch.no_grad():
                estimate = estimator.phases(model)[0](model, batch, estimator.initial_state(model, batch))
            assert not estimate.surrogate.requires_grad
            values.append(estimate.value)
        assert torch.equal(*values)


class TestRefusals:
    def test_an_offset_rate_out_of_range(self):
        with pytest.raises(ConfigurationError, match=r"offset_rate in \[0, 1\]; got 1.5"):
            CenteredContrastiveDivergence(offset_rate=1.5)

    def test_options_of_the_chains(self):
        with pytest.raises(ConfigurationError, match="k of at least 1"):
            CenteredContrastiveDivergence(k=0)

    def test_a_model_without_layers(self):
        with pytest.raises(CapabilityError, match="Layered"):
            CenteredContrastiveDivergence().check(torch.distributions.Normal(0.0, 1.0))


@pytest.mark.parametrize("options", [{}, {"k": 3, "persistent": True, "num_chains": 200}], ids=["cd", "pcd"])
def test_training_raises_the_exact_likelihood(options):
    model = RBM(event_shape=(6,), hidden=4)
    x = torch.tensor([[1.0, 1, 1, 0, 0, 0], [0, 0, 0, 1, 1, 1]]).repeat(50, 1)
    before = model.log_prob(x).mean().item()
    settings = {"view": "binary", "steps": 300, "batch_size": 20, "learning_rate": 0.01}
    fit(model, x, CenteredContrastiveDivergence(**options), **settings)
    assert model.log_prob(x).mean().item() > before + 1.0


def test_it_is_built_by_name():
    estimator = probgen.build_estimator("centered-contrastive-divergence", k="2", persistent="true", offset_rate="0.1")
    assert isinstance(estimator, CenteredContrastiveDivergence)
    assert (estimator.k, estimator.persistent, estimator.num_chains, estimator.offset_rate) == (2, True, None, 0.1)

"""Annealed importance sampling against exact log-partitions: within its own error, and on the side that it claims."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch

from probgen import ConfigurationError
from probgen.capabilities import LogPartition
from probgen.claims import LowerBound, UpperBound
from probgen_boltzmann.ais import Bracket, RBMPath, anneal, anneal_backward, bracket

from .machines import ERRORS, machine


class Impatient(RBMPath):
    """Wrong: the chains always move as at the target."""

    def advance(self, x, now, then):
        return super().advance(x, now, then)[0], super().advance(x, now, 1.0)[1]


def path_of(model, kind=RBMPath):
    return kind(model.weight.detach(), model.visible_bias.detach(), model.hidden_bias.detach(), model.base_bias)


def off(found, model):
    return abs(float(found.value - model.log_partition().value)) / float(found.stderr)


@pytest.mark.parametrize("num_steps", [1, 10, 300])
def test_forward_is_within_its_error(num_steps):
    model = machine(10, 6, scale=0.7)
    found = anneal(path_of(model), num_chains=3000, num_steps=num_steps)
    assert off(found, model) < ERRORS
    assert found.claim == LowerBound("log_partition")
    assert found.method.startswith(f"annealed importance sampling, 3000 chains of {num_steps} steps, effective sample size ")


@pytest.mark.parametrize("num_steps", [10, 300])
def test_backward_from_exact_draws_is_within_its_error(num_steps):
    model = machine(10, 6, scale=0.7)
    found = anneal_backward(path_of(model), model.sample((3000,)), num_steps=num_steps)
    assert off(found, model) < ERRORS
    assert found.claim == UpperBound("log_partition")


def test_a_path_with_the_wrong_kernel_is_seen():
    model = machine(10, 6, scale=0.7)
    assert off(anneal(path_of(model, Impatient), num_chains=3000, num_steps=100), model) > 2 * ERRORS


def test_more_steps_make_the_error_smaller():
    model = machine(10, 6)
    few, many = (anneal(path_of(model), num_chains=1000, num_steps=n).stderr for n in (10, 1000))
    assert many < few / 3


def test_the_bounds_hold_in_expectation():
    """With two short chains the bias is large: both sides are off by many standard errors, each in its direction."""
    model = machine(8, 5)
    path, truth = path_of(model), model.log_partition().value
    low = torch.stack([anneal(path, num_chains=2, num_steps=3).value for _ in range(300)]) - truth
    starts = model.sample((300, 2))
    high = torch.stack([anneal_backward(path, each, num_steps=3).value for each in starts]) - truth
    assert low.mean() < -ERRORS * low.std() / math.sqrt(300)
    assert high.mean() > ERRORS * high.std() / math.sqrt(300)


def test_a_base_that_is_the_target_leaves_no_error():
    model = machine(5, 3)
    with torch.no_grad():
        model.weight.zero_()
        model.hidden_bias.zero_()
        model.base_bias.copy_(model.visible_bias)
    found = anneal(path_of(model), num_chains=10, num_steps=7)
    assert float(found.value) == pytest.approx(float(model.log_partition().value), abs=1e-12)
    assert float(found.stderr) == pytest.approx(0, abs=1e-12)


def test_the_ends_of_the_path():
    model = machine(6, 4)
    with torch.no_grad():
        model.base_bias.normal_()
    path, v = path_of(model), model.enumerate_support()
    at_base = v @ model.base_bias + 4 * math.log(2)
    torch.testing.assert_close(at_base.logsumexp(0), path.log_base())
    torch.testing.assert_close(at_base + path.advance(v, 0.0, 1.0)[0], -model.energy(v).detach())


def test_the_way_s_parts_add_up():
    model = machine(6, 4)
    path, v = path_of(model), model.enumerate_support()
    parts = path.advance(v, 0.0, 0.3)[0] + path.advance(v, 0.3, 1.0)[0]
    torch.testing.assert_close(parts, path.advance(v, 0.0, 1.0)[0])


@pytest.mark.parametrize("scale", [0.1, 3.0, 300.0])
@pytest.mark.parametrize(("now", "then"), [(0.0, 0.01), (0.5, 0.51), (0.0, 1.0), (0.9, 1.0), (1.0, 0.9), (1.0, 0.0)])
def test_ratios_in_single_precision(scale, now, then):
    """From inputs and steps so small that the short form is used to some thousands, where it would be wrong."""
    model = machine(6, 4, scale=scale)
    v = model.enumerate_support()
    inputs = (v @ model.weight.T + model.hidden_bias).detach()
    softplus = torch.nn.functional.softplus
    exact = (then - now) * (v @ (model.visible_bias - model.base_bias))
    exact = (exact + (softplus(then * inputs) - softplus(now * inputs)).sum(1)).detach()
    found, _ = path_of(model.float()).advance(v.float(), now, then)
    rounding = 1e-7 * float(inputs.abs().sum(1).max())
    torch.testing.assert_close(found.double(), exact, rtol=1e-5, atol=rounding)


def test_rounding_does_not_add_up_over_many_small_steps():
    model, steps = machine(6, 4), 3000
    v = model.enumerate_support()
    exact = path_of(model).advance(v, 0.0, 1.0)[0]
    path, betas = path_of(model.float()), torch.linspace(0, 1, steps + 1).tolist()
    parts = [path.advance(v.float(), now, then)[0].double() for now, then in pairwise(betas)]
    assert (torch.stack(parts).sum(0) - exact).abs().max() < 1e-5


def test_inputs_far_out_stay_finite():
    model = machine(6, 4, scale=300.0)
    found = anneal(path_of(model.float()), num_chains=10, num_steps=10)
    assert found.value.isfinite()


@pytest.mark.parametrize(("chains", "steps"), [(1, 10), (10, 0)])
def test_too_little_is_refused(chains, steps):
    path = path_of(machine())
    with pytest.raises(ConfigurationError, match=r"anneal: expected at least 2 chains"):
        anneal(path, num_chains=chains, num_steps=steps)
    with pytest.raises(ConfigurationError, match=r"anneal_backward: expected at least 2 chains"):
        anneal_backward(path, torch.zeros(chains, 4, dtype=torch.float64), num_steps=steps)


class TestFewEffectiveWeights:
    """A machine of strong couplings and a coarse path: a few of 50 chains carry the mean."""

    def found(self, number=200):
        model = machine(12, 6, scale=3.0)
        path, truth = path_of(model), model.log_partition().value
        return [(anneal(path, num_chains=50, num_steps=2), truth) for _ in range(number)]

    def test_the_label_says_so(self):
        (found, _), *_ = self.found(1)
        assert found.method.endswith("(too few to rely on: take more steps)")
        assert "too few" not in anneal(path_of(machine(8, 4, scale=0.2)), num_chains=50, num_steps=50).method

    def test_the_error_is_not_too_small(self):
        """Within three errors nearly always."""
        within = [abs(float(found.value - truth)) <= 3 * float(found.stderr) for found, truth in self.found()]
        assert sum(within) >= 0.95 * len(within)

    def test_that_of_the_weights_seen_would_be(self, monkeypatch):
        """Wrong: one weight out of fifty makes the mean, and has no spread."""
        monkeypatch.setattr("probgen_boltzmann.ais._TRUSTED", 0.0)
        within = [abs(float(found.value - truth)) <= 3 * float(found.stderr) for found, truth in self.found()]
        assert sum(within) < 0.8 * len(within)


class TestBracket:
    def test_a_fine_path_closes_it(self):
        model = machine(8, 5, scale=0.7)
        both = bracket(path_of(model), model.sample((500,)), num_steps=200)
        assert both.closed(errors=ERRORS)
        assert both.lower.claim == LowerBound("log_partition")
        assert both.upper.claim == UpperBound("log_partition")
        torch.testing.assert_close(both.gap, both.upper.value - both.lower.value)

    @pytest.mark.parametrize(("gap", "closed"), [(0.4, True), (0.6, False), (-0.6, False)])
    def test_it_is_closed_within_joint_errors(self, gap, closed):
        def side(value, claim):
            return LogPartition(torch.tensor(value), torch.tensor(0.12), claim, "")

        both = Bracket(side(1.0, LowerBound("log_partition")), side(1.0 + gap, UpperBound("log_partition")))
        assert both.closed() is closed

"""Baselines: what they subtract, what they remember, and what they may not know."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from probgen import Batch, ConfigurationError
from probgen.estimators.baselines import Baseline, Learned, LeaveOneOut, MovingAverage, NoBaseline

X = torch.arange(8.0, dtype=torch.float64).reshape(4, 2) / 8
SIGNALS = {
    "a": torch.tensor([[1.0, 2.0, 3.0, 4.0], [5.0, 5.0, 5.0, 5.0], [0.0, 3.0, 1.0, 0.0]], dtype=torch.float64),
    "b": torch.full((3, 4), 7.0, dtype=torch.float64),
}
BATCH = Batch(X, context=torch.tensor([0, 1, 1, 0]))


def ready(baseline):
    """Return a baseline that has seen the first signals, and its first state."""
    baseline.initialize(SIGNALS, BATCH)
    return baseline, dict(baseline.initial_state(SIGNALS, BATCH))


class SlotAverage(Baseline):
    """The wrong twin: it keeps an average for each place in the batch, whoever stands there."""

    needs_signals = True

    def initial_state(self, signals, batch):
        return {f"average.{site}": signal.mean(0) for site, signal in signals.items()}

    def __call__(self, signals, batch, state):
        values = {site: state[f"average.{site}"] for site in signals}
        return values, {f"average.{site}": 0.8 * values[site] + 0.2 * signals[site].mean(0) for site in signals}


class ImpatientAverage(MovingAverage):
    """The wrong twin: the present signal is in the average before it is used."""

    def __call__(self, signals, batch, state):
        _, following = super().__call__(signals, batch, state)
        return {site: following[f"average.{site}"] for site in signals}, following


def mixes_slots(baseline):
    """Whether it matters to a baseline in which order the examples stand, or that a last batch is smaller."""
    baseline, state = ready(baseline)
    order = torch.tensor([2, 0, 3, 1])
    _, following = baseline(SIGNALS, BATCH, state)
    permuted, _ = baseline({site: signal[:, order] for site, signal in SIGNALS.items()}, BATCH[order], following)
    straight, _ = baseline(SIGNALS, BATCH, following)
    for site, signal in SIGNALS.items():
        if not torch.allclose(permuted[site].expand_as(signal), straight[site].expand_as(signal)[:, order]):
            return True
    try:
        few, _ = baseline({site: signal[:, :2] for site, signal in SIGNALS.items()}, BATCH[:2], following)
        return any(value.expand(3, 2).shape != (3, 2) for value in few.values())
    except RuntimeError:
        return True


def peeks(baseline):
    """Whether what is subtracted from a particle's signal depends on that signal."""
    baseline, state = ready(baseline)
    own = torch.tensor([[1e3], [0.0], [0.0]], dtype=torch.float64)
    values, _ = baseline(SIGNALS, BATCH, state)
    disturbed, _ = baseline({site: signal + own for site, signal in SIGNALS.items()}, BATCH, state)
    return any(not torch.equal(values[site].expand(3, 4)[0], disturbed[site].expand(3, 4)[0]) for site in SIGNALS)


ALL = [
    NoBaseline(),
    LeaveOneOut(),
    MovingAverage(),
    Learned(hidden=(3,)),
    MovingAverage(after=Learned(hidden=(3,))),
    MovingAverage(after=LeaveOneOut()),
]


class TestEveryBaseline:
    @pytest.mark.parametrize("baseline", ALL)
    def test_it_does_not_see_what_it_corrects(self, baseline):
        assert not peeks(baseline)

    @pytest.mark.parametrize("baseline", ALL)
    def test_examples_have_no_fixed_places(self, baseline):
        assert not mixes_slots(baseline)

    @pytest.mark.parametrize("baseline", ALL)
    def test_its_state_keeps_its_shape_and_carries_no_gradient(self, baseline):
        baseline, state = ready(baseline)
        _, following = baseline(SIGNALS, BATCH, state)
        assert {name: tensor.shape for name, tensor in state.items()} == {n: t.shape for n, t in following.items()}
        assert not any(tensor.requires_grad for tensor in following.values())

    def test_wrong_ones_are_seen(self):
        assert mixes_slots(SlotAverage())
        assert peeks(ImpatientAverage())


class TestLeaveOneOut:
    def test_it_is_the_mean_of_the_others(self):
        values, state = LeaveOneOut()(SIGNALS, BATCH, {})
        torch.testing.assert_close(values["a"][0], SIGNALS["a"][1:].mean(0))
        torch.testing.assert_close(values["a"][1], SIGNALS["a"][[0, 2]].mean(0))
        assert not state


class TestMovingAverage:
    def test_it_starts_with_what_a_first_run_had(self):
        _, state = ready(MovingAverage())
        assert state["average.b"] == 7.0
        torch.testing.assert_close(state["average.a"], SIGNALS["a"].mean())

    def test_it_moves_towards_the_present_after_use(self):
        state = {"average.a": torch.tensor(1.0).double(), "average.b": torch.tensor(0.0).double()}
        values, following = MovingAverage(decay=0.9)(SIGNALS, BATCH, state)
        assert values["a"] == 1.0
        torch.testing.assert_close(following["average.a"], 0.9 + 0.1 * SIGNALS["a"].mean())
        assert following["average.b"].item() == pytest.approx(0.7)

    def test_after_another_it_averages_what_that_leaves(self):
        _, state = ready(MovingAverage(after=LeaveOneOut()))
        assert state["average.a"].item() == pytest.approx(0.0, abs=1e-12)  # each particle is left out once

    @pytest.mark.parametrize("decay", [-0.1, 1.0])
    def test_its_decay_is_checked(self, decay):
        with pytest.raises(ConfigurationError, match="MovingAverage: expected decay in"):
            MovingAverage(decay=decay)

    def test_one_after_another_is_refused(self):
        with pytest.raises(ConfigurationError, match="MovingAverage: expected after to be another baseline"):
            MovingAverage(after=MovingAverage())


class TestLearned:
    def test_it_is_zero_at_first_and_depends_on_example_and_context(self):
        baseline, _ = ready(Learned(hidden=(5,)))
        values, _ = baseline(SIGNALS, BATCH, {})
        assert all(not value.any() for value in values.values())
        assert all(value.shape == (4,) for value in values.values())
        nn.init.normal_(baseline.learned[-1].weight)
        values, _ = baseline(SIGNALS, BATCH, {})
        other, _ = baseline(SIGNALS, Batch(X, context=1 - BATCH.context), {})
        assert (values["a"] != other["a"]).all()
        assert (values["a"] != values["b"]).all()

    def test_regression_teaches_it_the_mean_signal_of_each_example(self):
        baseline, _ = ready(Learned(hidden=(16,)))
        optimizer = torch.optim.Adam(baseline.learned.parameters(), lr=0.1)
        for _ in range(500):
            values, _ = baseline(SIGNALS, BATCH, {})
            loss = sum((signal - values[site]).square().mean() for site, signal in SIGNALS.items())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        torch.testing.assert_close(values["a"], SIGNALS["a"].mean(0), atol=0.2, rtol=0)
        torch.testing.assert_close(values["b"], SIGNALS["b"].mean(0), atol=0.2, rtol=0)

    def test_without_a_network_it_says_what_to_do(self):
        with pytest.raises(ConfigurationError, match=r"Learned: expected a network; got none, .* Call initialize first"):
            Learned()(SIGNALS, BATCH, {})

    def test_hidden_widths_are_checked(self):
        with pytest.raises(ConfigurationError, match="Learned: expected hidden widths of at least 1"):
            Learned(hidden=(3, 0))

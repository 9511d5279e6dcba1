"""MADE's masks, one and several; the incremental sampler against full passes; training one mask at a time."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import constraints

from probgen import Autoregressive, Batch, CapabilityError, ConfigurationError, MaximumLikelihood
from probgen.capabilities import capabilities
from probgen.supports import categorical
from probgen_autoregressive.made import MADE
from probgen_autoregressive.mask_sampling import MaskEnsemble, MaskSampling
from probgen_autoregressive.masked import MaskedNetwork, spread_degrees

SHAPES = {"event_shape": (6,), "context_shape": None, "support": constraints.boolean}


def stirred(**options):
    model = MADE(**{**SHAPES, **options}).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.7)
    return model


def all_bits(size):
    return torch.cartesian_prod(*[torch.tensor([0.0, 1.0]).double()] * size)


class TestMasks:
    @settings(max_examples=40, deadline=None)
    @given(
        entries=st.integers(1, 6),
        hidden=st.lists(st.integers(1, 9), max_size=3),
        direct=st.booleans(),
        context=st.integers(0, 2),
        masks=st.integers(1, 2),
    )
    def test_no_output_sees_its_entry_or_later_ones(self, entries, hidden, direct, context, masks):
        positions = torch.stack([torch.randperm(entries) for _ in range(masks)])
        network = MaskedNetwork(
            positions, features=2, parameters=3, context_size=context, hidden=hidden, direct=direct, activation="tanh"
        )
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter)
        features = torch.randn(1, entries, 2, requires_grad=True)
        extra = torch.randn(1, context) if context else None
        for mask in range(masks):
            outputs = network(features, extra, mask=mask)
            for entry in range(entries):
                (gradient,) = torch.autograd.grad(outputs[0, entry].sum(), features, retain_graph=True, allow_unused=True)
                reached = torch.zeros(entries) if gradient is None else gradient[0].abs().sum(-1)
                assert not reached[positions[mask] >= positions[mask][entry]].any()

    def test_a_mask_too_few_would_leak(self):
        """The wrong twin: a unit that sees one entry too many changes the conditional of that entry."""
        network = stirred(hidden=(12,)).network
        network.mask_0[:, 0] = 1.0
        features = torch.zeros(1, 6, 1, dtype=torch.float64, requires_grad=True)
        leaks = torch.autograd.grad(network(features)[0, 1].sum(), features)[0][0, :, 0]
        assert not leaks[1:].any()  # column 0 may reach all that come later
        network.mask_0[:, 3] = 1.0
        leaks = torch.autograd.grad(network(features)[0, 1].sum(), features)[0][0, :, 0]
        assert leaks[3] != 0

    @settings(max_examples=40, deadline=None)
    @given(width=st.integers(1, 40), lowest=st.integers(0, 3), count=st.integers(1, 20))
    def test_degrees_are_spread_evenly(self, width, lowest, count):
        degrees = spread_degrees(width, lowest, lowest + count - 1)
        counts = torch.bincount(degrees - lowest, minlength=count)
        assert len(counts) == count
        assert counts.max() - counts.min() <= 1
        assert (degrees.diff() >= 0).all()

    def test_a_mask_is_the_same_whether_kept_or_made(self):
        one, two = stirred(hidden=(7,), direct=True), stirred(hidden=(7,), direct=True)
        two.network._kept = False
        for kept, made in zip(one.network.masked_weights(0), one.network.masked_weights(torch.tensor(0)), strict=True):
            assert torch.equal(kept, made)
        two.load_state_dict(one.state_dict())
        x = all_bits(6)
        assert torch.equal(one.log_prob(x), two.log_prob(x))


@pytest.mark.parametrize("support", [constraints.boolean, categorical(3), constraints.real])
@pytest.mark.parametrize("hidden", [(), (3,), (20, 45)])
@pytest.mark.parametrize("context", [None, (2,)])
@pytest.mark.parametrize(("order", "direct"), [("natural", True), ("random", False)])
@pytest.mark.parametrize("entries", [6, 35])
def test_the_incremental_sampler_is_the_slow_one(support, hidden, context, order, direct, entries):
    """With the same noise, D full passes give the same draws, whether the entries fill one block or several."""
    model = MADE(
        event_shape=(entries,),
        context_shape=context,
        support=support,
        hidden=hidden,
        order=order,
        direct=direct,
        components=2,
        mask_seed=3,
    ).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    contexts = None if context is None else torch.randn(20, 2, dtype=torch.float64)
    torch.manual_seed(5)
    slow = torch.zeros(20, entries, dtype=torch.float64)
    for entry, noise in zip(model.order.tolist(), model.law.noise((entries, 20), like=slow), strict=True):
        slow[:, entry] = model.law.draw(model._parameters_of(model._encoded(slow), contexts)[:, entry], noise)
    fast = model.sample(() if context else (20,), contexts, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(fast, slow)


def test_direct_connections_start_at_nothing():
    with_them, without = (MADE(**SHAPES, hidden=(9,), direct=direct) for direct in (True, False))
    with_them.load_state_dict(without.state_dict(), strict=False)
    assert torch.equal(with_them.log_prob(all_bits(6).float()), without.log_prob(all_bits(6).float()))


class TestSeveralMasks:
    @pytest.mark.parametrize("order", ["natural", "shuffled"])
    def test_the_mixture_is_the_mean_of_its_masks(self, order):
        model, x = stirred(hidden=(9,), masks=4, order=order), all_bits(6)
        each = torch.stack([model.log_prob_under(mask, x) for mask in range(4)])
        torch.testing.assert_close(each.exp().sum(1), torch.ones(4).double())
        assert each.std(0).min() > 0
        torch.testing.assert_close(model.log_prob(x).exp(), each.exp().mean(0))

    def test_without_averaging_the_first_is_the_model(self):
        model, x = stirred(hidden=(9,), masks=4, order="shuffled", average=False), all_bits(6)
        assert torch.equal(model.log_prob(x), model.log_prob_under(0, x))
        assert torch.equal(model.log_prob_terms(x).sum(-1), model.log_prob(x))

    def test_orders_of_their_own_make_no_product_of_conditionals(self):
        model = stirred(masks=3, order="shuffled")
        assert Autoregressive not in capabilities(model)
        with pytest.raises(CapabilityError, match=r"MADE\.order: .* average=False"):
            model.order  # noqa: B018
        with pytest.raises(CapabilityError, match=r"one order"):
            model.log_prob_terms(all_bits(6))

    def test_the_terms_of_a_mixture_are_conditionals(self):
        """Summed over the last entry in the order, what is left is the mixture's marginal of the others."""
        model, x = stirred(hidden=(9,), masks=4, order="random"), all_bits(6)
        terms, last = model.log_prob_terms(x), int(model.order[-1])
        torch.testing.assert_close(terms.sum(-1), model.log_prob(x))
        flipped = x.clone()
        flipped[:, last] = 1 - flipped[:, last]
        total = terms[:, last].exp() + model.log_prob_terms(flipped)[:, last].exp()
        torch.testing.assert_close(total, torch.ones(64).double())

    def test_one_mask_is_no_ensemble(self):
        assert MaskEnsemble not in capabilities(stirred())
        assert MaskEnsemble in capabilities(stirred(masks=2))


class TestMaskSampling:
    def test_value_and_gradient_average_over_the_masks(self):
        """Every mask is drawn equally often in the long run, and each estimate is exactly that of its mask."""
        model, x = stirred(hidden=(9,), masks=3), all_bits(6)[::7]
        (phase,) = MaskSampling().phases(model)
        each = torch.stack([model.log_prob_under(mask, x) for mask in range(3)]).detach()
        seen = torch.zeros(3)
        for _ in range(300):
            value = phase(model, Batch(x), {}).value
            matches = (each == value).all(1)
            assert matches.sum() == 1
            seen += matches
        assert ((seen - 100).abs() < 5 * (300 * 2 / 9) ** 0.5).all()

    def test_it_is_below_the_mixture(self):
        model, x = stirred(hidden=(9,), masks=3), all_bits(6)
        mean = torch.stack([model.log_prob_under(mask, x) for mask in range(3)]).mean(0)
        assert (mean < model.log_prob(x)).all()

    def test_it_needs_several_masks(self):
        assert MaskEnsemble in MaskSampling().requires
        assert MaskSampling().batch_coupled
        assert not MaximumLikelihood().batch_coupled


def test_dropout_is_for_training_only():
    model, x = stirred(hidden=(40,), dropout=0.5), all_bits(6)
    assert not torch.equal(model.log_prob(x), model.log_prob(x))
    model.eval()
    assert torch.equal(model.log_prob(x), model.log_prob(x))
    torch.testing.assert_close(model.log_prob(x).exp().sum(), torch.tensor(1.0).double())


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"hidden": (0,)}, "hidden sizes"),
        ({"masks": 0}, "masks of at least 1"),
        ({"order": "backwards"}, "order among natural, random, shuffled"),
        ({"dropout": 1.0}, "dropout in"),
        ({"components": 0}, "components of at least 1"),
    ],
)
def test_options_out_of_range(option, message):
    with pytest.raises(ConfigurationError, match=message):
        MADE(**SHAPES, **option)

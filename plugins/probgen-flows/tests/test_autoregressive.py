"""Masked layers: who sees whom, and the inversion that is exact in fewer passes than there are features."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probgen_flows.affine import affine_inverse
from probgen_flows.autoregressive import AutoregressiveLayer, invert
from probgen_flows.iaf import IAF
from probgen_flows.maf import MAF
from probgen_flows.masked import MaskedConditioner


def conditioner(features, *, context_features=0, hidden=(16, 16), activation="relu", reverse=False, std=0.5):
    network = MaskedConditioner(
        features, context_features=context_features, hidden=hidden, activation=activation, reverse=reverse
    ).double()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=std)
    return network


def sequential(parameters, z):
    """Invert a layer the slow way: a pass for each feature, each of which is written where it belongs."""
    x = torch.zeros_like(z)
    for feature in range(z.shape[1]):
        x = torch.cat([x[:, :feature], affine_inverse(z, *parameters(x))[:, feature:]], 1)
    return x


class Counted:
    """A function that counts its calls."""

    def __init__(self, function):
        self.function, self.calls = function, 0

    def __call__(self, x):
        self.calls += 1
        return self.function(x)


class TestCausality:
    @given(
        features=st.integers(1, 6),
        context_features=st.integers(0, 2),
        hidden=st.lists(st.integers(1, 9), min_size=1, max_size=3),
        reverse=st.booleans(),
    )
    def test_outputs_see_only_what_comes_before(self, features, context_features, hidden, reverse):
        network = conditioner(features, context_features=context_features, hidden=hidden, activation="tanh", reverse=reverse)
        context = torch.randn(1, context_features).double() if context_features else None
        x = torch.randn(1, features).double()
        for part in range(2):
            jacobian = torch.autograd.functional.jacobian(lambda x, p=part: network.at(context)(x)[p], x)[0, :, 0]
            order = jacobian.flip(0, 1) if reverse else jacobian
            assert not order.triu().any()

    @pytest.mark.parametrize("context_features", [0, 2])
    @pytest.mark.parametrize("reverse", [False, True])
    def test_they_see_all_of_it(self, context_features, reverse):
        network = conditioner(5, context_features=context_features, activation="tanh", reverse=reverse)
        context = torch.randn(1, context_features).double() if context_features else None
        x = torch.randn(1, 5).double()
        jacobian = torch.autograd.functional.jacobian(lambda x: network.at(context)(x)[0], x)[0, :, 0]
        order = jacobian.flip(0, 1) if reverse else jacobian
        assert (order.tril(-1) != 0).sum() == 10
        if context is not None:
            by_context = torch.autograd.functional.jacobian(lambda c: network.at(c)(x)[0], context)
            assert by_context.all()

    def test_the_context_may_be_split_off(self):
        """What is computed once is what a layer over the joined input computes."""
        network = conditioner(3, context_features=2, activation="tanh")
        x, context = torch.randn(7, 3).double(), torch.randn(7, 2).double()
        units = torch.cat([x, context], 1)
        for layer in network.layers[:-1]:
            units = layer(units).tanh()
        outputs = network.layers[-1](units) + context @ network.shortcut.weight.T
        shift, log_scale = network.at(context)(x)
        torch.testing.assert_close(shift, outputs[:, :3])
        torch.testing.assert_close(log_scale, 5 * (outputs[:, 3:] / 5).tanh())

    def test_the_context_moves_every_output_however_few_the_units(self):
        """Without the shortcut the one unit of the first feature would let through one direction of the context."""
        network = conditioner(4, context_features=6, hidden=(4,), activation="tanh")
        x, context = torch.randn(1, 4).double(), torch.randn(1, 6).double()

        def first(context):
            return torch.stack([part[0, 0] for part in network.at(context)(x)])

        def rank():
            return torch.linalg.matrix_rank(torch.autograd.functional.jacobian(first, context)[:, 0])

        assert rank() == 2
        nn.init.zeros_(network.shortcut.weight)
        assert rank() == 1


class TestInversion:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("std", [0.01, 0.2, 0.7])
    def test_it_equals_the_sequential_loop_bit_for_bit(self, dtype, std):
        network = conditioner(12, std=std).to(dtype)
        z = torch.randn(50, 12, dtype=dtype)
        with torch.no_grad():
            x, log_scale = invert(network.at(None), z)
            assert torch.equal(x, sequential(network.at(None), z))
            assert torch.equal(log_scale, network.at(None)(x)[1])
        assert torch.equal(invert(network.at(None), z)[0], x)

    def test_weak_dependence_takes_few_passes(self):
        passes = Counted(conditioner(100, std=0.05).at(None))
        with torch.no_grad():
            invert(passes, torch.randn(20, 100).double())
        assert passes.calls < 25

    def test_there_are_never_more_passes_than_features(self):
        """A chain, in which a feature hangs on the one before it alone, needs every one of them."""

        def chain(x):
            shift = torch.nn.functional.pad(x[:, :-1], (1, 0)) * 1.1
            return shift, torch.zeros_like(x)

        passes, z = Counted(chain), torch.ones(3, 9).double()
        with torch.no_grad():
            x, _ = invert(passes, z)
        assert passes.calls == 9
        torch.testing.assert_close(x, torch.cumsum(1.1 ** torch.arange(9.0).double(), 0).expand(3, 9))
        assert not torch.equal(affine_inverse(z, *chain(z)), x), "one pass is not enough"

    def test_features_that_blow_up_before_they_settle_do_no_harm(self):
        """Unsettled features grow a thousandfold in each pass, beyond the largest float32; 0 times inf would be NaN."""
        solution, weight = torch.randn(60), 1e3 * torch.ones(60, 60).tril(-1)

        def parameters(x):
            return solution + (x - solution) @ weight.T, torch.zeros_like(x)

        z = torch.zeros(2, 60)
        with torch.no_grad():
            assert torch.equal(invert(parameters, z)[0], solution.expand(2, 60))
            unbounded = z
            for _ in range(60):
                unbounded = affine_inverse(z, *parameters(unbounded))
        assert unbounded.isnan().any()

    @pytest.mark.parametrize("context_features", [0, 2])
    @pytest.mark.parametrize("reverse", [False, True])
    def test_gradients_equal_those_of_the_sequential_loop(self, context_features, reverse):
        layer = AutoregressiveLayer(
            6, context_features=context_features, hidden=(9,), activation="tanh", reverse=reverse
        ).double()
        for parameter in layer.parameters():
            nn.init.normal_(parameter, std=0.6)
        z = torch.randn(5, 6).double().requires_grad_()
        context = torch.randn(5, context_features).double().requires_grad_() if context_features else None
        inputs = [*layer.parameters(), z, *([context] if context is not None else [])]
        weights = torch.randn(2, 5, 6).double()

        def slowly():
            parameters = layer.conditioner.at(context)
            if reverse:
                flipped = sequential(lambda x: tuple(p.flip(1) for p in parameters(x.flip(1))), z.flip(1))
                x = flipped.flip(1)
            else:
                x = sequential(parameters, z)
            return x, parameters(x)[1]

        def gradients(x, log_scale):
            return torch.autograd.grad((weights[0] * x + weights[1] * log_scale).sum(), inputs)

        expected = gradients(*slowly())
        for found, wanted in zip(gradients(*invert(layer.conditioner.at(context), z)), expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)

    def test_a_pass_at_the_solution_is_not_enough_for_gradients(self):
        """The wrong twin: differentiating one pass at the fixed point forgets how earlier features move."""
        network = conditioner(4, activation="tanh")
        z = torch.randn(3, 4).double().requires_grad_()
        with torch.no_grad():
            x, _ = invert(network.at(None), z)
        (naive,) = torch.autograd.grad(affine_inverse(z, *network.at(None)(x)).sum(), z)
        (exact,) = torch.autograd.grad(invert(network.at(None), z)[0].sum(), z)
        assert (naive - exact).abs().max() > 1e-3

    def test_second_derivatives_are_exact(self):
        network = conditioner(4, activation="tanh")
        z = torch.randn(2, 4).double().requires_grad_()
        assert torch.autograd.gradgradcheck(lambda z: invert(network.at(None), z)[0], z)


class TestTheTwoDirections:
    @pytest.mark.parametrize("context_shape", [None, (3,)])
    def test_one_is_the_inverse_of_the_other(self, context_shape):
        maf = MAF(event_shape=(5,), context_shape=context_shape, transforms=3, hidden=(8,)).double()
        iaf = IAF(event_shape=(5,), context_shape=context_shape, transforms=3, hidden=(8,)).double()
        for parameter in maf.parameters():
            nn.init.normal_(parameter, std=0.4)
        iaf.load_state_dict(maf.state_dict())
        x = torch.randn(10, 5).double()
        context = None if context_shape is None else torch.randn(10, *context_shape).double()
        for one, other in ((maf.transform, iaf.inverse), (maf.inverse, iaf.transform)):
            (a, a_log_det), (b, b_log_det) = one(x, context), other(x, context)
            assert torch.equal(a, b)
            assert torch.equal(a_log_det, b_log_det)

    def test_the_fast_direction_is_one_pass(self, monkeypatch):
        calls = []
        at = MaskedConditioner.at

        def counted(self, context):
            parameters = at(self, context)
            return lambda x: calls.append(1) or parameters(x)

        monkeypatch.setattr(MaskedConditioner, "at", counted)
        MAF(event_shape=(20,), transforms=3, hidden=(8,)).log_prob(torch.zeros(4, 20))
        IAF(event_shape=(20,), transforms=3, hidden=(8,)).rsample_and_log_prob((4,))
        assert len(calls) == 6

"""Every flow: bijection, determinant, normalisation, draws, units and messages."""

from __future__ import annotations

import math
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.distributions import constraints

from probgen import Batch, ConfigurationError, Density, Invertible, Reparameterized, Sampler, ShapeError, SupportError
from probgen.capabilities import capabilities
from probgen_flows import examples
from probgen_flows.flow import Units
from probgen_flows.iaf import IAF
from probgen_flows.maf import MAF
from probgen_flows.realnvp import RealNVP

CLASSES = [RealNVP, MAF, IAF]
MAKERS = {
    f"{make.__name__}-{name}": partial(lambda make, name: make()[name], make, name)
    for make in (examples.realnvp, examples.maf, examples.iaf)
    for name in make()
}
of_every_class = pytest.mark.parametrize("make", CLASSES, ids=lambda make: make.__name__)


def roughened(flow, *, std=0.5):
    """Return the flow in double precision with weights that are far from the identity, and units of its own."""
    flow = flow.double()
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=std)
    flow.units.location.copy_(torch.randn(flow.features))
    flow.units.scale.copy_(torch.rand(flow.features) + 0.5)
    return flow


def some_context(flow, *batch):
    return None if flow.context_shape is None else torch.randn(*batch, *flow.context_shape, dtype=torch.float64)


@pytest.fixture(params=list(MAKERS))
def flow(request):
    return roughened(MAKERS[request.param]())


class TestBijections:
    def test_each_direction_undoes_the_other(self, flow):
        x, context = torch.randn(20, *flow.event_shape).double(), some_context(flow, 20)
        z, log_det = flow.transform(x, context)
        back, back_log_det = flow.inverse(z, context)
        torch.testing.assert_close(back, x, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(back_log_det, -log_det, rtol=1e-10, atol=1e-10)
        noise = torch.randn(20, *flow.event_shape).double()
        torch.testing.assert_close(
            flow.transform(flow.inverse(noise, context)[0], context)[0], noise, rtol=1e-10, atol=1e-10
        )

    @pytest.mark.parametrize("method", ["transform", "inverse"])
    def test_the_log_determinant_is_that_of_the_jacobian(self, flow, method):
        for _ in range(3):
            x, context = torch.randn(flow.event_shape).double(), some_context(flow)
            jacobian = torch.autograd.functional.jacobian(lambda x, c=context: getattr(flow, method)(x, c)[0], x)
            expected = torch.linalg.slogdet(jacobian.reshape(flow.features, flow.features)).logabsdet
            torch.testing.assert_close(getattr(flow, method)(x, context)[1], expected, rtol=1e-10, atol=1e-10)

    def test_the_density_is_the_change_of_variables(self, flow):
        x, context = torch.randn(6, *flow.event_shape).double(), some_context(flow, 6)
        z, log_det = flow.transform(x, context)
        normal = torch.distributions.Normal(0.0, 1.0).log_prob(z).reshape(6, -1).sum(1)
        torch.testing.assert_close(flow.log_prob(x, context), normal + log_det)

    def test_draws_carry_their_scores(self, flow):
        context = some_context(flow, 5)
        shape = (3,) if context is not None else (3, 5)
        draws, scores = flow.rsample_and_log_prob(shape, context)
        assert draws.shape == (3, 5, *flow.event_shape)
        torch.testing.assert_close(scores, flow.log_prob(draws, context), rtol=1e-9, atol=1e-9)

    def test_draws_with_and_without_gradients_are_the_same(self, flow):
        context = some_context(flow, 4)
        torch.manual_seed(1)
        with_gradients = flow.rsample((3,), context)
        torch.manual_seed(1)
        assert torch.equal(flow.sample((3,), context), with_gradients)

    def test_gradients_reach_every_parameter(self, flow):
        x, context = torch.randn(9, *flow.event_shape).double(), some_context(flow, 9)
        parameters = [parameter for parameter in flow.parameters() if parameter.requires_grad]
        scoring = torch.autograd.grad(flow.log_prob(x, context).sum(), parameters)
        drawing = torch.autograd.grad(flow.rsample((9,) if context is None else (), context).square().sum(), parameters)
        for gradient in (*scoring, *drawing):
            assert gradient.isfinite().all()
        assert all(bool(g.any() or d.any()) for g, d in zip(scoring, drawing, strict=True))

    def test_the_context_matters_to_the_first_number(self, flow):
        if flow.context_shape is None:
            pytest.skip("not conditional")
        x = torch.zeros(2, *flow.event_shape).double()
        z = flow.transform(x, some_context(flow, 2))[0].flatten(1)
        assert (z[0] != z[1]).all()

    def test_its_powers(self, flow):
        assert capabilities(flow) == {Density, Sampler, Reparameterized, Invertible}


@of_every_class
def test_the_plane_has_probability_one(make):
    flow = roughened(make(event_shape=(2,), transforms=2, hidden=(6,), activation="tanh"), std=0.3)
    axis = torch.linspace(-25, 25, 1201, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        mass = sum(flow.log_prob(part).exp().sum() for part in grid.split(200_000)) * (axis[1] - axis[0]) ** 2
    assert abs(float(mass) - 1) < 1e-6


@of_every_class
def test_draws_have_the_density(make):
    """Probabilities of eight parts of the plane, by counting draws and by scoring the cells of a grid."""
    flow = roughened(make(event_shape=(2,), transforms=2, hidden=(6,), activation="tanh"), std=0.3)
    n = 20_000
    draws = flow.sample((n,), generator=torch.Generator().manual_seed(0))
    axis = torch.linspace(-25, 25, 1200, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    middle = flow.units.location

    def part(points):
        right, upper = (points > middle).unbind(1)
        steep = (points[:, 1] - middle[1]).abs() > (points[:, 0] - middle[0]).abs()
        return 4 * right + 2 * upper + steep

    with torch.no_grad():
        cells = flow.log_prob(grid).exp() * (axis[1] - axis[0]) ** 2
    expected = torch.zeros(8).double().index_add(0, part(grid), cells)
    found = torch.bincount(part(draws), minlength=8).double() / n
    errors = (expected * (1 - expected) / n).sqrt()
    assert ((found - expected).abs() < 5 * errors + 2e-3).all()  # the rim of a part cuts through cells


@of_every_class
@given(data=st.data())
@settings(max_examples=15)
def test_shapes(make, data):
    event = data.draw(st.sampled_from([(2,), (5,), (1, 2, 2)]))
    context = data.draw(st.sampled_from([None, (), (3,), (2, 2)]))
    batch = data.draw(st.sampled_from([(), (4,), (2, 3), (0,)]))
    flow = make(event_shape=event, context_shape=context, transforms=2, hidden=(4,))
    c = None if context is None else torch.zeros((*batch, *context))
    x = torch.zeros((*batch, *event))
    for method in (flow.transform, flow.inverse):
        z, log_det = method(x, c)
        assert (z.shape, log_det.shape) == (x.shape, torch.Size(batch))
    assert flow.log_prob(x, c).shape == batch
    assert flow.sample((2,), c).shape == (2, *(batch if c is not None else ()), *event)
    if c is not None:  # one event at many contexts
        assert flow.transform(torch.zeros(event), c)[1].shape == batch


@of_every_class
class TestMessages:
    def test_wrong_shapes(self, make):
        flow = make(event_shape=(3,), context_shape=(2,), transforms=1, hidden=(4,))
        with pytest.raises(ShapeError, match=r"transform: expected x of shape \(\.\.\., 3\)"):
            flow.transform(torch.zeros(4), torch.zeros(2))
        with pytest.raises(ShapeError, match=r"inverse: expected z of shape \(\.\.\., 3\)"):
            flow.inverse(torch.zeros(4), torch.zeros(2))
        with pytest.raises(ShapeError, match=r"inverse: expected context of shape \(\.\.\., 2\)"):
            flow.inverse(torch.zeros(3), torch.zeros(5))
        with pytest.raises(ShapeError, match="inverse: expected a context"):
            flow.inverse(torch.zeros(3))

    def test_wrong_options(self, make):
        with pytest.raises(SupportError, match="expected a real support"):
            make(event_shape=(3,), support=constraints.boolean)
        with pytest.raises(ConfigurationError, match="at least one transform"):
            make(event_shape=(3,), transforms=0)
        with pytest.raises(ConfigurationError, match="hidden layer"):
            make(event_shape=(3,), hidden=())
        with pytest.raises(ConfigurationError, match="Did you mean 'relu'"):
            make(event_shape=(3,), activation="rellu")


def test_a_coupling_needs_two_numbers():
    with pytest.raises(ShapeError, match=r"at least two numbers; got shape \(1,\)\. Use flows/maf"):
        RealNVP(event_shape=(1,))


@of_every_class
class TestUnits:
    """A new flow is close to a Gaussian with location and scale of the first batch."""

    def batch(self):
        return Batch(torch.randn(500, 2) * torch.tensor([1e4, 1e-3]) + torch.tensor([5e4, 2.0]))

    def test_the_first_batch_sets_them(self, make):
        flow, batch = make(event_shape=(2,)), self.batch()
        flow.initialize(batch)
        gaussian = torch.distributions.Normal(batch.x.mean(0), batch.x.std(0, correction=0))
        gap = flow.log_prob(batch.x).mean() - gaussian.log_prob(batch.x).sum(1).mean()
        assert gap.abs() < 0.3
        assert flow.transform(batch.x)[0].std(0).sub(1).abs().max() < 0.3

    def test_later_batches_do_not(self, make):
        flow, batch = make(event_shape=(2,)), self.batch()
        flow.initialize(batch)
        before = {name: value.clone() for name, value in flow.state_dict().items()}
        flow.initialize(Batch(torch.randn(100, 2)))
        assert all(torch.equal(value, before[name]) for name, value in flow.state_dict().items())

    def test_they_are_saved(self, make):
        flow, other = make(event_shape=(2,)), make(event_shape=(2,))
        flow.initialize(self.batch())
        other.load_state_dict(flow.state_dict())
        assert torch.equal(other.log_prob(self.batch().x[:0]), flow.log_prob(self.batch().x[:0]))
        assert torch.equal(other.units.scale, flow.units.scale)


def test_a_number_that_does_not_vary_keeps_its_scale():
    units = Units(2)
    units.initialize(torch.tensor([[3.0, 1.0], [3.0, 2.0]]))
    assert units.location.tolist() == [3.0, 1.5]
    assert units.scale.tolist() == [1.0, 0.5]
    assert float(units.log_volume()) == pytest.approx(math.log(0.5))

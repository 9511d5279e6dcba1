"""What every model of the family must be: normalised, causal, its own sampler's law."""

from __future__ import annotations

import itertools
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.distributions import constraints

from probgen import (
    Autoregressive,
    Batch,
    CapabilityError,
    ConfigurationError,
    MaximumLikelihood,
    ShapeError,
)
from probgen.capabilities import capabilities
from probgen.supports import levels
from probgen.testing import Outcome, decide_samples
from probgen_autoregressive import examples
from probgen_autoregressive.linear import FVBN
from probgen_autoregressive.made import MADE
from probgen_autoregressive.nade import NADE

BUILDERS = {"linear": examples.linear, "made": examples.made, "nade": examples.nade}
ALL = [(family, name) for family, build in BUILDERS.items() for name in build()]
IN_ONE_ORDER = [pair for pair in ALL if pair != ("made", "masks-and-orders")]
FINITE = [pair for pair in ALL if "real" not in pair[1] and pair[1] != "gaussian"]
KINDS = {"linear": FVBN, "made": MADE, "nade": NADE}


def example(family, name):
    return BUILDERS[family]()[name].double()


def context_of(model, n):
    return None if model.context_shape is None else torch.randn(n, *model.context_shape, dtype=torch.float64)


def events_of(model):
    values = torch.arange(levels(model.support), dtype=torch.float64)
    return torch.cartesian_prod(*[values] * prod(model.event_shape)).reshape(-1, *model.event_shape)


def draws_of(model, n):
    context = context_of(model, n)
    return model.sample((n,) if context is None else (), context).double(), context


@pytest.mark.parametrize(("family", "name"), FINITE)
class TestFinite:
    def test_it_sums_to_one(self, family, name):
        model = example(family, name)
        context = context_of(model, 3)
        events = events_of(model)
        scores = model.log_prob(events, None if context is None else context[:, None])
        torch.testing.assert_close(scores.exp().sum(-1), torch.ones(scores.shape[:-1], dtype=torch.float64))

    def test_it_draws_from_what_it_scores(self, family, name):
        model = example(family, name)
        context = context_of(model, 1)
        verdict = decide_samples(model, model, context=None if context is None else context[0], seed=0)
        assert verdict.outcome is Outcome.CONFORMS, verdict

    def test_a_wrong_sampler_is_told_apart(self, family, name):
        model, other = example(family, name), example(family, name)
        with torch.no_grad():
            other.output_bias.add_(torch.arange(other.output_bias.shape[-1]) + 1.0)
        context = context_of(model, 1)
        verdict = decide_samples(other, model, context=None if context is None else context[0], seed=0)
        assert verdict.outcome is Outcome.FAILS


@pytest.mark.parametrize("family", list(BUILDERS))
class TestReal:
    def test_the_line_integrates_to_one_and_is_drawn_from(self, family):
        model = KINDS[family](event_shape=(1,), context_shape=None, support=constraints.real).double()
        torch.nn.init.normal_(model.output_bias, std=0.7)
        verdict = decide_samples(model, model, seed=0)
        assert verdict.outcome is Outcome.CONFORMS, verdict

    def test_the_plane_integrates_to_one(self, family):
        for name in ("real", "conditional-real"):
            model = example(family, name)
            for parameter in model.parameters():
                parameter.data.mul_(0.3)  # little is left beyond the grid
            grid = torch.linspace(-30, 30, 601, dtype=torch.float64)
            context = context_of(model, 1)
            with torch.no_grad():
                scores = model.log_prob(torch.cartesian_prod(grid, grid), context)
            torch.testing.assert_close(scores.exp().sum() * (60 / 600) ** 2, torch.tensor(1.0).double(), atol=1e-3, rtol=0)

    def test_the_second_entry_is_drawn_from_its_conditional(self, family):
        """Its probability integral transform, given the first, is uniform."""
        model = example(family, "real")
        torch.nn.init.normal_(model.output_bias, std=0.3)
        with torch.no_grad():
            draws = model.sample((200,))
            grid = torch.linspace(-40, 40, 2001, dtype=torch.float64)
            pairs = torch.stack([draws[:, :1].expand(-1, len(grid)), grid.expand(len(draws), -1)], -1)
            density = model.log_prob_terms(pairs)[..., 1].exp()
        uniform = (density * (grid <= draws[:, 1:])).sum(1) * (grid[1] - grid[0])
        assert abs(uniform.mean() - 0.5) < 5 * (1 / 12 / 200) ** 0.5
        assert abs(uniform.square().mean() - 1 / 3) < 5 * (4 / 45 / 200) ** 0.5


@pytest.mark.parametrize(("family", "name"), IN_ONE_ORDER)
class TestOrder:
    def test_terms_add_up(self, family, name):
        model = example(family, name)
        x, context = draws_of(model, 6)
        terms = model.log_prob_terms(x, context)
        assert terms.shape == (6, prod(model.event_shape))
        torch.testing.assert_close(terms.sum(-1), model.log_prob(x, context))

    def test_a_term_depends_on_nothing_that_comes_later(self, family, name):
        model = example(family, name)
        x, context = draws_of(model, 8)
        other, _ = draws_of(model, 8)
        terms = model.log_prob_terms(x, context)
        for place in range(len(model.order)):
            mixed, flat_other = x.reshape(8, -1).clone(), other.reshape(8, -1)
            later = model.order[place + 1 :]
            mixed[:, later] = flat_other[:, later]
            changed = model.log_prob_terms(mixed.reshape(x.shape), context)
            seen = model.order[: place + 1]
            assert torch.equal(changed[:, seen], terms[:, seen])

    def test_its_powers(self, family, name):
        assert Autoregressive in capabilities(example(family, name))


@pytest.mark.parametrize(("family", "name"), [pair for pair in IN_ONE_ORDER if pair[1] != "categorical"])
class TestJacobian:
    def test_a_term_depends_on_everything_that_comes_earlier(self, family, name):
        """The Jacobian of the terms is lower triangular in the order, and full below the diagonal."""
        model = example(family, name)
        x, context = draws_of(model, 16)
        x.requires_grad_()
        terms = model.log_prob_terms(x, context)
        rows = [torch.autograd.grad(t.sum(), x, retain_graph=True)[0].reshape(16, -1) for t in terms.unbind(-1)]
        jacobian = torch.stack(rows, 1)[:, model.order][:, :, model.order].abs().amax(0)
        size = len(model.order)
        assert not jacobian.triu(1).any()
        assert (jacobian + torch.ones(size, size).triu() > 0).all()


@pytest.mark.parametrize(("family", "name"), ALL)
class TestEveryKind:
    def test_it_trains(self, family, name):
        model = example(family, name)
        x, context = draws_of(model, 5)
        (phase,) = MaximumLikelihood().phases(model)
        estimate = phase(model, Batch(x, context), {})
        gradients = torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))
        assert all(g.isfinite().all() for g in gradients)
        assert len(gradients) == len(list(model.parameters()))

    def test_state_round_trips(self, family, name):
        first, second = example(family, name), example(family, name)
        torch.nn.init.normal_(second.output_bias)
        second.load_state_dict(first.state_dict())
        x, context = draws_of(first, 3)
        assert torch.equal(first.log_prob(x, context), second.log_prob(x, context))

    def test_draws_repeat_with_a_generator(self, family, name):
        model = example(family, name)
        context = context_of(model, 4)
        shape = (4,) if context is None else ()
        one, two = (model.sample(shape, context, generator=torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(one, two)

    def test_gradients_are_those_of_finite_differences(self, family, name):
        model = example(family, name)
        x, context = draws_of(model, 2)
        parameters = tuple(model.parameters())

        def scores(*values):
            named = dict(zip((name for name, _ in model.named_parameters()), values, strict=True))
            return torch.func.functional_call(_Scores(model), {f"model.{key}": v for key, v in named.items()}, (x, context))

        assert torch.autograd.gradcheck(scores, parameters, fast_mode=True)


class _Scores(torch.nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x, context):
        return self.model.log_prob(x, context)


@pytest.mark.parametrize("family", list(BUILDERS))
class TestShared:
    def test_the_context_matters(self, family):
        model = example(family, "conditional")
        x, context = draws_of(model, 4)
        assert (model.log_prob(x, context) != model.log_prob(x, -context)).all()
        first = model.log_prob_terms(x, context)[:, model.order[0]]
        assert (first != model.log_prob_terms(x, -context)[:, model.order[0]]).all()
        with pytest.raises(ShapeError, match=r"\.sample: .* got None"):
            model.sample((2,))

    def test_outside_the_support_there_is_nothing(self, family):
        model = example(family, "binary")
        x = torch.tensor([[0.0, 1.0, 0.0, 1.0], [0.5, 1.0, 0.0, 1.0]]).double()
        assert model.log_prob(x).isneginf().tolist() == [False, True]
        assert model.log_prob_terms(x).isneginf().all(-1).tolist() == [False, True]

    @settings(max_examples=15, deadline=None)
    @given(lead=st.lists(st.integers(0, 3), max_size=2), event=st.lists(st.integers(1, 3), max_size=2))
    def test_any_shape(self, family, lead, event):
        options = {} if family == "linear" else {"hidden": 3 if family == "nade" else (3,)}
        model = KINDS[family](event_shape=event, context_shape=(2,), support=constraints.boolean, **options)
        draws = model.sample((2,), torch.zeros(*lead, 2))
        assert draws.shape == (2, *lead, *event)
        assert model.log_prob(draws, torch.zeros(2)).shape == (2, *lead)
        assert model.log_prob_terms(draws, torch.zeros(*lead, 2)).shape == (2, *lead, prod(event))

    def test_whole_numbers_are_welcome(self, family):
        model = example(family, "categorical")
        x = torch.tensor([[[0, 1, 2]]])
        torch.testing.assert_close(model.log_prob(x), model.log_prob(x.double()))

    def test_an_unknown_support_or_order_is_refused(self, family):
        shapes = {"event_shape": (3,), "context_shape": None}
        with pytest.raises(CapabilityError, match="binary, categorical or real"):
            KINDS[family](**shapes, support=constraints.positive)
        with pytest.raises(ConfigurationError, match="order among natural, random"):
            KINDS[family](**shapes, support=constraints.boolean, order="backwards")

    def test_a_random_order_follows_from_its_seed(self, family):
        shapes = {"event_shape": (20,), "context_shape": None, "support": constraints.boolean, "order": "random"}
        seed = "mask_seed" if family == "made" else "order_seed"
        orders = [KINDS[family](**shapes, **{seed: value}).order.tolist() for value in (0, 0, 1)]
        assert orders[0] == orders[1] != orders[2]
        assert sorted(orders[2]) == list(range(20)) != orders[2]


@pytest.mark.parametrize("family", list(BUILDERS))
@pytest.mark.parametrize("support", ["binary", "categorical", "real"])
def test_initialisation_starts_at_the_marginals(family, support):
    model = example(family, support)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    x = 0.5 * torch.randn(50_000, *model.event_shape, dtype=torch.float64) + 1.0
    if support != "real":
        x = x.round().clamp(0, levels(model.support) - 1)
    model.initialize(Batch(x))
    draws = model.sample((50_000,))
    error = (x.var(0) / 50_000 + draws.var(0) / 50_000).sqrt()
    assert ((draws.mean(0) - x.mean(0)).abs() < 5 * error).all()
    assert ((draws.var(0) / x.var(0) - 1).abs() < 0.1).all()
    before = model.output_bias.clone()
    model.initialize(Batch(-x if support == "real" else 1 - x.clamp(0, 1)))
    assert torch.equal(model.output_bias, before), "what was set already stays"


def test_the_examples_are_small():
    for build, shape in itertools.product(BUILDERS.values(), [torch.Size([2]), torch.Size([4])]):
        models = build().values()
        assert shape in {model.event_shape for model in models}
        assert all(sum(p.numel() for p in model.parameters()) < 10_000 for model in models)

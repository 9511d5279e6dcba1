"""Properties of shapes: whatever is broadcast, flattened and restored, each event is scored with its own context."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.distributions import Bernoulli, Independent, Normal, constraints

from probgen import Density, Reparameterized, Sampler, ShapeError, as_model
from probgen.sampler import using_generator
from probgen.shapes import batch_shape_of

Shape = tuple[int, ...]

events = st.lists(st.integers(1, 3), max_size=3).map(tuple)
batches = st.lists(st.integers(0, 3), max_size=3).map(tuple)
contexts = st.none() | events


class Sums(Density, Reparameterized):
    """A fake whose score of an event tells which event and which context it was given, and that draws its context."""

    support = constraints.real

    def __init__(self, event_shape: Shape, context_shape: Shape | None) -> None:
        self.event_shape = torch.Size(event_shape)
        self.context_shape = None if context_shape is None else torch.Size(context_shape)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        assert x.shape == (len(x), *self.event_shape)
        scores = x.reshape(len(x), self.event_shape.numel()).sum(1)
        if context is None:
            return scores
        assert context.shape == (len(x), *self.context_shape)
        return scores + 1000 * context.reshape(len(x), self.context_shape.numel()).sum(1)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        level = torch.zeros(n) if context is None else context.reshape(n, self.context_shape.numel()).sum(1)
        return level.reshape(n, *[1] * len(self.event_shape)).expand(n, *self.event_shape).clone()


@st.composite
def broadcastable(draw: st.DrawFn) -> tuple[Shape, Shape]:
    """Draw two batch shapes that broadcast: axes set to 1, and leading axes left out."""
    whole = draw(batches)

    def smaller() -> Shape:
        kept = whole[draw(st.integers(0, len(whole))) :]
        return tuple(1 if draw(st.booleans()) else size for size in kept)

    return smaller(), smaller()


def numbered(shape: Shape) -> Tensor:
    """Return a tensor of the shape whose entries all differ."""
    return torch.arange(math.prod(shape), dtype=torch.float64).reshape(shape)


def total(x: Tensor, inner: Shape) -> Tensor:
    """Sum the last axes, those of `inner`, out."""
    return x.sum(tuple(range(x.ndim - len(inner), x.ndim))) if inner else x


@given(events, events, broadcastable())
def test_each_event_meets_its_own_context(event: Shape, context: Shape, batch: tuple[Shape, Shape]) -> None:
    x, c = numbered((*batch[0], *event)), numbered((*batch[1], *context))
    scores = Sums(event, context).log_prob(x, c)
    expected = total(x, event) + 1000 * total(c, context)
    assert scores.shape == torch.broadcast_shapes(*batch)
    assert torch.equal(scores, expected.expand(scores.shape))


@given(events, batches)
def test_a_batch_of_any_rank_is_flattened_and_restored(event: Shape, batch: Shape) -> None:
    x = numbered((*batch, *event))
    scores = Sums(event, None).log_prob(x)
    assert scores.shape == batch
    assert torch.equal(scores, total(x, event))


@given(batches, batches, events, contexts)
def test_draws_are_sample_then_batch_then_event(sample: Shape, batch: Shape, event: Shape, context: Shape | None) -> None:
    model = Sums(event, context)
    c = None if context is None else numbered((*batch, *context))
    shape = sample if context is None else (*sample, *batch)
    draws = model.sample(sample, c)
    assert draws.shape == (*shape, *event)
    level = torch.zeros(()) if context is None else total(c, context)
    assert torch.equal(draws, level.expand(shape).reshape((*shape, *[1] * len(event))).expand(draws.shape).to(draws))


@given(batches, batches, events, contexts)
def test_the_joint_draw_scores_what_it_drew(sample: Shape, batch: Shape, event: Shape, context: Shape | None) -> None:
    model = Sums(event, context)
    c = None if context is None else numbered((*batch, *context))
    draws, scores = model.rsample_and_log_prob(sample, c)
    assert torch.equal(scores, model.log_prob(draws, c))


@given(events, batches, st.data())
def test_a_wrong_last_axis_is_refused(event: Shape, batch: Shape, data: st.DataObject) -> None:
    event = (*event, 2)
    wrong = (*event[:-1], data.draw(st.sampled_from([0, 1, 3])))
    with pytest.raises(ShapeError, match=r"Sums\.log_prob: expected x of shape .*; got .*end in"):
        Sums(event, None).log_prob(torch.zeros(*batch, *wrong))


@given(events, batches)
def test_too_few_axes_are_refused(event: Shape, batch: Shape) -> None:
    with pytest.raises(ShapeError, match="expected context of shape"):
        Sums((), (2, *event)).log_prob(torch.zeros(batch), torch.zeros(event))


@given(st.integers(2, 4), st.integers(5, 7))
def test_batches_that_do_not_broadcast_are_refused(left: int, right: int) -> None:
    with pytest.raises(ShapeError, match="align from the right"):
        Sums((), ()).log_prob(torch.zeros(left), torch.zeros(right))


@given(batches, events)
def test_batch_shape_of_is_what_stands_before_the_event(batch: Shape, event: Shape) -> None:
    assert batch_shape_of(torch.zeros((*batch, *event)), torch.Size(event), "here", "x") == batch


def test_a_context_is_neither_missing_nor_superfluous() -> None:
    with pytest.raises(ShapeError, match=r"expected a context of shape .*; got None"):
        Sums((2,), (3,)).log_prob(torch.zeros(2))
    with pytest.raises(ShapeError, match="expected no context"):
        Sums((2,), None).log_prob(torch.zeros(2), torch.zeros(3))


def test_an_array_is_refused_by_name() -> None:
    with pytest.raises(ShapeError, match=r"expected x to be a tensor; got list\. Use torch\.as_tensor"):
        Sums((2,), None).log_prob([0.0, 1.0])  # type: ignore[arg-type]


@pytest.mark.parametrize("sample_shape", [3, (-1,), (2, -3)])
def test_a_sample_shape_is_a_tuple_of_sizes(sample_shape: object) -> None:
    with pytest.raises(ShapeError, match="expected sample_shape as a tuple of sizes"):
        Sums((), None).sample(sample_shape)  # type: ignore[arg-type]


def test_outside_the_support_the_density_is_zero() -> None:
    class Flat(Sums):
        support = constraints.boolean

        def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
            return torch.full((len(x),), -2 * math.log(2.0))

    x = torch.tensor([[[0.0, 1.0], [1.0, 1.0]], [[0.5, 1.0], [0.0, -1.0]]])
    scores = Flat((2,), None).log_prob(x)
    assert torch.isfinite(scores).tolist() == [[True, True], [False, False]]
    assert scores.exp()[1].tolist() == [0.0, 0.0]


class TestGenerator:
    """A generator replaces the global stream for one call, whatever does the drawing."""

    @pytest.fixture
    def model(self) -> Sampler:
        class Laplaces(Sampler):
            event_shape, context_shape, support = torch.Size(), None, constraints.real

            def _sample(self, n: int, context: Tensor | None) -> Tensor:
                return torch.distributions.Laplace(0.0, 1.0).sample((n,))  # takes no generator by itself

        return Laplaces()

    def test_the_same_seed_gives_the_same_draws(self, model: Sampler) -> None:
        first, second = (model.sample((4,), generator=torch.Generator().manual_seed(3)) for _ in range(2))
        assert torch.equal(first, second)

    def test_the_generator_moves_on(self, model: Sampler, generator: torch.Generator) -> None:
        assert not torch.equal(model.sample((4,), generator=generator), model.sample((4,), generator=generator))

    def test_the_global_stream_is_left_alone(self, model: Sampler, generator: torch.Generator) -> None:
        before = torch.get_rng_state()
        model.sample((4,), generator=generator)
        assert torch.equal(torch.get_rng_state(), before)

    def test_without_one_the_global_stream_is_used(self, model: Sampler) -> None:
        before = torch.get_rng_state()
        model.sample((4,))
        assert not torch.equal(torch.get_rng_state(), before)

    def test_the_global_stream_comes_back_after_an_error(self, generator: torch.Generator) -> None:
        before = torch.get_rng_state()

        def fail() -> None:
            with using_generator(generator):
                torch.rand(3)
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            fail()
        assert torch.equal(torch.get_rng_state(), before)


def test_samples_carry_no_gradient_and_reparameterised_ones_do() -> None:
    model, context = Sums((2,), ()), torch.ones(3, requires_grad=True)
    assert not model.sample((), context).requires_grad
    assert torch.equal(torch.autograd.grad(model.rsample((5,), context).sum(), context)[0], torch.full((3,), 10.0))


def test_a_score_that_is_not_one_number_an_event_is_refused() -> None:
    class Forgetful(Density):
        event_shape, context_shape, support = torch.Size([2]), None, constraints.real

        def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
            return -x.square()

    with pytest.raises(ShapeError, match=r"expected one number for each event, of shape \(5,\); got shape \(5, 2\)"):
        Forgetful().log_prob(torch.zeros(5, 2))


def test_numbers_of_another_type_are_named():
    class Affine(nn.Module, Density):
        event_shape, context_shape, support = torch.Size([2]), None, constraints.real

        def __init__(self):
            super().__init__()
            self.map = nn.Linear(2, 2)

        def _log_prob(self, x, context):
            return Normal(0.0, 1.0).log_prob(self.map(x)).sum(-1)

    double = torch.zeros(3, 2, dtype=torch.float64)
    with pytest.raises(ShapeError, match=r"log_prob: expected x of torch.float32, as .*; got torch.float64\. Use x\.to"):
        Affine().log_prob(double)
    assert Affine().double().log_prob(double).dtype == torch.float64


def test_a_mistake_of_the_author_stays_what_it_was():
    class Wrong(Density):
        event_shape, context_shape, support = torch.Size([2]), None, constraints.real

        def _log_prob(self, x, context):
            return x @ torch.zeros(3)

    with pytest.raises(RuntimeError, match="size mismatch"):
        Wrong().log_prob(torch.zeros(4, 2, dtype=torch.float64))


def test_not_a_number_has_no_score():
    score = as_model(Independent(Normal(torch.zeros(2), 1.0), 1)).log_prob(torch.tensor([[0.0, math.nan], [0.0, 0.0]]))
    assert score.isnan().tolist() == [True, False]
    assert as_model(Bernoulli(0.5)).log_prob(torch.tensor([math.nan])).item() == -math.inf

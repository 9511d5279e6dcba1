"""Writing over what nobody looks at any more: no bit changes, and nothing that is looked at is lost."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from probgen.execution import reuse
from probgen.execution.binding import bound
from probgen.execution.reuse import reuse_memory
from probgen.execution.tracing import copied, trace

X = torch.linspace(-2.0, 2.0, 12).reshape(3, 4)
Y = torch.linspace(0.5, 1.5, 12).reshape(3, 4)


def reused(program, *inputs: Tensor) -> int:
    """Return how many operations of a program write over an operand, after comparing its results and its inputs."""
    graph = trace(program, inputs)
    saving = copied(graph)
    count = reuse_memory(saving)
    given, kept = [tensor.clone() for tensor in inputs], [tensor.clone() for tensor in inputs]
    torch.manual_seed(3)
    expected = graph(*kept)
    torch.manual_seed(3)
    got = bound(saving)(*given)
    for one, other in zip([*expected, *kept], [*got, *given], strict=True):
        assert torch.equal(one, other)
        assert one.stride() == other.stride()
    addresses = {tensor.untyped_storage().data_ptr() for tensor in got}
    assert len(addresses) == len({tensor.untyped_storage().data_ptr() for tensor in expected}), "results have become one"
    return count


def test_a_chain_takes_one_tensor():
    assert reused(lambda x: [(x.exp() * 2 - 1).sigmoid().neg()], X) == 4


def test_inputs_are_not_written_over():
    assert reused(lambda x, y: [x.exp() + y], X, Y) == 1
    assert reused(lambda x, y: [x * y], X, Y) == 0


def test_constants_are_not_written_over():
    scale = Y.clone()
    assert reused(lambda x: [scale * x], X) == 0
    assert torch.equal(scale, Y)


def test_what_is_looked_at_later_is_not_written_over():
    def program(x):
        first = x.exp()
        second = first.tanh()
        return [second + 1, first.sum()]

    assert reused(program, X) == 1


def test_nor_what_is_returned():
    def program(x):
        first = x.exp()
        return [first, first.tanh()]

    assert reused(program, X) == 0


def test_nor_what_is_looked_at_by_another_name():
    def program(x):
        first = x.exp()
        turned = first.t()
        return [first + 1, turned.sum(0)]

    assert reused(program, X) == 0
    assert reused(lambda x: [(each := x.exp()) * each.t().t()[:, :].flip(0)], X) == 1  # of the flipped copy


def test_nor_a_part_of_another_tensor():
    assert reused(lambda x: [x.exp().split(1)[0].tanh()], X) == 0


def test_nor_what_has_another_layout_or_type():
    assert reused(lambda x: [x.exp()[:1].expand(3, 4) * 2], X) == 0
    assert reused(lambda x: [x.exp().double() * 2], X) == 1  # of the copy
    assert reused(lambda x: [x.exp() > 1], X) == 0


def test_the_other_operand_of_a_sum_or_a_product():
    assert reused(lambda x, y: [x * y.exp()], X, Y) == 1
    assert reused(lambda x, y: [x + y.exp()], X, Y) == 1
    assert reused(lambda x, y: [x - y.exp()], X, Y) == 0
    assert reused(lambda x, y: [torch.add(x, y.exp(), alpha=3)], X, Y) == 0


def test_derivatives_write_over_the_gradient():
    def program(x):
        x = x.detach().requires_grad_()
        return list(torch.autograd.grad((x.tanh() * 3).sigmoid().square().sum(), x))

    assert reused(program, X) >= 4


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
def test_products_with_numbers_round_as_before(dtype):
    mul, div = torch.ops.aten.mul.Scalar, torch.ops.aten.div.Scalar
    assert reused(lambda x: [div(mul(x.to(dtype).neg(), 1e-3), 0.7)], X) == (3 if dtype != X.dtype else 2)


def test_a_number_that_is_not_rounded_to_half_precision_stays_where_it_is():
    assert reused(lambda x, s: [s * x.to(torch.bfloat16).neg()], X, torch.tensor(0.3)) == 1


def test_nor_what_is_looked_at_by_a_part_that_does_not_say_so():
    def program(x):
        first = x.exp()
        one, *_ = torch.unsafe_split(first, 1)
        return [first + 1, one.sum()]

    assert reused(program, X) == 0


def test_complex_numbers_are_left_alone():
    """Vectorised and not, torch rounds them differently."""
    assert reused(lambda x: [(torch.complex(x, x).exp() * 2).abs()], X) == 0


def test_sparse_tensors_are_left_alone():
    graph = trace(lambda x: [(x.to_sparse() * 2).neg().to_dense()], [X])
    assert reuse_memory(graph) == 0


def test_draws_stay_as_they_are():
    assert reused(lambda x: [torch.rand_like(x.exp()) + torch.bernoulli(x.sigmoid())], X) == 1


STEPS = (
    torch.add,
    torch.mul,
    torch.sub,
    lambda a, _: a.tanh(),
    lambda a, _: a.sigmoid(),
    lambda a, _: a.t(),
    lambda a, _: a[:1].expand(4, 4) * 0.5,
    lambda a, b: a.clone().add_(b),
    lambda a, b: a.sum(0, keepdim=True) + b,
    lambda a, b: torch.cat(a.split(2)[::-1]) - b,
)


@st.composite
def programs(draw):
    """Return a program of a few elementwise operations, views, writes and sums over what came before."""
    lines = draw(
        st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 99), st.integers(0, 99)), min_size=1, max_size=12)
    )
    results = draw(st.lists(st.integers(0, 99), min_size=1, max_size=3))

    def run(x, y):
        values = [x, y]
        for step, one, other in lines:
            values.append(step(values[one % len(values)], values[other % len(values)]))
        return [values[number % len(values)].clone() for number in results] + [values[-1].cos()]

    return run


SQUARES = (torch.linspace(-1.0, 1.0, 16).reshape(4, 4), torch.linspace(0.1, 0.9, 16).reshape(4, 4))


@given(programs())
def test_any_program_keeps_its_bits(program):
    reused(program, *SQUARES)


def test_a_pass_that_overlooks_views_is_seen(monkeypatch):
    def program(x):
        first = x.exp()
        turned = first.t()
        return [first + 1, turned.sum(0)]

    monkeypatch.setattr(reuse, "_may_share", lambda node: False)
    with pytest.raises(AssertionError):
        reused(program, X)


def test_a_pass_that_overlooks_later_looks_is_seen(monkeypatch):
    monkeypatch.setattr(reuse._Lives, "ends_with", lambda self, operand, node: True)
    with pytest.raises(AssertionError):
        reused(lambda x: [(each := x.exp()) + 1, each.tanh()], X)

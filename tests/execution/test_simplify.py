"""Simplification of a graph: fewer operations, every bit as before, and nothing dropped that somebody could miss."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from probgen.execution import simplify as module
from probgen.execution.simplify import simplify
from probgen.execution.tracing import trace

SEED = 0


def operations(graph):
    return [node.target.__name__ for node in graph.graph.nodes if node.op == "call_function"]


def bits(tensor):
    """Return a tensor's bytes: NaN is then like NaN, and 0.0 unlike -0.0."""
    return tensor.detach().contiguous().view(torch.uint8).tolist()


def shared(tensors):
    """Return which tensors share memory with which, the ones that are given among them."""
    places = [tensor.untyped_storage().data_ptr() for tensor in tensors]
    return [places.index(place) for place in places]


def outcome(function, inputs):
    torch.manual_seed(SEED)
    inputs = [tensor.clone() for tensor in inputs]
    everything = [*inputs, *function(*inputs)]
    return [bits(tensor) for tensor in everything], [tensor.stride() for tensor in everything], shared(everything)


def check(program, *inputs):
    """Simplify a program's graph and return how often each simplification was used; results, writes, memory are the same."""
    graph = trace(program, inputs)
    expected = outcome(graph, inputs)
    used = simplify(graph)
    assert outcome(graph, inputs) == expected
    return used, operations(graph)


AWKWARD = torch.tensor([[-0.0, 0.0, 1e-40], [math.nan, math.inf, -2.5]])

DROPPED = {
    "view-of-all": (lambda x: [x.exp().expand(2, 3).log()], "view"),
    "there-and-back": (lambda x: [x.exp().t().t().log()], "view"),
    "unsqueezed-and-squeezed": (lambda x: [x.exp().unsqueeze(0).squeeze(0).log()], "view"),
    "reshaped-and-back": (lambda x: [x.exp().view(6).view(2, 3).log()], "view"),
    "times-one": (lambda x: [x.neg() * 1], "one"),
    "over-one": (lambda x: [x.neg() / 1.0], "one"),
    "first-power": (lambda x: [x.neg().pow(1)], "one"),
    "again": (lambda x: [(x.exp() + 1) * (x.exp() + 1)], "again"),
    "a-view-again": (lambda x: [x.t() @ x, x.t() + 1], "again"),
}


@pytest.mark.parametrize("name", DROPPED)
def test_what_computes_nothing_new_is_dropped(name):
    program, kind = DROPPED[name]
    used, _ = check(program, AWKWARD)
    assert used[kind] >= 1


KEPT = {
    "plus-zero": (lambda x: [x + 0], "add.Tensor"),  # makes 0.0 of -0.0
    "mean-of-one": (lambda x: [x.unsqueeze(0).mean(0)], "mean.dim"),
    "another-dtype": (lambda x: [x.to(torch.float64)], "_to_copy.default"),
    "another-layout": (lambda x: [x.exp().t().contiguous()], "clone.default"),
    "part-of-it": (lambda x: [x.exp()[:, 1:].log()], "slice.Tensor"),
    "the-same-shape-elsewhere": (lambda x: [x.flatten()[1:4].log() + x.flatten()[:3]], "slice.Tensor"),
    "true-division-of-integers": (lambda x: [x.isnan().long() / 1], "div.Tensor"),
    "a-returned-product-of-what-is-given": (lambda x: [x * 1], "mul.Tensor"),
    "a-returned-product-of-what-is-returned": (lambda x: [y := x.exp(), y * 1], "mul.Tensor"),
    "a-product-before-a-write": (lambda x: [y := x.exp(), y * 1, y.add_(1)], "mul.Tensor"),
    "copy": (lambda x: [y := x.exp(), y.clone(), y.add_(1)], "clone.default"),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_somebody_could_miss_is_kept(name):
    program, operation = KEPT[name]
    _, left = check(program, AWKWARD)
    assert operation in left


def test_draws_that_look_alike_are_kept():
    _, left = check(lambda x: [torch.rand_like(x), torch.rand_like(x), torch.bernoulli(x.isnan() / 2)], AWKWARD)
    assert left.count("rand_like.default") == 2
    assert left.count("bernoulli.default") == 1


def test_zeros_of_either_sign_are_different_numbers():
    used, _ = check(lambda x: [torch.copysign(x, 0.0) + torch.copysign(x, -0.0)], AWKWARD)
    assert used["again"] == 0


def test_memory_that_is_written_to_is_read_when_the_program_read_it():
    def program(x, buffer):
        before, product = buffer + 1, buffer * 1
        buffer.add_(x)
        return [before * (buffer + 1), product]

    used, _ = check(program, AWKWARD, torch.ones(2, 3))
    assert used["again"] == used["one"] == 0


def test_running_statistics_count_as_written():
    """Normalisation over a batch writes to its arguments, which its signature does not say."""

    def program(x, mean, variance):
        before = mean * 1
        y = torch.nn.functional.batch_norm(x, mean, variance, training=True)
        return [before + mean.exp(), y]

    check(program, torch.arange(6.0).view(2, 3), torch.zeros(3), torch.ones(3))


def _grown(program):
    """Return a program of tensors from a list of (operation, operand) choices, each applied to what there is so far."""

    def run(x, buffer):
        known = [x, buffer]
        for operation, first, second in program:
            left, right = known[first % len(known)], known[second % len(known)]
            known.append(OPERATIONS[operation](left, right))
        return known[2:]

    return run


OPERATIONS = {
    "exp": lambda a, b: a.exp(),
    "add": lambda a, b: a + b,
    "times one": lambda a, b: a * 1,
    "transpose": lambda a, b: a.t(),
    "expand": lambda a, b: a.expand(2, 2),
    "split": lambda a, b: a.reshape(4).view(2, 2),
    "clone": lambda a, b: a.clone(),
    "contiguous": lambda a, b: a.contiguous(),
    "row": lambda a, b: a[:1].expand(2, 2),
    "write": lambda a, b: a.add_(b) if a._base is None or a.stride() == (2, 1) else a + b,
    "fill": lambda a, b: a.zero_() if 0 not in a.stride() else a.neg(),
    "draw": lambda a, b: torch.rand_like(a),
    "detach": lambda a, b: a.detach(),
}


def programs():
    step = st.tuples(st.sampled_from(sorted(OPERATIONS)), st.integers(0, 20), st.integers(0, 20))
    return st.lists(step, min_size=1, max_size=12)


def _writable(program):
    """Whether torch itself takes the program: it refuses to write to memory that an expanded tensor shares."""
    try:
        _grown(program)(torch.ones(2, 2), torch.ones(2, 2))
    except RuntimeError:
        return False
    return True


@settings(max_examples=150, deadline=None)
@given(programs().filter(_writable))
def test_every_program_keeps_its_results_writes_and_memory(program):
    check(_grown(program), torch.tensor([[-0.0, 2.0], [0.5, -1.0]]), torch.tensor([[1.0, -3.0], [0.25, 4.0]]))


def test_programs_catch_a_careless_simplification(monkeypatch):
    """The wrong twin: one that lets a product go though its factor is written to."""
    monkeypatch.setattr(module._Memory, "allows", lambda self, node, same: True)
    with pytest.raises(AssertionError):
        check(lambda x: [y := x.exp(), y * 1, y.add_(1)], AWKWARD)

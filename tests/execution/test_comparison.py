"""What is compared before a graph is used: bits before rewrites, rounding after them; and wrong twins that must not pass."""

import dataclasses

import pytest
import torch
import torch._inductor
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from probgen import Batch, Estimate, Phase
from probgen.errors import StagingError
from probgen.execution import StagedPhase, rewrites, staged
from probgen.execution.comparison import agree, agree_somewhere, rewritten_agrees
from probgen.execution.reach import Reach
from probgen.execution.rewrites import Rewrite, rewrite


def run(model, batch, state):
    hidden = torch.bernoulli(torch.sigmoid(model(batch.x)).detach())
    value = (model(batch.x) * hidden).square().mean()
    return Estimate(value, value.detach())


def a_phase(**options):
    torch.manual_seed(0)
    model = nn.Linear(3, 3)
    phase = Phase("main", dict(model.named_parameters()), estimate=run)
    return StagedPhase(phase, model, None, list(model.parameters()), **options)


def squares_a_little_off(graph, node):
    return graph.call_function(torch.ops.aten.pow.Tensor_Scalar, (node.args[0], 2.001))


def squares_by_a_product(graph, node):
    return graph.call_function(torch.ops.aten.mul.Tensor, (node.args[0], node.args[0]))


def with_rule(monkeypatch, replace):
    rule = Rewrite("square", frozenset({torch.ops.aten.pow.Tensor_Scalar}), lambda node: node.args[1] == 2, replace)
    monkeypatch.setattr(rewrites, "REWRITES", (*rewrites.REWRITES, rule))


def test_a_wrong_rewrite_is_refused(monkeypatch):
    with_rule(monkeypatch, squares_a_little_off)
    with pytest.raises(StagingError, match="same numbers after rewriting operations of its graph"):
        a_phase()(Batch(torch.randn(8, 3)), {})


def test_a_right_rewrite_is_used(monkeypatch):
    with_rule(monkeypatch, squares_by_a_product)
    a_phase()(Batch(torch.randn(8, 3)), {})


def test_several_results_of_an_operation_are_compared():
    """A largest entry comes with the place where it was, a whole number, and what is held is that place."""
    torch.manual_seed(0)
    x = torch.randn(2, 4, 8, 8)

    def program(x):
        pooled, places = torch.nn.functional.max_pool2d(x, 2, return_indices=True)
        return [torch.bernoulli(pooled.sigmoid()), places]

    graph = make_fx(program, tracing_mode="fake")(x)
    other = make_fx(program, tracing_mode="fake")(x)
    assert rewrite(other)["bernoulli"] == 1
    assert rewritten_agrees(graph, other, [x], Reach({}), gradients=0)


def test_a_compiler_that_fails_is_named(monkeypatch):
    def compile(*arguments, **options):
        raise RuntimeError("No working C++ compiler found.")

    monkeypatch.setattr(torch._inductor, "compile", compile)
    with pytest.raises(StagingError, match=r"RuntimeError: No working C\+\+ compiler found\. It needs a C\+\+ compiler"):
        a_phase(compiler="inductor")(Batch(torch.randn(8, 3)), {})


def test_a_wrong_compiler_is_refused(monkeypatch):
    def compiled(graph, inputs):
        return lambda *inputs: [1.001 * tensor for tensor in graph(*inputs)]

    monkeypatch.setattr(staged, "compiled", compiled)
    with pytest.raises(StagingError, match="same numbers after compiling its graph"):
        a_phase(compiler="inductor")(Batch(torch.randn(8, 3)), {})


def test_a_graph_that_differs_in_the_last_bit_is_refused(monkeypatch):
    recorded = staged.trace

    def almost(program, inputs):
        graph = recorded(program, inputs)
        inner = graph.forward
        monkeypatch.setattr(graph, "forward", lambda *given: [tensor * (1 + 2e-7) for tensor in inner(*given)])
        return graph

    monkeypatch.setattr(staged, "trace", almost)
    with pytest.raises(StagingError, match="a function of tensors"):
        a_phase(rewrites=False)(Batch(torch.randn(8, 3)), {})


def tossed_later(graph, node):
    graph.call_function(torch.ops.aten.rand_like.default, (node.args[0],))
    return rewrites._compare_with_uniform(graph, node)


def test_draws_are_held_when_coins_are_tossed_otherwise(monkeypatch):
    def program(p):
        coins = torch.bernoulli(p)
        return [coins, coins.sum(), torch.randn(3)]

    rule = dataclasses.replace(rewrites.REWRITES[0], replace=tossed_later)
    monkeypatch.setattr(rewrites, "REWRITES", (rule,))
    p = torch.full((100,), 0.3)
    graph, other = (make_fx(program, tracing_mode="fake")(p) for _ in range(2))
    assert rewrite(other)["bernoulli"] == 1
    reach = Reach({})
    assert rewritten_agrees(graph, other, [p], reach, gradients=0)
    assert not agree_somewhere(graph.forward, other.forward, [p], reach, gradients=0), "they do draw otherwise"


def test_sizes_of_errors():
    big, small = torch.tensor([100.0, 1.0]), torch.tensor([1e-9, 0.0])
    noise = [big * (1 + 5e-6), small + 1e-9]
    assert agree([big, small], noise, gradients=2, tolerance=1e-5), "a gradient that is zero but for rounding"
    assert not agree([big, small], noise, gradients=0, tolerance=1e-5)
    assert not agree([big], [big * (1 + 1e-7)], gradients=1, tolerance=0.0)
    nan = torch.tensor([torch.nan, 1.0])
    assert agree([nan], [nan.clone()], gradients=0, tolerance=0.0)
    assert not agree([big], [big.double()], gradients=0, tolerance=1e-5)
    assert not agree([big], [big[:1]], gradients=0, tolerance=1e-5)


def test_what_a_program_writes_to_its_inputs_is_compared_and_put_back():
    @dataclasses.dataclass
    class Seen:
        count: torch.Tensor

    def counts(model, batch, state):
        seen.count.add_(1)
        value = model(batch.x).square().mean()
        return Estimate(value, value.detach())

    seen = Seen(torch.zeros(()))
    model = nn.Linear(3, 3)
    phase = Phase("main", dict(model.named_parameters()), estimate=counts)
    step = StagedPhase(phase, model, seen, list(model.parameters()))
    for expected in (1, 2, 3):
        step(Batch(torch.randn(8, 3)), {})
        assert seen.count == expected

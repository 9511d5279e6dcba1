"""A compiled graph does what the graph does: results, draws, writes, and constants as they are at each run."""

import pytest
import torch

from probgen.execution.compiling import compiled
from probgen.execution.tracing import trace

pytestmark = pytest.mark.slow

CONSTANT = torch.tensor([1.0, 2.0, 3.0])


def program(x, buffer):
    buffer.add_(x.mean(0))
    return [(x * CONSTANT).exp() + torch.rand_like(x), torch.bernoulli(x.sigmoid()) @ buffer]


def outcomes(run, x, buffer):
    torch.manual_seed(3)
    buffer = buffer.clone()
    with torch.no_grad():
        return [*run(x, buffer), buffer]


@pytest.fixture(scope="module")
def runs():
    inputs = [torch.ones(4, 3), torch.zeros(3)]
    graph = trace(program, inputs)
    before = graph.code
    run = compiled(graph, inputs)
    assert graph.code == before
    return graph, run


def test_it_does_what_the_graph_does(runs):
    x, buffer = torch.randn(4, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([1.0, -1.0, 0.5])
    for expected, got in zip(*(outcomes(run, x, buffer) for run in runs), strict=True):
        torch.testing.assert_close(got, expected)


def test_constants_are_read_where_they_are(runs):
    """Inductor builds small constants into its code; one that somebody writes to would then stay as it was."""
    x, buffer = torch.ones(4, 3), torch.zeros(3)
    first = outcomes(runs[1], x, buffer)[0]
    CONSTANT.mul_(2)
    try:
        expected, got = (outcomes(run, x, buffer)[0] for run in runs)
    finally:
        CONSTANT.div_(2)
    torch.testing.assert_close(got, expected)
    assert (got > first + 1).all()


def test_half_precision_is_rounded_where_the_graph_rounds():
    def halved(x):
        return [(x.bfloat16().mul(1.1).tanh() - x.bfloat16()).exp().float()]

    x = torch.linspace(-3, 3, 1000).bfloat16().float()
    graph = trace(halved, [x])
    expected, got = graph(x)[0], compiled(graph, [x])(x)[0]
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    whole = (x.mul(1.1).tanh() - x).exp()
    assert (whole - expected).abs().max() > 1e-3

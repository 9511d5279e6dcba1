"""Rewrites of a graph: the same law, the same numbers to rounding, and nothing where they do not pay."""

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from probgen.execution import rewrites
from probgen.execution.rewrites import rewrite

SEED = 0


def recorded(function, *inputs):
    return make_fx(function, tracing_mode="fake")(*inputs)


def test_coins_keep_their_law():
    p = torch.tensor([0.0, 0.02, 0.5, 0.9, 1.0])
    graph = recorded(lambda p: [torch.bernoulli(p.expand(1000, 5))], p)
    assert rewrite(graph)["bernoulli"] == 1
    torch.manual_seed(SEED)
    draws = torch.stack([graph(p)[0] for _ in range(40)]).flatten(0, 1)
    assert draws.dtype == p.dtype
    assert set(draws.unique().tolist()) == {0.0, 1.0}
    error = (p * (1 - p) / len(draws)).sqrt()
    assert ((draws.mean(0) - p).abs() <= 5 * error).all()


def test_coins_lie_as_they_did():
    p = torch.rand(3, 4)
    graph = recorded(lambda p: [torch.bernoulli(p.t()).reshape(-1)], p)
    assert rewrite(graph)["bernoulli"] == 1
    assert graph(p)[0].shape == (12,)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_rare_coins_in_half_precision(dtype):
    """Its own uniform numbers are multiples of 2^-8 or 2^-11, too coarse for them."""
    p = torch.full((1_000_000,), 2e-4, dtype=dtype)
    graph = recorded(lambda p: [torch.bernoulli(p)], p)
    assert rewrite(graph)["bernoulli"] == 1
    torch.manual_seed(SEED)
    draws = graph(p)[0]
    assert draws.dtype == dtype
    mean = draws.float().mean()
    assert abs(mean - p[0]) < 5 * (p[0].float() / len(p)).sqrt()


def test_unused_draws_stay():
    """Those after an unused draw would otherwise be others than the program's."""

    def program(x):
        torch.rand(3)
        return [x + torch.rand(3)]

    graph = recorded(program, torch.zeros(3))
    rewrite(graph)
    torch.manual_seed(1)
    expected = program(torch.zeros(3))[0]
    torch.manual_seed(1)
    assert torch.equal(graph(torch.zeros(3))[0], expected)


@pytest.fixture
def everywhere(monkeypatch):
    monkeypatch.setattr(rewrites, "_has_fast_onednn", lambda: True)
    monkeypatch.setattr(rewrites, "_WORTHWHILE", 1)


def layer(x, weight, bias):
    y = torch.nn.functional.linear(x, weight, bias).relu()
    return [y, *torch.autograd.grad(y.square().sum(), (x, weight, bias))]


def test_linear_layers_on_onednn(everywhere):
    generator = torch.Generator().manual_seed(SEED)
    x, weight, bias = (torch.randn(shape, generator=generator).requires_grad_() for shape in ((7, 5), (6, 5), (6,)))
    graph = recorded(layer, x, weight, bias)
    used = rewrite(graph)
    assert (used["addmm"], used["mm"]) == (1, 2)
    with torch.no_grad():
        answers = graph(x, weight, bias)
    for expected, got in zip(layer(x, weight, bias), answers, strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
def test_other_precisions_are_left_alone(everywhere, dtype):
    inputs = [torch.ones(shape, dtype=dtype).requires_grad_() for shape in ((7, 5), (6, 5), (6,))]
    used = rewrite(recorded(layer, *inputs))
    assert used["addmm"] == used["mm"] == 0


def test_small_products_are_left_alone(everywhere, monkeypatch):
    monkeypatch.setattr(rewrites, "_WORTHWHILE", 10**9)
    used = rewrite(recorded(layer, *(torch.ones(shape).requires_grad_() for shape in ((7, 5), (6, 5), (6,)))))
    assert used["addmm"] == used["mm"] == 0


def forward_of(layer):
    names = [name for name, _ in layer.named_parameters()]
    return lambda x, *parameters: [torch.func.functional_call(layer, dict(zip(names, parameters, strict=True)), (x,))]


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("kernel", [(4, 2, 1, 0), (3, 2, 1, 1), (5, 1, 0, 0)], ids=str)
def test_transposed_convolutions_to_few_channels(kernel, bias):
    size, stride, padding, output_padding = kernel
    generator = torch.Generator().manual_seed(SEED)
    layer = torch.nn.ConvTranspose2d(64, 2, size, stride, padding, output_padding, bias=bias)
    x = torch.randn(3, 64, 7, 5, generator=generator)

    def program(x, *parameters):
        [y] = forward_of(layer)(x, *parameters)
        return [y, *torch.autograd.grad(y.square().sum(), parameters)]

    parameters = list(layer.parameters())
    graph = recorded(program, x, *parameters)
    assert rewrite(graph)["narrow"] == 1
    with torch.no_grad():
        answers = graph(x, *parameters)
    for expected, got in zip(program(x, *parameters), answers, strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("layer", "channels"),
    [
        (torch.nn.ConvTranspose2d(64, 8, 4), 64),
        (torch.nn.ConvTranspose2d(64, 2, 4, groups=2), 64),
        (torch.nn.ConvTranspose2d(64, 2, 4, dilation=2), 64),
        (torch.nn.ConvTranspose2d(64, 2, 4).double(), 64),
        (torch.nn.Conv2d(2, 64, 4), 2),
    ],
    ids=["wide", "groups", "dilation", "double", "forward"],
)
def test_other_convolutions_are_left_alone(layer, channels):
    x = torch.zeros(3, channels, 7, 7, dtype=layer.weight.dtype)
    assert rewrite(recorded(forward_of(layer), x, *layer.parameters()))["narrow"] == 0


def slopes_of(layer):
    return lambda x, *parameters: [*torch.autograd.grad(forward_of(layer)(x, *parameters)[0].square().sum(), x)]


@pytest.mark.parametrize("kernel", [(4, 2, 1), (3, 2, 0), (5, 1, 2)], ids=str)
@pytest.mark.parametrize("penalised", [False, True])
def test_the_slope_by_few_channels(kernel, penalised):
    generator = torch.Generator().manual_seed(SEED)
    layer = torch.nn.Conv2d(2, 64, *kernel)
    x = torch.randn(3, 2, 9, 8, generator=generator).requires_grad_()

    def program(x, *parameters):
        y = forward_of(layer)(x, *parameters)[0].tanh().sum()
        slopes = torch.autograd.grad(y, x, create_graph=penalised)
        return [*slopes, *torch.autograd.grad(slopes[0].square().sum(), parameters)] if penalised else [*slopes]

    parameters = list(layer.parameters())
    graph = recorded(program, x, *parameters)
    assert rewrite(graph)["narrow-slope"] == 1
    if not penalised:
        assert not any("convolution_backward" in str(node.target) for node in graph.graph.nodes)
    with torch.no_grad():
        answers = graph(x, *parameters)
    for expected, got in zip(program(x, *parameters), answers, strict=True):
        torch.testing.assert_close(got, expected.detach(), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    "layer",
    [
        torch.nn.Conv2d(8, 64, 4),
        torch.nn.Conv2d(2, 64, 4, groups=2),
        torch.nn.Conv2d(2, 64, 4, dilation=2),
        torch.nn.Conv2d(2, 64, 4).double(),
        torch.nn.ConvTranspose2d(64, 2, 4),
    ],
    ids=["wide", "groups", "dilation", "double", "transposed"],
)
def test_other_slopes_are_left_alone(layer):
    x = torch.zeros(3, layer.in_channels, 7, 7, dtype=layer.weight.dtype, requires_grad=True)
    assert rewrite(recorded(slopes_of(layer), x, *layer.parameters()))["narrow-slope"] == 0


def test_a_slope_that_comes_with_the_weights_gradient_is_left_alone():
    layer = torch.nn.Conv2d(2, 64, 4)
    x = torch.zeros(3, 2, 7, 7, requires_grad=True)

    def program(x, *parameters):
        return [*torch.autograd.grad(forward_of(layer)(x, *parameters)[0].sum(), [x, *parameters])]

    assert rewrite(recorded(program, x, *layer.parameters()))["narrow-slope"] == 0


def test_no_rows_at_all():
    layer = torch.nn.ConvTranspose2d(64, 1, 4)
    x = torch.zeros(0, 64, 7, 7)
    graph = recorded(forward_of(layer), x, *layer.parameters())
    rewrite(graph)
    with torch.no_grad():
        assert graph(x, *layer.parameters())[0].shape == (0, 1, 10, 10)
    layer = torch.nn.Conv2d(1, 64, 4)
    x = torch.zeros(0, 1, 7, 7, requires_grad=True)
    graph = recorded(slopes_of(layer), x, *layer.parameters())
    assert rewrite(graph)["narrow-slope"] == 1
    with torch.no_grad():
        assert graph(x, *layer.parameters())[0].shape == (0, 1, 7, 7)


def test_where_a_graph_is_compiled_convolutions_are_left_alone():
    layer = torch.nn.ConvTranspose2d(64, 1, 4)
    graph = recorded(forward_of(layer), torch.zeros(3, 64, 7, 7), *layer.parameters())
    assert not {"narrow", "narrow-slope"} & rewrite(graph, compiled=True).keys()

"""Every function that stands for an overload takes its arguments and gives its bits."""

import pytest
import torch

from probgen.execution.binding import FUNCTIONS, METHODS, bound
from probgen.execution.tracing import trace

aten = torch.ops.aten
X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))
POSITIVE, ROW, SQUARE, CUBE = X.square() + 0.1, X[0], X @ X.t(), X.expand(2, 3, 4).contiguous()

CALLS = {
    aten.add.Tensor: [((X, ROW), {}), ((X, 0.1), {}), ((X, X), {"alpha": 0.3}), ((X.half(), 1e-3), {})],
    aten.addcmul.default: [((X, X, ROW), {}), ((X, X, ROW), {"value": -0.3})],
    aten.addmm.default: [((ROW, SQUARE, X), {}), ((ROW, SQUARE, X), {"beta": 0, "alpha": -1})],
    aten.bmm.default: [((CUBE, CUBE.mT), {})],
    aten.cat.default: [(([X, SQUARE], 1), {}), (([X, X],), {})],
    aten.clamp.default: [((X, -0.1, 0.2), {}), ((X, None, 0.2), {}), ((X, 0.0), {})],
    aten.cos.default: [((X,), {})],
    aten.div.Scalar: [((X, 3), {}), ((X.long(), 3), {})],
    aten.div.Tensor: [((X, ROW), {}), ((X, 0.3), {})],
    aten.exp.default: [((X,), {})],
    aten.ge.Scalar: [((X, 0.1), {})],
    aten.le.Scalar: [((X, 0.1), {})],
    aten.log.default: [((POSITIVE,), {})],
    aten.logsumexp.default: [((X, [1]), {}), ((X, [0, 1], True), {})],
    aten.lt.Tensor: [((X, ROW), {})],
    aten.mean.default: [((X,), {}), ((X,), {"dtype": torch.float64})],
    aten.mean.dim: [((X, [0]), {}), ((X, [1], True), {})],
    aten.mm.default: [((SQUARE, X), {})],
    aten.mul.Scalar: [((X, 2.5), {}), ((X.half(), 1e-3), {})],
    aten.mul.Tensor: [((X, ROW), {}), ((X, 0.3), {}), ((X, torch.tensor(0.3, dtype=torch.float64)), {})],
    aten.mv.default: [((X, ROW), {})],
    aten.neg.default: [((X,), {})],
    aten.permute.default: [((CUBE, [2, 0, 1]), {})],
    aten.pow.Tensor_Scalar: [((X, 2), {}), ((POSITIVE, -0.5), {})],
    aten.relu.default: [((X,), {})],
    aten.select.int: [((CUBE, -1, 2), {})],
    aten.sigmoid.default: [((X,), {})],
    aten.sin.default: [((X,), {})],
    aten.split.Tensor: [((X, 3, 1), {}), ((X, 2), {})],
    aten.sqrt.default: [((POSITIVE,), {})],
    aten.squeeze.dim: [((X[:1], 0), {}), ((X, 0), {})],
    aten.stack.default: [(([X, X], 1), {}), (([X, X],), {})],
    aten.sub.Tensor: [((X, ROW), {}), ((X, 0.1), {}), ((X, X), {"alpha": 2})],
    aten.sum.default: [((X,), {}), ((X > 0,), {}), ((X,), {"dtype": torch.float64})],
    aten.sum.dim_IntList: [((X, [0]), {}), ((X, [0, 1], True), {}), ((X, []), {}), ((X, None), {})],
    aten.t.default: [((X,), {}), ((ROW,), {})],
    aten.tanh.default: [((X,), {})],
    aten.transpose.int: [((CUBE, 0, -1), {})],
    aten.unbind.int: [((X,), {}), ((X, 1), {})],
    aten.unsqueeze.default: [((X, -1), {})],
    aten.where.self: [((X > 0, X, ROW), {})],
    aten.add_.Tensor: [((X, ROW), {}), ((X, 0.1), {}), ((X, ROW), {"alpha": 0.3})],
    aten.addcmul_.default: [((X, X, ROW), {"value": -0.3})],
    aten.addmm_.default: [((X, SQUARE, X), {}), ((X, SQUARE, X), {"beta": 0.5, "alpha": -1})],
    aten.copy_.default: [((X, ROW), {}), ((X, ROW.double(), True), {})],
    aten.div_.Tensor: [((X, ROW), {}), ((X, 0.3), {})],
    aten.exp_.default: [((X,), {})],
    aten.log_.default: [((POSITIVE,), {})],
    aten.lt_.Tensor: [((X, ROW), {})],
    aten.mul_.Tensor: [((X, ROW), {}), ((X, 0.3), {})],
    aten.neg_.default: [((X,), {})],
    aten.relu_.default: [((X,), {})],
    aten.sigmoid_.default: [((X,), {})],
    aten.sub_.Tensor: [((X, ROW), {}), ((X, 0.1), {}), ((X, X.clone()), {"alpha": 2})],
    aten.tanh_.default: [((X,), {})],
    aten.expand.default: [((ROW, [3, 4]), {}), ((ROW, [2, -1]), {})],
    aten.view.default: [((X, [12]), {}), ((X, [2, -1]), {})],
}


def test_every_overload_has_its_calls():
    assert CALLS.keys() == FUNCTIONS.keys() | METHODS.keys()


def fresh(arguments):
    return [argument.clone() if isinstance(argument, torch.Tensor) else argument for argument in arguments]


def described(result):
    tensors = result if isinstance(result, list | tuple) else [result]
    return [(tensor.dtype, tensor.stride(), tensor.tolist()) for tensor in tensors]


@pytest.mark.parametrize("overload", CALLS, ids=str)
def test_a_function_gives_what_its_overload_gives(overload):
    function = FUNCTIONS.get(overload) or getattr(torch.Tensor, METHODS[overload])
    for arguments, options in CALLS[overload]:
        expected, got = overload(*fresh(arguments), **options), function(*fresh(arguments), **options)
        assert described(got) == described(expected)


def test_a_bound_graph_gives_the_same_and_leaves_the_other_alone():
    graph = trace(lambda x: [x.mul_(2), (x @ x.t()).exp().sum(0).view(3, 1) + torch.rand(3, 1)], [X.clone()])
    code = graph.code
    outcomes = []
    for run in (graph, bound(graph)):
        torch.manual_seed(0)
        x = X.clone()
        outcomes.append(described([*run(x), x]))
    assert outcomes[0] == outcomes[1]
    assert graph.code == code

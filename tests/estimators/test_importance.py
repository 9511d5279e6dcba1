"""The multi-particle bound and its weights: torch's numbers, but for weights that no sum shows."""

import math

import torch

from probgen.estimators.importance import log_mean_exp, normalised_weights

SMALLEST_NORMAL = torch.finfo(torch.float32).tiny


def a_spread(dtype=torch.float64):
    """Log-weights from equal ones to those that underflow."""
    return torch.tensor([[0.0, -3.0, 700.0], [-0.5, -40.0, -700.0], [0.2, -95.0, 655.0]], dtype=dtype).requires_grad_()


def plainly(log_weights):
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def test_value_and_gradient_are_those_of_the_plain_formula():
    log_weights = a_spread()
    expected, got = plainly(log_weights), log_mean_exp(log_weights)
    assert torch.equal(got, expected)
    for one, other in zip(*(torch.autograd.grad(bound.sum(), log_weights) for bound in (expected, got)), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-12, atol=1e-20)


def test_second_derivatives():
    weights = [a_spread(), a_spread()]
    curvatures = []
    for log_weights, bound in zip(weights, (plainly, log_mean_exp), strict=True):
        (slope,) = torch.autograd.grad(bound(log_weights).sum(), log_weights, create_graph=True)
        curvatures.append(torch.autograd.grad(slope.square().sum(), log_weights)[0])
    torch.testing.assert_close(*curvatures, rtol=1e-12, atol=1e-20)


def test_under_vmap():
    many = torch.stack([a_spread().detach(), -a_spread().detach()])
    slopes = torch.func.vmap(torch.func.grad(lambda one: log_mean_exp(one).sum()))(many)
    torch.testing.assert_close(slopes, many.softmax(1), rtol=1e-12, atol=1e-20)


def subnormal(tensor):
    return int(((tensor != 0) & (tensor.abs() < SMALLEST_NORMAL)).sum())


def test_gradients_hold_no_subnormal_weights():
    """The plain formula, here the wrong twin, has them: processors are a hundred times slower with them."""
    log_weights = a_spread(torch.float32)
    slopes = [torch.autograd.grad(bound(log_weights).sum(), log_weights)[0] for bound in (plainly, log_mean_exp)]
    assert subnormal(slopes[0]) == 1
    assert subnormal(slopes[1]) == 0
    assert subnormal(normalised_weights(log_weights.detach(), 2)) == 0


def test_weights_that_are_zero_or_not_numbers():
    inf = math.inf
    bounds = log_mean_exp(torch.tensor([[0.0, -inf, inf, math.nan], [-inf, -inf, 0.0, 0.0]]))
    torch.testing.assert_close(bounds, torch.tensor([-math.log(2), -inf, inf, math.nan]), equal_nan=True)

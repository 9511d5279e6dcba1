"""The same pair, weights and random numbers in Pyro's own estimators."""

from __future__ import annotations

import pyro
import pytest
import torch
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO

from helpers.pairs import Chain, linear_gaussian_pair
from probgen import ELBO, Batch, PyroPair

X = torch.linspace(-1, 2, 12, dtype=torch.float64).view(4, 3)


def ours(pair, estimator):
    torch.manual_seed(3)
    (phase,) = estimator.phases(pair)
    estimate = phase(pair, Batch(X if pair.event_shape else X[:, 0]), {})
    return estimate.value.sum(), torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))


def theirs(pair, loss):
    torch.manual_seed(3)
    x = X if pair.event_shape else X[:, 0]
    with pyro.get_param_store().scope():
        value = loss.differentiable_loss(pair.model, pair.guide, x)
    return -value, torch.autograd.grad(value / len(x), list(pair.parameters()))


@pytest.mark.parametrize(
    ("estimator", "loss"),
    [
        (ELBO(analytic_kl=False), Trace_ELBO()),
        (ELBO(), TraceMeanField_ELBO()),
        (
            ELBO(analytic_kl=False, num_particles=3),
            Trace_ELBO(num_particles=3, vectorize_particles=True, max_plate_nesting=1),
        ),
    ],
    ids=["sampled", "analytic", "particles"],
)
def test_value_and_gradient_are_pyros(estimator, loss):
    pair, _ = linear_gaussian_pair(particles="plate")
    value, gradients = ours(pair, estimator)
    expected_value, expected_gradients = theirs(pair, loss)
    torch.testing.assert_close(value, expected_value.detach())
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected)


def test_a_hierarchy_is_pyros_too():
    chain = Chain(bottom_up=True)
    pair = PyroPair(chain.model, chain.guide, event_shape=())
    pair.chain = chain
    value, gradients = ours(pair, ELBO(analytic_kl=False))
    expected_value, expected_gradients = theirs(pair, Trace_ELBO())
    torch.testing.assert_close(value, expected_value.detach())
    for gradient, expected in zip(gradients, expected_gradients, strict=True):
        torch.testing.assert_close(gradient, expected)

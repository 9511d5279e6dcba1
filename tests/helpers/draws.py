"""Estimators by simulation: independent draws of a value or a gradient, and how far their mean is from what it should be."""

import torch

ERRORS = 5.0
"""How many standard errors a mean may be off. Seeds are fixed, so a test that passes goes on passing."""


def flat_gradient(phase, surrogate):
    """Return the gradient of a surrogate with respect to the phase's parameters as one vector."""
    parameters = list(phase.parameters.values())
    gradients = torch.autograd.grad(surrogate, parameters, materialize_grads=True, allow_unused=True)
    return torch.cat([gradient.flatten() for gradient in gradients]).detach()


def draws_of(estimate, count, *, phase=None):
    """Return `count` draws of an estimate's mean value, `(count, 1)`, or of its gradient in `phase`, `(count, P)`."""
    rows = []
    for _ in range(count):
        drawn = estimate()
        rows.append(drawn.value.mean().reshape(1) if phase is None else flat_gradient(phase, drawn.surrogate))
    return torch.stack(rows).double()


def standard_errors(draws, target):
    """Return by how many standard errors the mean of the draws is off, in the worst coordinate."""
    spread = draws.std(0) / len(draws) ** 0.5
    off = (draws.mean(0) - target).abs()
    exact = off < 1e-9 * (1 + target.abs())  # a coordinate without noise is right, or infinitely wrong
    return torch.where(exact, 0.0, off / spread).max().item()

"""Small machines, and everything about them by listing every configuration."""

from __future__ import annotations

import itertools

import torch

from probgen_boltzmann.rbm import RBM

ERRORS = 5.0
"""How many standard errors a mean may be off. Seeds are fixed, so a test that passes goes on passing."""


def all_bits(n):
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=n)), dtype=torch.float64)


def machine(visible=4, hidden=3, scale=1.0, **options):
    """Return a machine in double precision with random parameters."""
    model = RBM(event_shape=(visible,), hidden=hidden, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, scale)
    return model


def joint_scores(model):
    """Return minus the energy of every pair of configurations, `(2^V, 2^H)`, by the definition."""
    v, h = all_bits(model.weight.shape[1]), all_bits(model.weight.shape[0])
    return v @ model.visible_bias[:, None] + (h @ model.hidden_bias)[None] + v @ model.weight.T @ h.T


def transition_matrix(model):
    """Return the probabilities of a step of block Gibbs from each visible configuration to each."""
    joint = joint_scores(model)
    return torch.softmax(joint, 1) @ torch.softmax(joint, 0).T


def energy_gradients(model, names):
    """Return the gradient of every configuration's energy, `(2^V, P)`."""
    parameters = dict(model.named_parameters())
    rows = []
    for v in all_bits(model.weight.shape[1]):
        gradients = torch.autograd.grad(model.energy(v), [parameters[name] for name in names])
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    return torch.stack(rows)


def number_of(v):
    """Return the positions of configurations in `all_bits`."""
    return (v @ 2.0 ** torch.arange(v.shape[1] - 1, -1, -1, dtype=v.dtype)).long()


def standard_errors(draws, target):
    """Return by how many standard errors the mean of the draws is off, in the worst coordinate."""
    spread = draws.std(0) / len(draws) ** 0.5
    off = (draws.mean(0) - target).abs()
    return torch.where(off < 1e-9 * (1 + target.abs()), 0.0, off / spread).max().item()

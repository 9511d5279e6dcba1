"""Flows trained by the recipe of the plugin on small real and toy data."""

from __future__ import annotations

import pytest
import torch

import probgen
from probgen.data import as_source

NAMES = ["flows/realnvp", "flows/maf", "flows/iaf"]
SMALL = {"transforms": 4, "hidden": (24,)}


def gaussian_score(view):
    """Return the mean held-out log-density of the Gaussian with the moments of the training data."""
    train, test = (view.split(name).batch(torch.arange(len(view.split(name)))).x for name in ("train", "test"))
    return torch.distributions.MultivariateNormal(train.mean(0), train.T.cov()).log_prob(test).mean().item()


@pytest.mark.parametrize("name", NAMES)
def test_moons_are_no_gaussian(name):
    flow = probgen.build(name, "moons", **SMALL)
    probgen.fit(flow, "moons", steps=250, learning_rate=5e-3, progress=False)
    view = as_source("moons").view("real")
    test = view.split("test").batch(torch.arange(len(view.split("test")))).x
    with torch.no_grad():
        score = flow.log_prob(test).mean().item()
    assert score > gaussian_score(view) + 0.2


@pytest.mark.parametrize("name", NAMES)
def test_labels_as_context(name):
    flow = probgen.build(name, "moons", context="label", **SMALL)
    probgen.fit(flow, "moons", context="label", steps=150, learning_rate=5e-3, progress=False)
    upper, lower = flow.sample((500,), torch.eye(2)).unbind(1)
    assert (upper[:, 1].mean() - lower[:, 1].mean()) > 0.5


def test_an_autoencoder_with_flows_for_prior_and_posterior():
    """By names alone: the slots bind the flows to the code and to the encoder's features."""
    pytest.importorskip("probgen_latent")
    vae = probgen.build(
        "latent/vae",
        event_shape=(6,),
        support="binary",
        latent=3,
        hidden=(8,),
        prior={"name": "flows/maf", "transforms": 2, "hidden": (8,)},
        posterior={"name": "flows/iaf", "transforms": 2, "hidden": (8,)},
    )
    (phase,) = probgen.ELBO().phases(vae)
    estimate = phase(vae, probgen.Batch((torch.rand(5, 6) < 0.5).float()), {})
    gradients = torch.autograd.grad(estimate.surrogate, list(phase.parameters.values()))
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert estimate.value.shape == (5,)

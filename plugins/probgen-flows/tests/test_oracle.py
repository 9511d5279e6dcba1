"""Zuko's flows, given the same weights, score and draw the same."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from probgen_flows.maf import MAF
from probgen_flows.masked import MaskedLinear
from probgen_flows.realnvp import RealNVP

_VALIDATING = torch.distributions.Distribution._validate_args
zuko = pytest.importorskip("zuko")
torch.distributions.Distribution.set_default_validate_args(_VALIDATING)  # zuko switches it off for everybody

_SLOPE = math.exp(-700)


def univariate(shift, log_scale):
    """Our affine map in zuko's words: bounded by tanh, subtracting and dividing, its own bound undone."""
    log_scale = -5 * torch.tanh(log_scale / 5)
    free = log_scale / (1 - log_scale.abs() / 700)
    return zuko.transforms.MonotonicAffineTransform(-shift * log_scale.exp(), free, slope=_SLOPE)


def linear_layers(network):
    return [module for module in network.modules() if hasattr(module, "weight")]


def copy_weights(ours, theirs, features):
    """Copy linear layers; zuko has the two outputs of a feature side by side, we have all shifts before all log-scales."""
    pairs = list(zip(linear_layers(ours), linear_layers(theirs), strict=True))
    beside = torch.arange(2 * features).reshape(2, features).T.flatten()
    for mine, other in pairs:
        rows = beside if mine is pairs[-1][0] else slice(None)
        other.weight.data = mine.weight.detach()[rows].clone()
        other.bias.data = mine.bias.detach()[rows].clone()
        if isinstance(mine, MaskedLinear):
            other.mask = mine.mask[rows].bool()


def base(features):
    return zuko.lazy.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(features).double(), torch.ones(features).double(), buffer=True
    )


def peer_of_maf(flow, features, context_features, hidden):
    transforms = []
    for index, layer in enumerate(flow.layers):
        order = torch.arange(features)
        transforms.append(
            zuko.flows.MaskedAutoregressiveTransform(
                features,
                context_features,
                order=order.flip(0) if index % 2 else order,
                univariate=univariate,
                hidden_features=hidden,
                activation=nn.ReLU,
            )
        )
        copy_weights(layer.conditioner.layers, transforms[-1].hyper, features)
        if context_features:  # zuko has no shortcut
            nn.init.zeros_(layer.conditioner.shortcut.weight)
    return zuko.lazy.Flow(transforms, base(features)).double()


def peer_of_realnvp(flow, features, context_features, hidden):
    transforms = []
    for index, network in enumerate(flow.conditioners):
        given = torch.arange(features) % 2 == index % 2
        transforms.append(
            zuko.flows.GeneralCouplingTransform(
                features, context_features, mask=given, univariate=univariate, hidden_features=hidden, activation=nn.ReLU
            )
        )
        copy_weights(network, transforms[-1].hyper, int((~given).sum()))
    return zuko.lazy.Flow(transforms, base(features)).double()


@pytest.mark.parametrize("context_features", [0, 3])
@pytest.mark.parametrize(("make", "peer_of"), [(MAF, peer_of_maf), (RealNVP, peer_of_realnvp)])
def test_it_agrees_with_zuko(make, peer_of, context_features):
    features, hidden = 7, (10, 12)
    shape = (context_features,) if context_features else None
    flow = make(event_shape=(features,), context_shape=shape, transforms=3, hidden=hidden).double()
    for parameter in flow.parameters():
        nn.init.normal_(parameter, std=0.4)
    context = torch.randn(30, context_features).double() if context_features else None
    x = torch.randn(30, features).double()
    peer = peer_of(flow, features, context_features, hidden)(context)
    torch.testing.assert_close(flow.log_prob(x, context), peer.log_prob(x), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(flow.inverse(x, context)[0], peer.transform.inv(x), rtol=1e-9, atol=1e-9)

"""Models of the fake distribution."""

from __future__ import annotations

import os
import signal

import torch
from torch import nn
from torch.distributions import Normal

from probgen import Density, MaximumLikelihood, Recipe, Reparameterized, Stage
from probgen.capabilities import Autoencoder
from probgen.sampler import Sampler


def recipe(model):
    return Recipe((Stage(MaximumLikelihood(), steps=20, batch_size=50),))


class Gaussian(nn.Module, Density, Reparameterized):
    def __init__(self, *, event_shape, context_shape, support, scale=1.0, fault="none"):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size(event_shape), context_shape, support
        size = self.event_shape.numel()
        self.centre = nn.Parameter(0.1 * torch.randn(size))
        self.log_scale = nn.Parameter(torch.full((size,), scale).log())
        self.shift = None if context_shape is None else nn.Linear(context_shape.numel(), size, bias=False)
        self.fault = fault
        self.calls = 0

    def _distribution(self, n, context):
        centre = self.centre.expand(n, -1)
        return Normal(centre if self.shift is None else centre + self.shift(context.flatten(1)), self.log_scale.exp())

    def _log_prob(self, x, context):
        self.calls += self.training
        scores = self._distribution(len(x), context).log_prob(x.flatten(1)).sum(1)
        if self.training and self.calls > 3:
            if self.fault == "nan":
                return scores * float("nan")
            if self.fault == "far":
                return scores - 1e9
            if self.fault == "bug":
                raise ZeroDivisionError("a mistake of the model's author")
            if self.fault == "interrupt":
                os.kill(os.getpid(), signal.SIGTERM)
        return scores

    def _rsample(self, n, context):
        return self._distribution(n, context).rsample().reshape(n, *self.event_shape)


class Coder(Gaussian, Autoencoder):
    def encode(self, x, context=None):
        return x.flatten(1)[:, :1] - self.centre[:1]

    def decode(self, z, context=None):
        rest = self.centre[1:].expand(len(z), -1)
        return torch.cat([z + self.centre[:1], rest], 1).reshape(-1, *self.event_shape)


class Mute(nn.Module, Sampler):
    def __init__(self, *, event_shape, context_shape, support):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size(event_shape), context_shape, support

    def _sample(self, n, context):
        return torch.randn(n, *self.event_shape)

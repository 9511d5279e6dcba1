"""What the acme plugin registers."""

from __future__ import annotations

import torch
from torch import nn
from torch.distributions import Normal

from probgen import Density, Estimate, Estimator, LatentVariable, Objective, Phase, Reparameterized, Sampler
from probgen.claims import Claims, Exact, Unbiased
from probgen.plugin import resolve


def recipe(model):
    """Return how to train a model of this plugin."""
    return f"a recipe for {type(model).__name__}"


class Cloud(nn.Module, Density, Reparameterized):
    def __init__(self, *, event_shape, context_shape, support, scale, hidden, shape, base):
        super().__init__()
        self.event_shape, self.context_shape, self.support = event_shape, context_shape, support
        self.scale, self.hidden, self.shape = scale, hidden, shape
        self.centre = nn.Parameter(torch.zeros(event_shape))
        self.base = None if base is None else resolve(base, event_shape=event_shape, support=support)

    def _log_prob(self, x, context):
        return Normal(self.centre, self.scale).log_prob(x).flatten(1).sum(1)

    def _rsample(self, n, context):
        return self.centre + self.scale * torch.randn(n, *self.event_shape)


class Coins(nn.Module, Density, Sampler):
    def __init__(self, *, event_shape, context_shape, support):
        super().__init__()
        self.event_shape, self.context_shape, self.support = event_shape, context_shape, support

    def _log_prob(self, x, context):
        return torch.full(x.shape[:1], -0.6931 * x[0].numel())

    def _sample(self, n, context):
        return torch.randint(0, 2, (n, *self.event_shape)).float()


class ScoreOnly(Estimator):
    requires = (Density,)
    objective = Objective("score", "nats", "maximise")
    claims = Claims(value=Exact("score"), gradient={"*": Unbiased("grad:score")})

    def __init__(self, *, weight):
        self.weight = weight

    def phases(self, model):
        return [Phase("main", dict(model.named_parameters()), estimate=self._estimate)]

    def _estimate(self, model, batch, state):
        score = self.weight * model.log_prob(batch.x)
        return Estimate(-score.mean(), score.detach())


class NeedsLatents(ScoreOnly):
    requires = (LatentVariable,)

    def __init__(self):
        super().__init__(weight=1.0)

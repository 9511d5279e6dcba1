"""A model and an estimator whose steps depend on earlier ones, through a memory that is saved or is not."""

from __future__ import annotations

import multiprocessing

import torch
from torch import nn
from torch.distributions import Normal

from probgen import Density, Estimate, Estimator, MaximumLikelihood, Model, Phase, Recipe, Stage
from probgen.claims import Claims, Heuristic
from probgen.estimator import Objective, parameters_of

SEEN_BY_THIS_PROCESS = [0]


def recipe(model):
    return Recipe((Stage(MaximumLikelihood(), steps=40, batch_size=20),))


class Tired(nn.Module, Density, Model):
    def __init__(self, *, event_shape, context_shape, support, memory="buffer"):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size(event_shape), context_shape, support
        self.mean = nn.Parameter(torch.randn(self.event_shape))
        self.memory = memory
        if memory in ("buffer", "scratch"):
            self.register_buffer("seen", torch.zeros(()), persistent=memory == "buffer")
        else:
            self.seen = torch.zeros(())

    def _log_prob(self, x, context):
        if self.training:
            self._remember()
        spread = 1 + (SEEN_BY_THIS_PROCESS[0] if self.memory == "process" else self.seen)
        return Normal(self.mean, spread).log_prob(x).sum(-1)

    def _remember(self):
        if self.memory == "process":
            SEEN_BY_THIS_PROCESS[0] += 1
        else:
            self.seen += 1
        if self.memory == "crash" and multiprocessing.parent_process() is not None:
            raise ZeroDivisionError("a mistake of the model's author")


class Momentous(Estimator):
    requires = (Density,)
    objective = Objective("log_prob", "nats", "maximise")
    claims = Claims(value=Heuristic("a toy"), gradient={"*": Heuristic("a toy")})

    def __init__(self, *, memory="state"):
        self.memory = memory
        self.average = torch.zeros(())

    def initial_state(self, model, batch):
        return {"average": torch.zeros(())} if self.memory == "state" else {}

    def phases(self, model):
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model, batch, state):
        scores = model.log_prob(batch.x, batch.context)
        average = 0.9 * state.get("average", self.average) + 0.1 * scores.detach().mean()
        if model.training and self.memory == "attribute":
            self.average = average
        weight = (scores.detach().mean() - average).tanh()
        new = {"average": average} if self.memory == "state" else state
        return Estimate(surrogate=-(scores.mean() * weight), value=scores.detach(), state=new)

"""Sigmoid belief nets: discrete codes, trained by score-function gradients with a baseline."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import constraints

from benchmarks.support.contest import Contestant, Goal, Row
from benchmarks.support.data import bits
from benchmarks.support.loops import fit_step, numpyro_step, pyro_step, torch_step
from benchmarks.support.setting import Setting
from probgen import REINFORCE
from probgen.estimators.baselines import LeaveOneOut, MovingAverage
from probgen_latent.sbn import SigmoidBeliefNet

__all__ = ["rows"]

ENTRIES, HIDDEN, BATCH, DECAY = 784, (200, 200), 128, 0.9


def rows(setting: Setting) -> Iterator[Row]:
    """Yield a net with one particle and a moving average, and with ten that are each other's baselines."""
    goal = Goal(0.75, 0.85)
    yield _row("sbn-1", "1 particle, moving average", 1, setting, goal)
    yield _row("sbn-10", "10 particles, leave-one-out", 10, setting, Goal(0.80, 0.85))


def _row(name: str, what: str, particles: int, setting: Setting, goal: Goal) -> Row:
    def probgen(execution: str) -> Contestant:
        baseline = MovingAverage(decay=DECAY) if particles == 1 else LeaveOneOut()
        estimator = REINFORCE(num_particles=particles, baseline=baseline)
        return fit_step(_net(), bits(BATCH, ENTRIES), estimator, setting, execution=execution, kind="binary")

    makers = {
        "torch": partial(_by_hand, particles, setting, fused=False),
        "torch fused": partial(_by_hand, particles, setting, fused=True),
        "probgen": partial(probgen, "eager"),
        "probgen graph": partial(probgen, "graph"),
        "pyro": partial(_pyro, particles, setting),
        "numpyro": partial(_numpyro, particles, setting),
    }
    title = f"sigmoid belief net 784-200-200, batch {BATCH}, REINFORCE ({what}): a training step"
    return Row(name, title, makers, goals={"probgen": goal, "probgen graph": goal}, learning_steps=24)


@functools.cache
def _marginals() -> Tensor:
    return (bits(BATCH, ENTRIES).sum(0) + 1) / (BATCH + 2)


def _net() -> SigmoidBeliefNet:
    torch.manual_seed(0)
    return SigmoidBeliefNet(event_shape=(ENTRIES,), support=constraints.boolean, hidden=HIDDEN)


def _by_hand(particles: int, setting: Setting, *, fused: bool) -> Contestant:
    net, x = setting.place(_net()), setting.place(bits(BATCH, ENTRIES))
    return torch_step(_loss(net, x, setting.place(_marginals()), particles), net.parameters(), setting, fused=fused)


def _loss(net: SigmoidBeliefNet, x: Tensor, mean: Tensor, particles: int) -> Callable[[], Tensor]:
    """Return one surrogate for all parameters, the particles side by side."""
    average: Tensor | None = None
    centred = (x - mean).expand(particles, -1, -1)

    def log_prob(logits: Tensor, units: Tensor) -> Tensor:
        return -F.binary_cross_entropy_with_logits(logits, units, reduction="none").sum(-1)

    def loss() -> Tensor:
        nonlocal average
        layers, log_q, below = [x.expand(particles, -1, -1)], 0.0, centred
        for recognise in net.recognition:
            logits = recognise(below)
            below = torch.bernoulli(torch.sigmoid(logits.detach()))
            log_q = log_q + log_prob(logits, below)
            layers.append(below)
        log_p = log_prob(net.top.expand_as(below), below)
        for generate, (units, above) in zip(net.generation, pairwise(layers), strict=True):
            log_p = log_p + log_prob(generate(above), units)
        bound = (log_p - log_q).detach()
        if particles == 1:
            average = bound.mean() if average is None else DECAY * average + (1 - DECAY) * bound.mean()
            signal = bound - average
        else:
            signal = (bound - bound.mean(0)) * (particles / (particles - 1))
        surrogate = -(log_p + signal * log_q).mean()
        return surrogate + (surrogate.detach() - bound.mean().neg()).neg()  # the value is the bound's, for the check

    return loss


def _pyro(particles: int, setting: Setting) -> Contestant:
    """The same net as Pyro trains it: its estimator for discrete codes, with a decaying average for each layer."""
    import pyro
    import pyro.distributions as dist
    from pyro.infer import TraceGraph_ELBO

    net, x, mean = setting.place(_net()), setting.place(bits(BATCH, ENTRIES)), setting.place(_marginals())
    baseline = {"baseline": {"use_decaying_avg_baseline": True, "baseline_beta": DECAY}}

    def units(logits: Tensor) -> Any:
        return dist.Bernoulli(logits=logits).to_event(1)

    def model(x: Tensor) -> None:
        pyro.module("generation", net.generation)
        top = pyro.param("top", net.top)
        with pyro.plate("data", len(x)):
            upper = pyro.sample("z2", units(top.expand(len(x), -1)))
            lower = pyro.sample("z1", units(net.generation[1](upper)))
            pyro.sample("x", units(net.generation[0](lower)), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("recognition", net.recognition)
        with pyro.plate("data", len(x)):
            lower = pyro.sample("z1", units(net.recognition[0](x - mean)), infer=baseline)
            pyro.sample("z2", units(net.recognition[1](lower)), infer=baseline)

    objective = TraceGraph_ELBO(num_particles=particles, vectorize_particles=particles > 1, max_plate_nesting=1)
    return pyro_step(model, guide, objective, x, list(net.parameters()), setting)


def _numpyro(particles: int, setting: Setting) -> Contestant:
    """The same net in JAX."""
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import TraceGraph_ELBO

    net, mean = _net(), jnp.asarray(_marginals().numpy())

    def arrays(layer: Any) -> tuple[Any, Any]:
        return jnp.asarray(layer.weight.detach().numpy().T), jnp.asarray(layer.bias.detach().numpy())

    generation, recognition = [arrays(each) for each in net.generation], [arrays(each) for each in net.recognition]

    def units(logits: Any) -> Any:
        return dist.Bernoulli(logits=logits).to_event(1)

    def model(x: Any) -> None:
        (w1, b1), (w2, b2) = numpyro.param("generation", generation)
        top = numpyro.param("top", jnp.zeros(HIDDEN[-1]))
        with numpyro.plate("data", len(x)):
            upper = numpyro.sample("z2", units(jnp.broadcast_to(top, (len(x), HIDDEN[-1]))))
            lower = numpyro.sample("z1", units(upper @ w2 + b2))
            numpyro.sample("x", units(lower @ w1 + b1), obs=x)

    def guide(x: Any) -> None:
        (w1, b1), (w2, b2) = numpyro.param("recognition", recognition)
        with numpyro.plate("data", len(x)):
            lower = numpyro.sample("z1", units((x - mean) @ w1 + b1))
            numpyro.sample("z2", units(lower @ w2 + b2))

    return numpyro_step(model, guide, TraceGraph_ELBO(num_particles=particles), bits(BATCH, ENTRIES), setting)

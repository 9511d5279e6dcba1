"""Variational autoencoders of continuous codes: the evidence lower bound and the importance-weighted bound."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from benchmarks.support.contest import Contestant, Goal, Row
from benchmarks.support.data import bits
from benchmarks.support.loops import fit_step, numpyro_step, pyro_step, torch_step
from benchmarks.support.setting import Setting
from probgen import ELBO, IWAE
from probgen_latent.vae import VAE

__all__ = ["Problem", "by_hand", "by_numpyro", "by_probgen", "by_pyro", "loss_by_hand", "rows"]


@dataclasses.dataclass(frozen=True)
class Problem:
    """A VAE, its data and how many particles its bound has."""

    entries: int
    hidden: tuple[int, ...]
    latent: int
    batch: int
    particles: int = 1

    def data(self) -> Tensor:
        """Return the batch that everybody trains on."""
        return bits(self.batch, self.entries)

    def model(self) -> VAE:
        """Return the model, the same every time: all contestants start at its weights."""
        torch.manual_seed(0)
        return VAE.build((self.entries,), None, constraints.boolean, latent=self.latent, hidden=self.hidden)

    def estimator(self) -> ELBO | IWAE:
        """Return the bound, as probgen calls it."""
        return ELBO() if self.particles == 1 else IWAE(num_particles=self.particles)


def rows(setting: Setting) -> Iterator[Row]:
    """Yield a large VAE, one so small that the framework's own time shows, and an importance-weighted one."""
    large = Problem(784, (400, 400), 20, 128)
    yield _row(
        "vae",
        "VAE 784-400-400-20, batch 128: a training step",
        large,
        setting,
        {"probgen": Goal(0.80, 0.87), "probgen graph": Goal(0.55, 0.62)},
    )
    yield _row(
        "vae-tiny",
        "VAE 64-32-32-8, batch 32: a training step",
        Problem(64, (32, 32), 8, 32),
        setting,
        {"probgen": Goal(0.75, 0.80), "probgen graph": Goal(0.75, 0.80), "probgen inductor": Goal(0.34, 0.45)},
    )
    goal = Goal(0.60, 0.65)
    yield _row(
        "iwae",
        "IWAE, 50 particles, VAE 784-400-400-20, batch 128: a training step",
        dataclasses.replace(large, particles=50),
        setting,
        {"probgen": goal, "probgen graph": goal},
        learning_steps=4,
    )


def _row(
    name: str, title: str, problem: Problem, setting: Setting, goals: dict[str, Goal], *, learning_steps: int = 16
) -> Row:
    makers = {
        "torch": partial(by_hand, problem, setting, fused=False),
        "torch fused": partial(by_hand, problem, setting, fused=True),
        "probgen": partial(by_probgen, problem, setting, "eager"),
        "probgen graph": partial(by_probgen, problem, setting, "graph"),
        "pyro": partial(by_pyro, problem, setting),
        "numpyro": partial(by_numpyro, problem, setting),
    }
    if "probgen inductor" in goals:
        makers["probgen inductor"] = partial(by_probgen, problem, setting, "inductor")
    return Row(name, title, makers, goals=goals, learning_steps=learning_steps)


def by_probgen(problem: Problem, setting: Setting, execution: str) -> Contestant:
    """Return probgen's step."""
    return fit_step(problem.model(), problem.data(), problem.estimator(), setting, execution=execution, kind="binary")


def by_hand(problem: Problem, setting: Setting, *, fused: bool) -> Contestant:
    """Return the step of a hand-written loop."""
    vae, x = setting.place(problem.model()), setting.place(problem.data())
    return torch_step(loss_by_hand(vae, x, problem.particles), vae.parameters(), setting, fused=fused)


def loss_by_hand(vae: VAE, x: Tensor, particles: int) -> Callable[[], Tensor]:
    """Return the loss of the same networks, without distribution objects."""
    encoder, head, decoder = _networks(vae)
    limit = vae.posterior.limit

    def inferred() -> tuple[Tensor, Tensor, Tensor]:
        mean, log_scale = head(encoder(x)).chunk(2, -1)
        log_scale = limit * torch.tanh(log_scale / limit)
        return mean, log_scale, log_scale.exp()

    def elbo() -> Tensor:
        mean, log_scale, scale = inferred()
        logits = decoder(mean + scale * torch.randn_like(scale))
        reconstruction = -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)
        divergence = (0.5 * (mean.square() + scale.square() - 1.0) - log_scale).sum(1)
        return (divergence - reconstruction).mean()

    def iwae() -> Tensor:
        mean, log_scale, scale = inferred()
        noise = torch.randn(particles, *mean.shape, device=mean.device)
        z = mean + scale * noise
        logits = decoder(z)
        log_x = -F.binary_cross_entropy_with_logits(logits, x.expand_as(logits), reduction="none").sum(-1)
        log_ratio = (0.5 * (noise.square() - z.square()) + log_scale).sum(-1)
        return (math.log(particles) - (log_x + log_ratio).logsumexp(0)).mean()

    return elbo if particles == 1 else iwae


def _networks(vae: VAE) -> tuple[nn.Module, nn.Module, nn.Module]:
    return vae.encoder.body, vae.posterior.head, vae.decoder.network.body


def by_pyro(problem: Problem, setting: Setting) -> Contestant:
    """The same networks as Pyro's own tutorial would train them."""
    import pyro
    import pyro.distributions as dist
    from pyro.infer import RenyiELBO, TraceMeanField_ELBO

    vae, x = setting.place(problem.model()), setting.place(problem.data())
    encoder, head, decoder = _networks(vae)
    limit = vae.posterior.limit
    zeros, ones = x.new_zeros(len(x), problem.latent), x.new_ones(len(x), problem.latent)

    def model(x: Tensor) -> None:
        pyro.module("decoder", decoder)
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(zeros, ones).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=decoder(z)).to_event(1), obs=x)

    def guide(x: Tensor) -> None:
        pyro.module("encoder", encoder)
        pyro.module("head", head)
        with pyro.plate("data", len(x)):
            mean, log_scale = head(encoder(x)).chunk(2, -1)
            scale = (limit * torch.tanh(log_scale / limit)).exp()
            pyro.sample("z", dist.Normal(mean, scale).to_event(1))

    objective = (
        TraceMeanField_ELBO()
        if problem.particles == 1
        else RenyiELBO(alpha=0.0, num_particles=problem.particles, vectorize_particles=True, max_plate_nesting=1)
    )
    return pyro_step(model, guide, objective, x, list(vae.parameters()), setting)


def by_numpyro(problem: Problem, setting: Setting) -> Contestant:
    """The same networks in JAX, trained by NumPyro."""
    import jax
    import jax.numpy as jnp
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import RenyiELBO, TraceMeanField_ELBO

    vae = problem.model()
    encoder, head, decoder = ([_layer(jnp, each) for each in _linears(network)] for network in _networks(vae))
    limit = vae.posterior.limit

    def through(layers: Sequence[Any], x: Any, *, activate_last: bool) -> Any:
        for number, (weight, bias) in enumerate(layers, 1):
            x = x @ weight + bias
            if activate_last or number < len(layers):
                x = jnp.tanh(x)
        return x

    def model(x: Any) -> None:
        layers = numpyro.param("decoder", decoder)
        with numpyro.plate("data", len(x)):
            z = numpyro.sample("z", dist.Normal(0, 1).expand([problem.latent]).to_event(1))
            logits = through(layers, z, activate_last=False)
            numpyro.sample("x", dist.Bernoulli(logits=logits).to_event(1), obs=x)

    def guide(x: Any) -> None:
        features = through(numpyro.param("encoder", encoder), x, activate_last=True)
        mean, log_scale = jnp.split(through(numpyro.param("head", head), features, activate_last=False), 2, -1)
        with numpyro.plate("data", len(x)):
            scale = jnp.exp(limit * jax.numpy.tanh(log_scale / limit))
            numpyro.sample("z", dist.Normal(mean, scale).to_event(1))

    objective = TraceMeanField_ELBO() if problem.particles == 1 else RenyiELBO(alpha=0.0, num_particles=problem.particles)
    return numpyro_step(model, guide, objective, problem.data(), setting)


def _linears(network: nn.Module) -> list[nn.Linear]:
    return [layer for layer in network.modules() if isinstance(layer, nn.Linear)]


def _layer(jnp: Any, layer: nn.Linear) -> tuple[Any, Any]:
    layer = copy.deepcopy(layer)
    return jnp.asarray(layer.weight.detach().numpy().T), jnp.asarray(layer.bias.detach().numpy())

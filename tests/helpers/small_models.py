"""More pairs that can be enumerated, and what wake-sleep and per-site strategies should make of them."""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch

from helpers.enumerable_pairs import Programs, exact_moments, part, relative_error, weights
from probgen.testing.problems.laws import Bits, Space

__all__ = ["BitChain", "agrees", "phase_named", "phase_moments", "posterior_divergence", "sleep_divergence"]


class BitChain(Programs):
    r"""Two bits one after the other, $z_1 \to z_2 \to x$, which the guide draws one given the other."""

    event_shape = (2,)

    def __init__(self):
        super().__init__()
        self.p.top, self.p.link = weights(1, seed=1), weights(2, seed=2, scale=1.5)
        self.p.weight, self.p.bias = weights(2, seed=3, scale=1.5), weights(2, seed=4)
        self.q.first, self.q.second, self.q.link = weights(2, seed=5), weights(2, seed=6), weights(2, seed=7, scale=1.5)
        self.latents, self.observed = {"z1": Space("bits"), "z2": Space("bits")}, {"x": Space("bits", 2)}

    def _second(self, z1):
        return self.p.link[0] * z1 + self.p.link[1]

    def _seen(self, z2):
        return z2[..., None] * self.p.weight + self.p.bias

    def _guided(self, x, z1):
        return x @ self.q.second + self.q.link[0] * z1 + self.q.link[1]

    def model(self, x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Bernoulli(logits=self.p.top.expand(len(x))))
            z2 = pyro.sample("z2", dist.Bernoulli(logits=self._second(z1)))
            pyro.sample("x", dist.Bernoulli(logits=self._seen(z2)).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Bernoulli(logits=x @ self.q.first))
            pyro.sample("z2", dist.Bernoulli(logits=self._guided(x, z1)))

    def generate(self, answer, context):
        z1 = answer("z1", Bits(self.p.top))
        z2 = answer("z2", Bits(self._second(z1)))
        answer("x", Bits(self._seen(z2), 1))

    def infer(self, x, answer, context):
        z1 = answer("z1", Bits(x @ self.q.first))
        answer("z2", Bits(self._guided(x, z1)))


def sleep_divergence(programs):
    r"""Return $-\mathbb{E}_{p(x, z)} \log q(z \mid x)$ at a fixed model, by a sum over all that it can dream."""
    return -programs.quantity("sleep", torch.zeros(1, *programs.event_shape, dtype=torch.float64)).sum()


def posterior_divergence(programs, x):
    r"""Return $\mathrm{KL}(p(z \mid x) \| q(z \mid x))$ at a fixed model, `(N,)`."""
    return programs.quantity("wake_phi", x)


def phase_named(estimator, pair, name):
    """Return one phase of an estimator."""
    return next(phase for phase in estimator.phases(pair) if phase.name == name)


def phase_moments(phase, pair, batch, state=None):
    """Return the exact moments of a phase's value, and of its gradient by all parameters of the programs."""
    return exact_moments(pair, lambda: phase(pair, batch, {} if state is None else state))


def agrees(found, target, *, pair, program=None, tolerance=1e-9):
    """Whether a gradient is what it should be, in all parameters or in those of one program."""
    if program is not None:
        found, target = part(pair, found, program), part(pair, target, program)
    return relative_error(found, target) < tolerance

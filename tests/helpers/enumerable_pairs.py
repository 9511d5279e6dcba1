r"""Pairs so small that every expectation under the guide is a finite sum, or an integral over one Gaussian variable.

`outcomes(x)` lists what the guide may draw: how probable each is, with $\log p(x, z)$ and $\log q(z \mid x)$, all of them
functions of the parameters. Exact bounds follow by summation and their gradients by autograd; no estimator has a part in it.
"""

from __future__ import annotations

import itertools
import math

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from torch import nn

from probgen import PyroPair
from probgen.testing import exact_expectation, exact_law


def weights(*shape, seed, scale=0.8):
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(scale * torch.randn(shape, generator=generator, dtype=torch.float64))


def all_bits(count):
    """Return every vector of `count` bits, `(2^count, count)`."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=count)), dtype=torch.float64)


def flip(logits, value):
    return dist.Bernoulli(logits=logits).log_prob(value)


def normal_rule(count):
    """Return nodes and weights, each `(count, 1)`, of an integral over a standard normal variable."""
    nodes, masses = (torch.from_numpy(array) for array in np.polynomial.hermite_e.hermegauss(count))
    return nodes[:, None], (masses / masses.sum())[:, None]


class Programs(nn.Module):
    """A model and a guide, each a module, with what they may draw."""

    def __init__(self):
        super().__init__()
        self.p, self.q = nn.Module(), nn.Module()

    def pair(self, **options):
        """Return the pair, whose parameters are `programs.p.*` and `programs.q.*`."""
        pair = PyroPair(self.model, self.guide, event_shape=self.event_shape, inference=("programs.q.*",), **options)
        pair.programs = self
        return pair

    def elbo(self, x):
        mass, log_p, log_q = self.outcomes(x)
        return (mass * (log_p - log_q)).sum(0)

    def bound(self, x, num_particles):
        """Return the importance-weighted bound, `(N,)`, as a sum over tuples of outcomes."""
        mass, log_p, log_q = self.outcomes(x)
        tuples = torch.tensor(list(itertools.product(range(len(mass)), repeat=num_particles)))
        bounds = (log_p - log_q)[tuples].logsumexp(1) - math.log(num_particles)
        return (mass[tuples].prod(1) * bounds).sum(0)

    def wake_part(self, x, num_particles):
        """Return a surrogate of E sum_k normalised_weight_k grad log q(z_k), `(N,)`."""
        mass, log_p, log_q = self.fixed_outcomes(x)
        tuples = torch.tensor(list(itertools.product(range(len(mass)), repeat=num_particles)))
        normalised = (log_p - log_q)[tuples].softmax(1).detach()
        return (mass[tuples].prod(1).detach() * (normalised * log_q[tuples]).sum(1)).sum(0)


class BeliefNet(Programs):
    """Sigmoid belief net: a layer of bits above three visible ones, and a logistic guide; one site."""

    event_shape = (3,)

    def __init__(self, latents=3):
        super().__init__()
        self.p.prior, self.p.weight, self.p.bias = weights(latents, seed=1), weights(latents, 3, seed=2), weights(3, seed=3)
        self.q.weight, self.q.bias = weights(3, latents, seed=4), weights(latents, seed=5)
        self.latents = latents

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.p.prior.expand(len(x), -1)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=z @ self.p.weight + self.p.bias).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=x @ self.q.weight + self.q.bias).to_event(1))

    def outcomes(self, x):
        z = all_bits(self.latents)[:, None]
        log_q = flip(x @ self.q.weight + self.q.bias, z).sum(-1)
        log_p = flip(self.p.prior, z).sum(-1) + flip(z @ self.p.weight + self.p.bias, x).sum(-1)
        return log_q.exp(), log_p, log_q

    def log_evidence(self, x):
        return self.outcomes(x)[1].logsumexp(0)


class BeliefChain(Programs):
    r"""Three bits at a site each, $z_1 \to z_2 \to z_3$, that are seen as they come: $x_i$ depends on $z_i$ (and $z_{i-1}$).

    The guide draws them in the model's order or, `bottom_up`, in the reverse one, each given the one before it.
    """

    event_shape = (3,)

    def __init__(self, *, bottom_up=False):
        super().__init__()
        self.p.prior, self.p.link, self.p.bias = weights(3, seed=1), weights(3, seed=2, scale=1.5), weights(3, seed=3)
        self.q.weight, self.q.link = weights(3, seed=4), weights(3, seed=5, scale=1.5)
        self.order = (2, 1, 0) if bottom_up else (0, 1, 2)

    def _prior(self, site, before):
        return self.p.prior[site] + (self.p.link[site] * before if site else 0)

    def _seen(self, site, z):
        return self.p.bias[site] + (2 * z[site] - 1) + (0.5 * z[site - 1] if site else 0)

    def _guided(self, place, x, drawn):
        site = self.order[place]
        return self.q.weight[site] * (2 * x[..., site] - 1) + (
            self.q.link[place] * drawn[self.order[place - 1]] if place else 0
        )

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = []
            for site in range(3):
                logits = self._prior(site, z[-1] if z else None) + x.new_zeros(len(x))
                z.append(pyro.sample(f"z{site}", dist.Bernoulli(logits=logits)))
                pyro.sample(f"x{site}", dist.Bernoulli(logits=self._seen(site, z)), obs=x[..., site])

    def guide(self, x):
        with pyro.plate("data", len(x)):
            drawn = {}
            for place, site in enumerate(self.order):
                drawn[site] = pyro.sample(f"z{site}", dist.Bernoulli(logits=self._guided(place, x, drawn)))

    def outcomes(self, x):
        z = all_bits(3).T[:, :, None]
        log_q = sum(flip(self._guided(place, x, z), z[site]) for place, site in enumerate(self.order))
        log_p = sum(
            flip(self._prior(site, z[site - 1] if site else None), z[site]) + flip(self._seen(site, z), x[..., site])
            for site in range(3)
        )
        return log_q.exp(), log_p, log_q


class Mixed(Programs):
    """A bit and a Gaussian, either of which the guide draws first and conditions the other on.

    Given the noise of the Gaussian, the gradients under test are unbiased over the bit alone. They are so under any law of
    the noise, which takes a few values here: those of a coarse rule.
    """

    event_shape = ()
    nodes = 3

    def __init__(self, *, bit_first=True):
        super().__init__()
        self.p.prior, self.p.mean, self.p.slope = weights(1, seed=1), weights(2, seed=2), weights(2, seed=3, scale=0.5)
        self.q.logit, self.q.mean, self.q.log_scale = weights(3, seed=4), weights(3, seed=5), weights(1, seed=6, scale=0.3)
        self.bit_first = bit_first

    def _p(self, bit):
        return self.p.mean[0] + self.p.mean[1] * bit

    def _seen(self, bit, z):
        return self.p.slope[0] * z + self.p.slope[1] * bit

    def _bit(self, x, z):
        return self.q.logit[0] + self.q.logit[1] * x + (0 if self.bit_first else self.q.logit[2] * z)

    def _mean(self, x, bit):
        return self.q.mean[0] + self.q.mean[1] * x + (self.q.mean[2] * bit if self.bit_first else 0)

    def model(self, x):
        with pyro.plate("data", len(x)):
            bit = pyro.sample("bit", dist.Bernoulli(logits=self.p.prior.expand(len(x))))
            z = pyro.sample("z", dist.Normal(self._p(bit), 1.0))
            pyro.sample("x", dist.Normal(self._seen(bit, z), 1.0), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            if self.bit_first:
                bit = pyro.sample("bit", dist.Bernoulli(logits=self._bit(x, None)))
                pyro.sample("z", dist.Normal(self._mean(x, bit), self.q.log_scale.exp()))
            else:
                z = pyro.sample("z", dist.Normal(self._mean(x, None), self.q.log_scale.exp()))
                pyro.sample("bit", dist.Bernoulli(logits=self._bit(x, z)))

    def outcomes(self, x):
        nodes, masses = normal_rule(self.nodes)
        parts = []
        for value in (0.0, 1.0):
            bit = torch.full((self.nodes, len(x)), value, dtype=torch.float64)
            z = self._mean(x, bit) + self.q.log_scale.exp() * nodes
            log_bit = flip(self._bit(x, z), bit)
            log_q = log_bit + dist.Normal(self._mean(x, bit), self.q.log_scale.exp()).log_prob(z)
            log_p = flip(self.p.prior, bit) + dist.Normal(self._p(bit), 1.0).log_prob(z)
            log_p = log_p + dist.Normal(self._seen(bit, z), 1.0).log_prob(x)
            parts.append((masses * log_bit.exp(), log_p, log_q))
        return tuple(torch.cat(part) for part in zip(*parts, strict=True))


class Gaussian(Programs):
    """A linear-Gaussian autoencoder of one latent and one feature."""

    event_shape = ()

    def __init__(self, *, nodes=40):
        super().__init__()
        self.nodes = nodes
        self.p.slope, self.p.bias, self.p.log_scale = (nn.Parameter(torch.tensor(v).double()) for v in (0.5, 0.2, 0.1))
        self.q.slope, self.q.bias, self.q.log_scale = (nn.Parameter(torch.tensor(v).double()) for v in (0.4, 0.05, -0.15))

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x)), 1.0))
            pyro.sample("x", dist.Normal(self.p.slope * z + self.p.bias, self.p.log_scale.exp()), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.q.slope * x + self.q.bias, self.q.log_scale.exp()))

    def outcomes(self, x):
        return self._outcomes(x, lambda z: z)

    def fixed_outcomes(self, x):
        """Return the same with the draws as constants."""
        return self._outcomes(x, lambda z: z.detach())

    def _outcomes(self, x, drawn):
        nodes, masses = normal_rule(self.nodes)
        mean, scale = self.q.slope * x + self.q.bias, self.q.log_scale.exp()
        z = drawn(mean + scale * nodes)
        log_p = dist.Normal(torch.zeros_like(z), 1.0).log_prob(z)
        log_p = log_p + dist.Normal(self.p.slope * z + self.p.bias, self.p.log_scale.exp()).log_prob(x)
        return masses.expand_as(z), log_p, dist.Normal(mean, scale).log_prob(z)

    def log_evidence(self, x):
        variance = self.p.slope.square() + (2 * self.p.log_scale).exp()
        return dist.Normal(self.p.bias, variance.sqrt()).log_prob(x)


class Hierarchy(Programs):
    r"""Two Gaussians $z_1 \to z_2 \to x$ that the guide draws from below, each at a mean that depends on the one before.

    Scores are quadratic in the noise, so a coarse rule integrates them without error.
    """

    event_shape = ()
    nodes = 4

    def __init__(self):
        super().__init__()
        self.p.link, self.p.slope = (nn.Parameter(torch.tensor(v).double()) for v in (0.8, -0.6))
        self.q.below, self.q.link, self.q.log_scale = (nn.Parameter(torch.tensor(v).double()) for v in (0.7, 0.9, -0.4))

    def model(self, x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Normal(x.new_zeros(len(x)), 1.0))
            z2 = pyro.sample("z2", dist.Normal(self.p.link * z1, 1.0))
            pyro.sample("x", dist.Normal(self.p.slope * z2, 1.0), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            z2 = pyro.sample("z2", dist.Normal(self.q.below * x, self.q.log_scale.exp()))
            pyro.sample("z1", dist.Normal(self.q.link * z2 + 0.1 * x, 0.7))

    def log_p(self, x, z1, z2):
        prior = dist.Normal(0.0, 1.0).log_prob(z1) + dist.Normal(self.p.link * z1, 1.0).log_prob(z2)
        return prior + dist.Normal(self.p.slope * z2, 1.0).log_prob(x)

    def log_q(self, x, z1, z2):
        below = dist.Normal(self.q.below * x, self.q.log_scale.exp()).log_prob(z2)
        return below + dist.Normal(self.q.link * z2 + 0.1 * x, 0.7).log_prob(z1)

    def outcomes(self, x):
        nodes, masses = normal_rule(self.nodes)
        z2 = self.q.below * x + self.q.log_scale.exp() * nodes.repeat(self.nodes, 1)
        z1 = self.q.link * z2 + 0.1 * x + 0.7 * nodes.repeat_interleave(self.nodes, 0)
        mass = masses.repeat(self.nodes, 1) * masses.repeat_interleave(self.nodes, 0)
        return mass, self.log_p(x, z1, z2), self.log_q(x, z1, z2)


def gradient(objective, pair):
    """Return the gradient of minus a value's batch mean as one vector over the parameters of the two programs."""
    return flat_gradient(-objective.mean(), pair.programs)


def flat_gradient(scalar, module):
    parameters = list(module.parameters())
    gradients = torch.autograd.grad(scalar, parameters, materialize_grads=True, allow_unused=True)
    return torch.cat([part.flatten() for part in gradients])


def exact_moments(pair, estimate):
    """Return the exact moments of what `estimate()` returns: its `value`, and its `gradient` as one vector."""
    return exact_expectation(lambda: _outputs(pair, estimate()))


def exact_means(pair, estimate, *, nodes):
    """Return the means of value and gradient where normal noise takes the `nodes` values of a quadrature rule."""
    mean = torch.from_numpy(exact_law(lambda: _outputs(pair, estimate()), nodes=nodes).mean)
    size = sum(value.numel() for value in pair.programs.parameters())
    return mean[:-size], mean[-size:]


def _outputs(pair, estimate):
    return {"value": estimate.value, "gradient": flat_gradient(estimate.surrogate, pair.programs)}


def relative_error(found, target):
    """Return how far a vector is from where it should be, relative to its size."""
    return ((found - target).norm() / target.norm()).item()


def part(pair, vector, program):
    """Return the entries of a gradient that belong to one of the programs, `"p"` or `"q"`."""
    names = [name for name, value in pair.programs.named_parameters() for _ in range(value.numel())]
    return vector[[name.startswith(program + ".") for name in names]]

r"""Pairs so small that every expectation under the guide is a finite sum, or an integral over one Gaussian variable or two.

Each is written twice, as Pyro programs and as laws that the kit can sum (`probgen.testing.problems`). Exact bounds are the
kit's oracles, and their gradients follow by autograd; no estimator has a part in it.
"""

from __future__ import annotations

import pyro
import pyro.distributions as dist
import torch
from torch import nn

from probgen import Batch
from probgen.testing import exact_expectation, exact_law
from probgen.testing.problem import Problem, Situation
from probgen.testing.problems.latent_program import LatentProgram
from probgen.testing.problems.latent_quantities import LATENT_ORACLES
from probgen.testing.problems.laws import Bits, Line, Space
from probgen.testing.problems.outcomes import explanations

_KNOWN = Problem("pair", lambda dtype: None, LATENT_ORACLES)


def weights(*shape, seed, scale=0.8):
    generator = torch.Generator().manual_seed(seed)
    return nn.Parameter(scale * torch.randn(shape, generator=generator, dtype=torch.float64))


class Programs(LatentProgram):
    """A model and a guide with their laws, and what is known of them."""

    def pair(self, **options):
        """Return the pair, whose parameters are `programs.p.*` and `programs.q.*`."""
        return super().pair(event_shape=self.event_shape, **options)

    def quantity(self, name, x):
        """Return one of the kit's exact quantities, `(N,)`, as a function of the parameters."""
        return _KNOWN.quantity(name, Situation(self, Batch(x), None, {}))

    def elbo(self, x):
        return self.quantity("elbo", x)

    def bound(self, x, num_particles):
        """Return the importance-weighted bound, `(N,)`."""
        return self.quantity(f"iwae[{num_particles}]", x)

    def evidence(self, x):
        return self.quantity("log_prob", x)

    def outcomes(self, x):
        """Return everything that the guide may draw, with masses and scores."""
        return explanations(self, x, None)

    def log_p(self, x, **values):
        r"""Return $\log p(x, z)$ at the values of the latents."""
        return _score(lambda answer: self.generate(answer, None), {**values, **self.sites_of(x)})

    def log_q(self, x, **values):
        r"""Return $\log q(z \mid x)$ at the values of the latents."""
        return _score(lambda answer: self.infer(x, answer, None), values)


def _score(ask, values):
    terms = []

    def answer(name, law):
        terms.append(law.log_prob(values[name]))
        return values[name]

    ask(answer)
    return sum(terms)


class BeliefNet(Programs):
    """Sigmoid belief net: a layer of bits above three visible ones, and a logistic guide; one site."""

    event_shape = (3,)

    def __init__(self, latents=3):
        super().__init__()
        self.p.prior, self.p.weight, self.p.bias = weights(latents, seed=1), weights(latents, 3, seed=2), weights(3, seed=3)
        self.q.weight, self.q.bias = weights(3, latents, seed=4), weights(latents, seed=5)
        self.latents, self.observed = {"z": Space("bits", latents)}, {"x": Space("bits", 3)}

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.p.prior.expand(len(x), -1)).to_event(1))
            pyro.sample("x", dist.Bernoulli(logits=z @ self.p.weight + self.p.bias).to_event(1), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=x @ self.q.weight + self.q.bias).to_event(1))

    def generate(self, answer, context):
        z = answer("z", Bits(self.p.prior, 1))
        answer("x", Bits(z @ self.p.weight + self.p.bias, 1))

    def infer(self, x, answer, context):
        answer("z", Bits(x @ self.q.weight + self.q.bias, 1))


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
        self.latents = {f"z{site}": Space("bits") for site in self.order}
        self.observed = {f"x{site}": Space("bits") for site in range(3)}

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

    def generate(self, answer, context):
        z = []
        for site in range(3):
            z.append(answer(f"z{site}", Bits(self._prior(site, z[-1] if z else None))))
            answer(f"x{site}", Bits(self._seen(site, z)))

    def infer(self, x, answer, context):
        drawn = {}
        for place, site in enumerate(self.order):
            drawn[site] = answer(f"z{site}", Bits(self._guided(place, x, drawn)))

    def sites_of(self, x):
        return {f"x{site}": x[..., site] for site in range(3)}

    def event_of(self, values):
        return torch.stack([values[f"x{site}"] for site in range(3)], -1)


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
        order = ("bit", "z") if bit_first else ("z", "bit")
        self.latents = {name: Space("bits" if name == "bit" else "line") for name in order}
        self.observed = {"x": Space("line")}

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

    def generate(self, answer, context):
        bit = answer("bit", Bits(self.p.prior))
        one = torch.ones_like(self.p.prior)
        z = answer("z", Line(self._p(bit), one))
        answer("x", Line(self._seen(bit, z), one))

    def infer(self, x, answer, context):
        if self.bit_first:
            bit = answer("bit", Bits(self._bit(x, None)))
            answer("z", Line(self._mean(x, bit), self.q.log_scale.exp()))
        else:
            z = answer("z", Line(self._mean(x, None), self.q.log_scale.exp()))
            answer("bit", Bits(self._bit(x, z)))


class Gaussian(Programs):
    """A linear-Gaussian autoencoder of one latent and one feature."""

    event_shape = ()

    def __init__(self, *, nodes=40):
        super().__init__()
        self.nodes = nodes
        self.latents, self.observed = {"z": Space("line")}, {"x": Space("line")}
        self.p.slope, self.p.bias, self.p.log_scale = (nn.Parameter(torch.tensor(v).double()) for v in (0.5, 0.2, 0.1))
        self.q.slope, self.q.bias, self.q.log_scale = (nn.Parameter(torch.tensor(v).double()) for v in (0.4, 0.05, -0.15))

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Normal(x.new_zeros(len(x)), 1.0))
            pyro.sample("x", dist.Normal(self.p.slope * z + self.p.bias, self.p.log_scale.exp()), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Normal(self.q.slope * x + self.q.bias, self.q.log_scale.exp()))

    def generate(self, answer, context):
        zero = torch.zeros_like(self.p.slope)
        z = answer("z", Line(zero, zero + 1))
        answer("x", Line(self.p.slope * z + self.p.bias, self.p.log_scale.exp()))

    def infer(self, x, answer, context):
        answer("z", Line(self.q.slope * x + self.q.bias, self.q.log_scale.exp()))

    def log_evidence(self, x, context):
        variance = self.p.slope.square() + (2 * self.p.log_scale).exp()
        return Line(self.p.bias, variance.sqrt()).log_prob(x)


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
        self.latents, self.observed = {"z2": Space("line"), "z1": Space("line")}, {"x": Space("line")}

    def model(self, x):
        with pyro.plate("data", len(x)):
            z1 = pyro.sample("z1", dist.Normal(x.new_zeros(len(x)), 1.0))
            z2 = pyro.sample("z2", dist.Normal(self.p.link * z1, 1.0))
            pyro.sample("x", dist.Normal(self.p.slope * z2, 1.0), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            z2 = pyro.sample("z2", dist.Normal(self.q.below * x, self.q.log_scale.exp()))
            pyro.sample("z1", dist.Normal(self.q.link * z2 + 0.1 * x, 0.7))

    def generate(self, answer, context):
        one = torch.ones_like(self.p.link)
        z1 = answer("z1", Line(0 * one, one))
        z2 = answer("z2", Line(self.p.link * z1, one))
        answer("x", Line(self.p.slope * z2, one))

    def infer(self, x, answer, context):
        z2 = answer("z2", Line(self.q.below * x, self.q.log_scale.exp()))
        answer("z1", Line(self.q.link * z2 + 0.1 * x, torch.full_like(self.q.link, 0.7)))


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

"""REBAR and RELAX: one bit by quadrature over both of its noises, several sites by simulation, and what is left out seen."""

from __future__ import annotations

import numpy as np
import pyro
import pyro.distributions as dist
import pytest
import torch
from torch import nn

from helpers.draws import ERRORS, standard_errors
from helpers.enumerable_pairs import BeliefNet, Mixed, Programs, flat_gradient, gradient
from helpers.small_models import BitChain
from probgen import REBAR, RELAX, Batch, CapabilityError, ConfigurationError, PyroPair
from probgen.claims import LowerBound, Unbiased
from probgen.estimators import relax, relaxations
from probgen.estimators.noisy_draws import NoisyDraws
from probgen.estimators.relaxations import LogisticRelaxation
from probgen.pyro_bridge import run_pair
from probgen.testing.problems.laws import Bits, Line, Space

NODES = 40
LOGIT = 0.6


class Rows(Programs):
    """One bit, with parameters of its own for each example, all alike: one batch then holds the gradient of each draw."""

    event_shape = ()

    def __init__(self, rows):
        super().__init__()
        self.latents, self.observed = {"z": Space("bits")}, {"x": Space("line")}
        for program, name, value in (("p", "prior", 0.4), ("p", "mean", -0.5), ("p", "slope", 1.7), ("q", "logit", LOGIT)):
            getattr(self, program).register_parameter(name, nn.Parameter(torch.full((rows,), value, dtype=torch.float64)))

    def model(self, x):
        with pyro.plate("data", len(x)):
            z = pyro.sample("z", dist.Bernoulli(logits=self.p.prior))
            pyro.sample("x", dist.Normal(self.p.mean + self.p.slope * z, 1.0), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            pyro.sample("z", dist.Bernoulli(logits=self.q.logit))

    def generate(self, answer, context):
        z = answer("z", Bits(self.p.prior))
        answer("x", Line(self.p.mean + self.p.slope * z, torch.ones_like(self.p.mean)))

    def infer(self, x, answer, context):
        answer("z", Bits(self.q.logit))


def quadrature():
    """Return nodes for the two uniform noises of a bit, the first split where the bit turns, and their weights."""
    points, weights = np.polynomial.legendre.leggauss(NODES)
    # The map to (0, 1) is flat at both ends, where the logits of uniform noise grow without bound.
    t = torch.from_numpy((points + 1) / 2)
    unit, mass = t**3 * (10 - 15 * t + 6 * t**2), torch.from_numpy(weights / 2) * 30 * t**2 * (1 - t) ** 2
    turn = torch.tensor(-LOGIT, dtype=torch.float64).sigmoid()
    first = torch.cat([turn * unit, turn + (1 - turn) * unit])
    first_mass = torch.cat([turn * mass, (1 - turn) * mass])
    noises = first.repeat_interleave(NODES), unit.repeat(2 * NODES)
    return noises, first_mass.repeat_interleave(NODES) * mass.repeat(2 * NODES)


def outcome(monkeypatch, estimator):
    """Return the gradient at each node and its mass, and the exact gradient; check the value."""
    noises, masses = quadrature()
    programs = Rows(len(masses))
    pair, batch = programs.pair(), Batch(torch.full((len(masses),), 0.8, dtype=torch.float64))
    estimator.initialize(pair, batch)
    (phase,) = estimator.phases(pair)
    remaining = list(noises)
    monkeypatch.setattr(relaxations, "_uniform_like", lambda tensor: remaining.pop(0).reshape(tensor.shape))
    estimate = phase(pair, batch, {})
    assert not remaining
    exact = programs.elbo(batch.x)
    torch.testing.assert_close((masses * estimate.value).sum(), exact[0].detach())
    gradients = flat_gradient(estimate.surrogate, programs).reshape(4, -1) * len(masses)
    return gradients, masses, gradient(exact, pair).reshape(4, -1)[:, 0] * len(masses)


ESTIMATORS = {
    "rebar": lambda: REBAR(temperature=0.7, scale=0.8),
    "relax": lambda: shaken(RELAX(temperature=0.7, hidden=(3,))),
}


def shaken(estimator):
    """Return an estimator whose network, when it is built, is anything but zero."""
    build = estimator._core.control.build

    def built(*arguments):
        build(*arguments)
        for parameter in estimator._core.control.networks.parameters():
            nn.init.normal_(parameter, std=0.7)

    estimator._core.control.build = built
    return estimator


class TestOneBit:
    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_value_and_gradient_are_unbiased(self, monkeypatch, name):
        gradients, masses, expected = outcome(monkeypatch, ESTIMATORS[name]())
        assert masses.sum() == pytest.approx(1.0)
        torch.testing.assert_close((masses * gradients).sum(1), expected, rtol=0, atol=1e-6)

    def test_without_the_correction_of_the_score_it_is_biased(self, monkeypatch):
        monkeypatch.setattr(relax, "_residual", lambda signal, guess: signal)
        self.assert_wrong(*outcome(monkeypatch, REBAR(temperature=0.7)))

    def test_conditional_noise_taken_for_a_constant_is_seen(self, monkeypatch):
        noisy_given = LogisticRelaxation.noisy_given
        monkeypatch.setattr(LogisticRelaxation, "noisy_given", lambda bit, hard: noisy_given(bit, hard).detach())
        self.assert_wrong(*outcome(monkeypatch, REBAR(temperature=0.7)))

    @staticmethod
    def assert_wrong(gradients, masses, expected):
        error = (masses * gradients).sum(1) - expected
        assert error[3].abs() > 0.01 * expected[3].abs()  # the rule is right to 1e-6
        assert error[:3].abs().max() < 1e-9

    def test_it_varies_less_than_a_score(self, monkeypatch):
        gradients, masses, expected = outcome(monkeypatch, REBAR(temperature=0.7))
        variance = (masses * gradients[3].square()).sum() - expected[3].square()
        programs = Rows(1)
        drawn = programs.outcomes(torch.tensor([0.8], dtype=torch.float64))
        score = drawn.log_weights * (drawn.values["z"] - programs.q.logit.sigmoid())
        assert variance < 0.2 * ((drawn.mass * score.square()).sum() - (drawn.mass * score).sum().square())

    @pytest.mark.parametrize("name", ESTIMATORS)
    def test_the_control_variate_descends_the_variance(self, name):
        """The square of the gradient by the logits, at one set of noises: its value, and its derivative by differences."""
        programs = Rows(50)
        pair, batch = programs.pair(), Batch(torch.linspace(-1, 2, 50, dtype=torch.float64))
        estimator = ESTIMATORS[name]()
        estimator.initialize(pair, batch)
        estimator.learned.double()
        (phase,) = estimator.phases(pair)

        def run():
            torch.manual_seed(5)
            return phase(pair, batch, {})

        estimate = run()
        by_logit = torch.autograd.grad(estimate.surrogate, programs.q.logit, retain_graph=True)[0] * len(batch)
        torch.testing.assert_close(estimate.info["logit_variance"], by_logit.square().mean())
        learned = {name: p for name, p in phase.parameters.items() if name.startswith("control.")}
        slopes = dict(zip(learned, torch.autograd.grad(estimate.surrogate, list(learned.values())), strict=True))
        for name_, parameter in learned.items():
            entry = (0,) * parameter.ndim
            ends = []
            for step in (1e-5, -1e-5):
                with torch.no_grad():
                    parameter[entry] += step
                ends.append(run().info["logit_variance"])
                with torch.no_grad():
                    parameter[entry] -= step
            torch.testing.assert_close(slopes[name_][entry], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-8)


class OneHot(nn.Module):
    """A one-hot vector of three, seen through a Gaussian, and a bit that hangs on it."""

    event_shape = ()

    def __init__(self):
        super().__init__()
        self.p, self.q = nn.Module(), nn.Module()
        generator = torch.Generator().manual_seed(2)
        for program, name, size in (
            ("p", "prior", 3),
            ("p", "mean", 3),
            ("p", "link", 3),
            ("q", "logits", 3),
            ("q", "link", 3),
        ):
            value = torch.randn(size, generator=generator, dtype=torch.float64)
            getattr(self, program).register_parameter(name, nn.Parameter(value))

    def model(self, x):
        with pyro.plate("data", len(x)):
            h = pyro.sample("h", dist.OneHotCategorical(logits=self.p.prior.expand(len(x), 3)))
            b = pyro.sample("b", dist.Bernoulli(logits=h @ self.p.link))
            pyro.sample("x", dist.Normal(h @ self.p.mean + b, 1.0), obs=x)

    def guide(self, x):
        with pyro.plate("data", len(x)):
            h = pyro.sample("h", dist.OneHotCategorical(logits=self.q.logits + 0.3 * x[:, None]))
            pyro.sample("b", dist.Bernoulli(logits=h @ self.q.link + x))

    def pair(self, **options):
        return PyroPair(self.model, self.guide, event_shape=(), inference=("programs.q.*",), **options)

    def elbo(self, x):
        """Return the sum over what the guide may draw; the kit has no laws of categories."""
        h = torch.eye(3, dtype=torch.float64).repeat(2, 1)[:, None]
        b = torch.tensor([0.0, 1.0], dtype=torch.float64).repeat_interleave(3)[:, None]
        log_q = dist.OneHotCategorical(logits=(self.q.logits + 0.3 * x[:, None]).expand(6, -1, -1)).log_prob(
            h.expand(-1, len(x), -1)
        )
        log_q = log_q + dist.Bernoulli(logits=h @ self.q.link + x).log_prob(b)
        log_p = (h * self.p.prior.log_softmax(-1)).sum(-1) + dist.Bernoulli(logits=h @ self.p.link).log_prob(b)
        log_p = log_p + dist.Normal(h @ self.p.mean + b, 1.0).log_prob(x)
        return (log_q.exp() * (log_p - log_q)).sum(0)


class TestSeveralSites:
    @pytest.mark.parametrize("particles", ["fold", "plate"])
    @pytest.mark.parametrize(
        "make",
        [BitChain, OneHot, lambda: BeliefNet(latents=2), Mixed, lambda: Mixed(bit_first=False)],
        ids=["chain", "one-hot", "net", "bit-then-gaussian", "gaussian-then-bit"],
    )
    def test_they_are_unbiased(self, make, particles):
        programs = make()
        programs.nodes = 60
        pair = programs.pair(particles=particles)
        x = (
            torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)[: programs.event_shape[0]]
            if programs.event_shape
            else torch.tensor(0.6).double()
        )
        exact = gradient(programs.elbo(x[None]), pair)
        many = Batch(x.expand(400, *x.shape))
        for estimator in (REBAR(temperature=0.6, num_particles=2), shaken(RELAX(hidden=(4,)))):
            estimator.initialize(pair, many)
            (phase,) = estimator.phases(pair)
            draws = torch.stack([flat_gradient(phase(pair, many, {}).surrogate, programs) for _ in range(30)])
            assert standard_errors(draws, exact) < ERRORS
            assert draws.std(0).norm() / 30**0.5 < 0.05 * exact.norm()

    def test_particles_one_by_one(self):
        programs = BitChain()
        pair, batch = programs.pair(particles="loop"), Batch(torch.ones(5, 2, dtype=torch.float64))
        for estimator in (REBAR(num_particles=3), RELAX(num_particles=3, hidden=(4,))):
            estimator.initialize(pair, batch)
            (phase,) = estimator.phases(pair)
            assert phase(pair, batch, {}).value.shape == (5,)

    def test_draws_are_those_of_the_guide(self):
        programs = BitChain()
        x = torch.ones(20_000, 2, dtype=torch.float64)
        trace = run_pair(programs.pair(), x, draw=NoisyDraws())
        mass = programs.outcomes(x[:1]).mass
        found = torch.stack(
            [trace.sites["z1"].value[0] * 2 + trace.sites["z2"].value[0] == number for number in range(4)], 1
        )
        assert standard_errors(found.double(), mass[:, 0].detach()) < ERRORS


class TestStatements:
    def test_claims(self):
        for estimator in (REBAR(), RELAX()):
            assert estimator.claims.value == (Unbiased("elbo"), LowerBound("log_prob"))
            assert estimator.claims.for_parameter("encoder.weight") == Unbiased("grad:elbo")
            assert estimator.claims.for_parameter("control.scale") == Unbiased("grad:logit_variance")

    def test_a_network_is_built_for_each_site(self):
        estimator, pair, batch = RELAX(hidden=(5,)), BitChain().pair(), Batch(torch.ones(3, 2, dtype=torch.float64))
        (phase,) = estimator.phases(pair)
        with pytest.raises(ConfigurationError, match="RELAX: expected a network for 'z1'; got none"):
            phase(pair, batch, {})
        estimator.initialize(pair, batch)
        estimator.initialize(pair, batch)
        assert len(estimator.learned.networks) == 2
        assert len(REBAR().learned.networks) == 0

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"num_particles": 0}, "RELAX: expected num_particles of at least 1; got 0"),
            ({"temperature": 0.0}, "RELAX: expected a temperature above 0; got 0.0"),
            ({"hidden": (0,)}, r"RELAX: expected hidden widths of at least 1; got \(0,\)"),
        ],
    )
    def test_options_are_checked(self, options, message):
        with pytest.raises(ConfigurationError, match=message):
            RELAX(**options)

    def test_a_guide_that_is_not_trained(self):
        programs = BitChain()
        programs.q.requires_grad_(False)
        (phase,) = REBAR().phases(programs.pair())
        estimate = phase(programs.pair(), Batch(torch.ones(3, 2, dtype=torch.float64)), {})
        assert "logit_variance" not in estimate.info
        assert estimate.surrogate.requires_grad

    def test_a_category_by_its_number_is_refused(self):
        def program(x):
            with pyro.plate("data", len(x)):
                pyro.sample("k", dist.Categorical(torch.ones(3)))

        pair = PyroPair(program, program, event_shape=())
        (phase,) = REBAR().phases(pair)
        with pytest.raises(CapabilityError, match="Write categories as one-hot vectors"):
            phase(pair, Batch(torch.zeros(4)), {})

    def test_it_runs_without_gradients(self):
        pair, batch = BitChain().pair(), Batch(torch.ones(3, 2, dtype=torch.float64))
        (phase,) = REBAR().phases(pair)
        with torch.no_grad():
            assert phase(pair, batch, {}).value.shape == (3,)

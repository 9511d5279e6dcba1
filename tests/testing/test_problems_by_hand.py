"""Oracles of which only the gradient means something, against formulas written out by hand for one bit and for one line."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from probgen import REBAR, RELAX
from probgen.testing.checks.scenes import set_up
from probgen.testing.problem import Situation
from probgen.testing.problems import known_problems

PROBLEMS = known_problems()


def at(name, **state):
    model, batch = PROBLEMS[name].make(torch.float64)
    return Situation(model, batch, None, {key: torch.tensor(value, dtype=torch.float64) for key, value in state.items()})


def gradients(name, quantity, situation):
    """Return what training follows, by the names of parameters."""
    parameters = dict(situation.model.programs.named_parameters())
    loss = PROBLEMS[name].loss(quantity, situation)
    found = torch.autograd.grad(loss, list(parameters.values()), materialize_grads=True, allow_unused=True)
    return {key: gradient.numpy() for key, gradient in zip(parameters, found, strict=True)}


def sigmoid(value):
    return 1 / (1 + np.exp(-value))


def softplus(value):
    return np.logaddexp(0, value)


class Bit:
    """The problem `one-bit` once more: a latent bit over two visible ones, with its scores written out."""

    def __init__(self, situation):
        values = {key: value.detach().numpy() for key, value in situation.model.programs.named_parameters()}
        self.x = situation.batch.x[0].numpy()
        self.prior, self.weight, self.bias = values["p.prior"][0], values["p.weight"][0], values["p.bias"]
        self.logit = self.x @ values["q.weight"][:, 0] + values["q.bias"][0]

    def log_p(self, z):
        seen = z * self.weight + self.bias
        return z * self.prior - softplus(self.prior) + (self.x * seen - softplus(seen)).sum()

    def log_q(self, z):
        return z * self.logit - softplus(self.logit)

    def slope(self, z):
        """Return the derivative of the log-weight by the bit, continued linearly."""
        seen = z * self.weight + self.bias
        return self.prior + (self.weight * (self.x - sigmoid(seen))).sum() - self.logit

    def score_p(self, z):
        error = self.x - sigmoid(z * self.weight + self.bias)
        return {"p.prior": np.array([z - sigmoid(self.prior)]), "p.weight": z * error[None], "p.bias": error}

    def score_q(self, z):
        error = z - sigmoid(self.logit)
        return {"q.weight": error * self.x[:, None], "q.bias": np.array([error])}

    def tuples(self, count):
        """Yield all draws of so many bits from the guide, with their probabilities and normalised weights of importance."""
        for bits in itertools.product((0.0, 1.0), repeat=count):
            weights = np.exp([self.log_p(z) - self.log_q(z) for z in bits])
            yield bits, math.exp(sum(self.log_q(z) for z in bits)), weights / weights.sum()


def summed(terms):
    """Return the sum of `factor * score` over terms, by the names of parameters."""
    total = {}
    for factor, score in terms:
        for key, value in score.items():
            total[key] = total.get(key, 0) + factor * value
    return total


def assert_equal(found, expected):
    for key, value in found.items():
        np.testing.assert_allclose(value, expected.get(key, np.zeros_like(value)), rtol=1e-9, atol=1e-12, err_msg=key)
    assert any(np.abs(value).max() > 1e-3 for value in expected.values())


@pytest.mark.parametrize("particles", [1, 2, 3])
class TestWeightedScores:
    def test_reweighted_wake_sleep(self, particles):
        situation = at("one-bit")
        bit = Bit(situation)
        terms = [
            (-mass * weight, {**bit.score_p(z), **bit.score_q(z)})
            for bits, mass, weights in bit.tuples(particles)
            for z, weight in zip(bits, weights, strict=True)
        ]
        assert_equal(gradients("one-bit", f"rws[{particles}]", situation), summed(terms))

    def test_sticking_the_landing_sees_no_path_through_a_bit(self, particles):
        situation = at("one-bit")
        bit = Bit(situation)
        terms = [
            (-mass * weight, bit.score_p(z))
            for bits, mass, weights in bit.tuples(particles)
            for z, weight in zip(bits, weights, strict=True)
        ]
        assert_equal(gradients("one-bit", f"stl[{particles}]", situation), summed(terms))


@pytest.mark.parametrize(("variance", "scale"), [(0.25, 1.0), (9.0, 3.0)])
def test_scores_divided_by_a_deviation(variance, scale):
    situation = at("one-bit", variance=variance)
    bit = Bit(situation)
    terms = []
    for z in (0.0, 1.0):
        mass, signal = math.exp(bit.log_q(z)), bit.log_p(z) - bit.log_q(z)
        terms += [(-mass, bit.score_p(z)), (-mass * signal / scale, bit.score_q(z))]
    assert_equal(gradients("one-bit", "nvil", situation), summed(terms))


def test_the_divergence_from_the_posterior_to_the_guide():
    situation = at("one-bit")
    bit = Bit(situation)
    evidence = np.logaddexp(bit.log_p(0.0), bit.log_p(1.0))
    posterior = {z: math.exp(bit.log_p(z) - evidence) for z in (0.0, 1.0)}
    divergence = sum(mass * (math.log(mass) - bit.log_q(z)) for z, mass in posterior.items())
    assert PROBLEMS["one-bit"].quantity("wake_phi", situation).item() == pytest.approx(divergence, rel=1e-9)
    assert_equal(
        gradients("one-bit", "wake_phi", situation), summed((-mass, bit.score_q(z)) for z, mass in posterior.items())
    )


class Line:
    """The problem `gaussian-autoencoder` once more."""

    def __init__(self, situation):
        values = {key: value.item() for key, value in situation.model.programs.named_parameters()}
        self.x = situation.batch.x.item()
        self.w, self.b, self.s = values["p.slope"], values["p.bias"], math.exp(values["p.log_scale"])
        self.mean, self.scale = values["q.slope"] * self.x + values["q.bias"], math.exp(values["q.log_scale"])


def test_the_divergence_between_two_normal_laws():
    situation = at("gaussian-autoencoder")
    line = Line(situation)
    variance = 1 / (1 + line.w**2 / line.s**2)
    mean = variance * line.w * (line.x - line.b) / line.s**2
    ratio = variance / line.scale**2
    divergence = 0.5 * (ratio - 1 - math.log(ratio) + (mean - line.mean) ** 2 / line.scale**2)
    assert PROBLEMS["gaussian-autoencoder"].quantity("wake_phi", situation).item() == pytest.approx(divergence, rel=1e-6)
    found = gradients("gaussian-autoencoder", "wake_phi", situation)
    assert found["q.bias"] == pytest.approx((line.mean - mean) / line.scale**2, rel=1e-6)
    expected = 1 - ratio - (mean - line.mean) ** 2 / line.scale**2
    assert found["q.log_scale"] == pytest.approx(expected, rel=1e-5)
    assert not any(value.any() for key, value in found.items() if key.startswith("p."))


def test_sticking_the_landing_along_the_path():
    """The guide learns from the derivative of the weights along the draws alone."""
    situation = at("gaussian-autoencoder")
    line = Line(situation)
    nodes, masses = np.polynomial.hermite_e.hermegauss(40)
    masses = masses / masses.sum()
    z = line.mean + line.scale * nodes
    error = (line.x - line.w * z - line.b) / line.s**2
    log_weights = -0.5 * z**2 - 0.5 * (line.s * error) ** 2 + 0.5 * nodes**2  # constants cancel
    weights = np.exp(log_weights)
    first = weights[:, None] / (weights[:, None] + weights)
    share = 2 * (masses[:, None] * masses * first).sum(1)  # of the first of two draws, and of the second
    slope = -z + line.w * error + nodes / line.scale
    found = gradients("gaussian-autoencoder", "stl[2]", situation)
    expected = {
        "q.bias": -(share * slope).sum(),
        "q.slope": -(share * slope).sum() * line.x,
        "q.log_scale": -(share * slope * line.scale * nodes).sum(),
        "p.bias": -(share * error).sum(),
        "p.slope": -(share * error * z).sum(),
        "p.log_scale": -(share * ((line.s * error) ** 2 - 1)).sum(),
    }
    for key, value in expected.items():
        assert found[key].item() == pytest.approx(value, rel=1e-8), key


class TestVarianceByLogits:
    """The square of the gradient by a bit's logit, whose control variate is the signal at a relaxed bit."""

    @pytest.fixture
    def scene(self):
        return set_up(REBAR(temperature=0.6, scale=0.8), PROBLEMS["one-bit"], seed=1)

    def test_it_is_an_integral_over_the_square(self, scene):
        """With both uniform variables, where the oracle takes two integrals of one."""
        bit = Bit(scene.situation)
        eta, temperature = 0.8, 0.6
        nodes, masses = np.polynomial.legendre.leggauss(400)
        v, masses = (nodes + 1) / 2, masses / 2
        threshold, odds = 1 - sigmoid(bit.logit), math.exp(bit.logit)

        def control(noisy):
            soft = sigmoid(noisy / temperature)
            slopes = np.array([bit.slope(z) for z in soft])
            values = np.array([bit.log_p(z) - bit.log_q(z) for z in soft])
            return eta * values, eta * slopes * soft * (1 - soft) / temperature

        total = 0.0
        for z, mass, u in ((0.0, threshold, threshold * v), (1.0, 1 - threshold, threshold + (1 - threshold) * v)):
            _, slope = control(bit.logit + np.log(u / (1 - u)))
            if z:
                noisy, along = np.log((1 + v * odds) / (1 - v)), v * odds / (1 + v * odds)
            else:  # the mirror image
                noisy, along = -np.log((1 + (1 - v) / odds) / v), (1 - v) / odds / (1 + (1 - v) / odds)
            guess, guess_slope = control(noisy)
            signal = bit.log_p(z) - bit.log_q(z)
            conditional = (signal - guess) * (z - sigmoid(bit.logit)) - guess_slope * along
            total += mass * masses @ (slope[:, None] + conditional) ** 2 @ masses
        found = PROBLEMS["one-bit"].quantity("logit_variance", scene.situation)
        assert found.item() == pytest.approx(total, rel=1e-4)

    @pytest.mark.parametrize(
        ("estimator", "name"),
        [(REBAR(temperature=0.6, scale=0.8), "one-bit"), (REBAR(), "sigmoid-belief-net"), (RELAX(hidden=(2,)), "one-bit")],
        ids=["rebar", "rebar of two bits", "relax"],
    )
    def test_gradients_are_central_differences(self, estimator, name):
        scene, problem, step = set_up(estimator, PROBLEMS[name], seed=1), PROBLEMS[name], 1e-5
        learned = list(scene.estimator.learned.parameters())
        with torch.no_grad():  # a network that is zero at its output has no slope behind it
            for parameter in learned[2:]:
                parameter.add_(0.3)
        loss = problem.loss("logit_variance", scene.situation)
        found = torch.autograd.grad(loss, learned, materialize_grads=True, allow_unused=True)
        for parameter, gradient in zip(learned, found, strict=True):
            flat = parameter.data.view(-1)
            for entry in range(len(flat)):
                ends = []
                for sign in (1, -1):
                    flat[entry] += sign * step
                    ends.append(problem.loss("logit_variance", scene.situation).item())
                    flat[entry] -= sign * step
                difference = (ends[0] - ends[1]) / (2 * step)
                assert gradient.reshape(-1)[entry].item() == pytest.approx(difference, rel=1e-6, abs=1e-8)
        assert all(bool(gradient.abs().sum() > 1e-6) for gradient in found[:2])

"""Oracles of densities, chains, games, discrepancies and scores, against a second computation and the estimators."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.distributions import MultivariateNormal, Normal

from helpers.problem_scenes import PROBLEMS, Scene, distance
from probgen import (
    MMD,
    Adversarial,
    CapabilityError,
    ConfigurationError,
    ContrastiveDivergence,
    DenoisingScoreMatching,
    MaximumLikelihood,
    ScoreMatching,
)
from probgen.estimator import Estimator
from probgen.estimators.adversarial_losses import BEGAN, Hinge, LeastSquares, Minimax, NonSaturating, Wasserstein
from probgen.estimators.adversarial_penalties import AroundData, AtData, Between, GradientPenalty, Place
from probgen.estimators.denoising_score_matching import Likelihood, MinSNR, Simple
from probgen.estimators.kernels import RBF, InverseMultiquadric, KernelMixture, MultiscaleRBF
from probgen.estimators.mmd import LinearTime, UStatistic, VStatistic
from probgen.estimators.score_matching import SlicedTrace
from probgen.testing import Outcome, decide_mean, exact_expectation
from probgen.testing.problems import boltzmann, densities, games


@dataclasses.dataclass(frozen=True)
class Case:
    """A problem, an estimator, and the names of what its value and its gradient (by phase) are."""

    problem: str
    make: Callable[[], Estimator]
    value: str
    gradient: Mapping[str, str]

    def __str__(self) -> str:
        return f"{self.problem}: {', '.join(self.gradient.values())}"

    def value_in(self, phase: str) -> str:
        """Return the name of what a phase's value is: a generator's own loss, else that of the objective."""
        return self.gradient[phase].removeprefix("grad:") if phase == "generator" else self.value


def case(problem: str, make: Callable[[], Estimator], value: str, gradient: str | None = None, **phases: str) -> Case:
    return Case(problem, make, value, phases or {"main": gradient or f"grad:{value}"})


def discriminating(loss, **options):
    return lambda: Adversarial(loss=loss, critic=games.TinyCritic(2), **options)


def reconstructing():
    critic = nn.Linear(2, 2)
    with torch.no_grad():
        critic.weight.copy_(torch.tensor([[0.6, -0.4], [0.3, 0.8]]))
        critic.bias.copy_(torch.tensor([0.2, -0.7]))
    return Adversarial(loss=BEGAN(), critic=critic)


def game_case(loss, generator: str, make=None) -> Case:
    make = discriminating(loss) if make is None else make
    return case("two-point-game", make, loss.name, critic=f"grad:{loss.name}", generator=f"grad:{generator}")


CASES = [
    *(case(name, MaximumLikelihood, "log_prob") for name in ("categorical", "correlated-gaussian", "linear-regression")),
    *(
        case(name, lambda: ContrastiveDivergence(), "energy-gap", "cd[1]")
        for name in ("boltzmann-pair", "boltzmann-machine", "langevin-line")
    ),
    *(
        case(name, lambda: ContrastiveDivergence(k=2, persistent=True, num_chains=1), "energy-gap", "pcd[2]")
        for name in ("boltzmann-pair", "langevin-line")
    ),
    game_case(Minimax(), "minimax-generator"),
    game_case(NonSaturating(), "non-saturating"),
    game_case(Wasserstein(), "wasserstein-generator"),
    game_case(LeastSquares(real=0.9, fake=-0.4, target=0.3), "least-squares-generator"),
    game_case(Hinge(), "hinge-generator"),
    game_case(BEGAN(), "began-generator", reconstructing),
    *(
        case("two-point-cloud", lambda kernel=kernel, statistic=statistic: MMD(kernel=kernel, statistic=statistic), name)
        for statistic, name in ((UStatistic(), "mmd2"), (VStatistic(), "mmd2-v"), (LinearTime(), "mmd2"))
        for kernel in (None, MultiscaleRBF(0.9), KernelMixture([RBF(1.1), InverseMultiquadric(1.0)]))
    ),
    case("two-point-cloud", lambda: MMD(num_samples=6), "mmd2"),
    case("two-point-cloud", lambda: MMD(num_samples=6, statistic=VStatistic()), "mmd2-v"),
    case("normal-line", lambda: MMD(), "mmd2"),
    case("gaussian-energy", lambda: ScoreMatching(), "hyvarinen"),
    case("double-well", lambda: ScoreMatching(), "hyvarinen"),
    case("gaussian-energy", lambda: ScoreMatching(method=SlicedTrace()), "hyvarinen"),
    case("double-well", lambda: ScoreMatching(method=SlicedTrace(gaussian=True)), "hyvarinen"),
    case("two-noise-levels", lambda: DenoisingScoreMatching(), "dsm[simple]"),
    case("two-noise-levels", lambda: DenoisingScoreMatching(weighting=MinSNR(limit=1.5)), "dsm[min-snr]"),
]
"""What can be decided without chance."""

OTHERS = [
    *(
        case(
            "affine-denoiser",
            lambda weighting=weighting: DenoisingScoreMatching(weighting=weighting),
            f"dsm[{weighting.name}]",
        )
        for weighting in (Simple(), MinSNR(limit=1.5), Likelihood())
    ),
    case("boltzmann-machine-4x3", lambda: ContrastiveDivergence(k=3), "energy-gap", "cd[3]"),
    *(
        Case(
            "penalised-game",
            discriminating(Wasserstein(clip=None), penalty=GradientPenalty(where=where)),
            "wasserstein[gradient-penalty]",
            {"critic": "grad:wasserstein[gradient-penalty]"},
        )
        for where in (Between(), AroundData())
    ),
]
"""What draws have to decide."""


@pytest.mark.parametrize("at", CASES, ids=str)
class TestEstimatorsWithoutChance:
    def test_value_and_gradient(self, at):
        scene = Scene.of(PROBLEMS[at.problem], at.make())
        for name, gradient in at.gradient.items():
            phase = scene.phase(name)
            moments = exact_expectation(lambda phase=phase: scene.outcome(phase), rules=(8, 10))
            assert distance(moments["gradient"].mean, scene.target(gradient, phase)) < 1e-9
            assert distance(moments["value"].mean, scene.value(at.value_in(name))) < 1e-9

    def test_single_precision(self, at):
        single, double = (Scene.of(PROBLEMS[at.problem], at.make(), dtype) for dtype in (torch.float32, torch.float64))
        for name, gradient in at.gradient.items():
            assert single.problem.quantity(at.value, single.situation).dtype == torch.float32
            assert distance(single.value(at.value), double.value(at.value)) < 1e-4
            assert distance(single.target(gradient, single.phase(name)), double.target(gradient, double.phase(name))) < 1e-4


@pytest.mark.parametrize("at", [*CASES, *OTHERS], ids=str)
class TestGradients:
    def test_they_match_central_differences(self, at):
        """Also where the law of a chain is a constant: it is held at the parameters where the gradient is taken."""
        scene = Scene.of(PROBLEMS[at.problem], at.make())
        for name, gradient in at.gradient.items():
            if "cd[" in gradient:
                continue  # see TestChains
            phase = scene.phase(name)
            assert (
                distance(
                    slopes(lambda name=gradient: scene.problem.loss(name, scene.situation), phase),
                    scene.target(gradient, phase),
                )
                < 1e-7
            )

    def test_they_are_not_degenerate(self, at):
        scene = Scene.of(PROBLEMS[at.problem], at.make())
        for name, gradient in at.gradient.items():
            target = scene.target(gradient, scene.phase(name))
            assert target.norm() > 1e-2
            assert (target.abs() > 1e-4).float().mean() > 0.7


def slopes(loss: Callable[[], Tensor], phase, step: float = 1e-5) -> Tensor:
    """Return central differences by every parameter of the phase."""
    found = []
    for parameter in phase.parameters.values():
        flat = parameter.data.view(-1)
        for index in range(flat.numel()):
            kept = flat[index].item()
            ends = []
            for sign in (1, -1):
                flat[index] = kept + sign * step
                ends.append(loss().item())
            flat[index] = kept
            found.append((ends[0] - ends[1]) / (2 * step))
    return torch.tensor(found, dtype=torch.float64)


@pytest.mark.parametrize("at", OTHERS, ids=str)
def test_estimators_by_draws(at):
    scene = Scene.of(PROBLEMS[at.problem], at.make())
    for name, gradient in at.gradient.items():
        phase = scene.phase(name)

        def draw(n: int, seed: int, phase=phase) -> Tensor:
            torch.manual_seed(seed)
            return torch.stack([scene.outcome(phase)["gradient"] for _ in range(n)])

        verdict = decide_mean(draw, scene.target(gradient, phase), delta=0.4, max_samples=6000, seed=1, name=str(at))
        assert verdict.outcome is Outcome.CONFORMS, verdict


class TestDensities:
    def at(self, name: str) -> Scene:
        return Scene.of(PROBLEMS[name], MaximumLikelihood())

    def test_they_are_those_of_torch(self):
        gaussian, regression = self.at("correlated-gaussian"), self.at("linear-regression")
        model = gaussian.situation.model
        law = MultivariateNormal(model.loc, precision_matrix=model.whitening.T @ model.whitening)
        torch.testing.assert_close(gaussian.value("log_prob"), law.log_prob(gaussian.situation.batch.x).detach())
        model, batch = regression.situation.model, regression.situation.batch
        law = Normal(batch.context @ model.weight.T + model.bias, model.log_scale.exp())
        torch.testing.assert_close(regression.value("log_prob"), law.log_prob(batch.x).sum(1).detach())

    def test_categories_sum_to_one(self):
        model, _ = PROBLEMS["categorical"].make(torch.float64)
        every = densities.categorical_problem(model.logits.detach(), torch.arange(4))
        assert Scene.of(every, MaximumLikelihood()).value("log_prob").exp().sum().item() == pytest.approx(1)


class TestChains:
    names = ("boltzmann-pair", "boltzmann-machine", "boltzmann-machine-4x3")

    @pytest.mark.parametrize("name", names)
    def test_many_steps_give_the_likelihood(self, name):
        scene = Scene.of(PROBLEMS[name], ContrastiveDivergence(k=200))
        phase = scene.phase("main")
        assert distance(scene.target("cd[200]", phase), scene.target("grad:log_prob", phase)) < 1e-9
        assert distance(scene.target("cd[1]", phase), scene.target("grad:log_prob", phase)) > 1e-2

    @pytest.mark.parametrize("name", names)
    def test_masses_sum_to_one_and_follow_the_energy(self, name):
        model, _ = PROBLEMS[name].make(torch.float64)
        visible = len(model.visible_bias)
        x = torch.tensor(list(itertools.product([0.0, 1.0], repeat=visible)), dtype=torch.float64)
        parameters = (model.weight, model.visible_bias, model.hidden_bias)
        problem = boltzmann.boltzmann_problem(*(each.detach() for each in parameters), x)
        log_prob = Scene.of(problem, ContrastiveDivergence()).value("log_prob")
        assert log_prob.exp().sum().item() == pytest.approx(1)
        torch.testing.assert_close(log_prob, (-model.energy(x)).log_softmax(0).detach())

    @pytest.mark.parametrize("name", [*names, "langevin-line"])
    @pytest.mark.parametrize("steps", [1, 3])
    def test_updates_match_central_differences_at_a_fixed_law(self, name, steps):
        """The draws' law is found by the chain itself, walked step by step; only energies are differentiated."""
        scene = Scene.of(PROBLEMS[name], ContrastiveDivergence(k=steps))
        model, batch = scene.situation.model, scene.situation.batch
        ends = [exact_draws(model, x, steps) for x in batch.x]

        def loss() -> Tensor:
            after = torch.stack([masses @ model.energy(points) for points, masses in ends])
            return (model.energy(batch.x) - after).mean().detach()

        assert distance(slopes(loss, scene.phase("main")), scene.target(f"cd[{steps}]", scene.phase("main"))) < 1e-7
        torch.testing.assert_close(scene.value(f"cd[{steps}]").mean(), loss())

    def test_persistent_chains_start_where_the_state_says(self):
        scene = Scene.of(PROBLEMS["boltzmann-pair"], ContrastiveDivergence(persistent=True))
        elsewhere = dataclasses.replace(scene.situation, state={"chains.x": torch.ones(1, 2, dtype=torch.float64)})
        moved = scene.problem.quantity("pcd[1]", elsewhere)
        assert abs(moved - scene.problem.quantity("pcd[1]", scene.situation)) > 1e-2
        torch.testing.assert_close(scene.problem.quantity("energy-gap", elsewhere), moved)


def exact_draws(model, start: Tensor, steps: int) -> tuple[Tensor, Tensor]:
    """Return where a chain may be after some steps, and with which probabilities, by one-step laws."""
    if isinstance(model, boltzmann.BoltzmannMachine):
        visible, hidden = (
            torch.tensor(list(itertools.product([0.0, 1.0], repeat=size)), dtype=torch.float64)
            for size in model.weight.shape
        )
        up = torch.distributions.Bernoulli(torch.sigmoid(visible @ model.weight + model.hidden_bias)[:, None])
        down = torch.distributions.Bernoulli(torch.sigmoid(hidden @ model.weight.T + model.visible_bias)[:, None])
        matrix = up.log_prob(hidden).sum(2).exp() @ down.log_prob(visible).sum(2).exp()
        masses = (visible == start).all(1).double()
        for _ in range(steps):
            masses = masses @ matrix
        return visible, masses.detach()
    nodes, weights = (torch.as_tensor(each) for each in np.polynomial.hermite_e.hermegauss(4))
    points, masses = start.reshape(1, 1), torch.ones(1, dtype=torch.float64)
    for _ in range(steps):
        drift = model.step_size * model.log_stiffness.exp() * (points - model.loc)
        points = (points - drift + math.sqrt(2 * model.step_size) * nodes).reshape(-1, 1).detach()
        masses = (masses[:, None] * weights / weights.sum()).flatten()
    return points, masses


class TestGames:
    def test_bounds_are_reached_by_the_best_critic_and_by_no_other(self):
        problem = PROBLEMS["two-point-game"]
        for loss, best in ((Minimax(), "minimax-optimum"), (Hinge(), "hinge-optimum")):
            scene = Scene.of(problem, Adversarial(loss=loss, critic=Best(loss)))
            optimum = problem.quantity(best, scene.situation).item()
            assert problem.quantity(loss.name, scene.situation).mean().item() == pytest.approx(optimum, abs=1e-6)
            other = Scene.of(problem, discriminating(loss)())
            assert problem.quantity(loss.name, other.situation).mean() < optimum

    def test_bounds_are_not_trivial(self):
        scene = Scene.of(PROBLEMS["two-point-game"], discriminating(Minimax())())
        assert -math.log(4) + 0.1 < scene.value("minimax-optimum") < -0.1
        assert -1.9 < scene.value("hinge-optimum") < -0.1

    def test_values_are_means_over_the_two_outcomes(self):
        scene = Scene.of(PROBLEMS["two-point-game"], discriminating(Minimax())())
        critic, x = scene.situation.estimator.learned, scene.situation.batch.x
        first, second = torch.tensor([[0.5, -0.25], [1.5, 0.5]], dtype=torch.float64)
        fake = 0.75 * (-critic(first[None])).sigmoid().log() + 0.25 * (-critic(second[None])).sigmoid().log()
        torch.testing.assert_close(scene.value("minimax"), (critic(x).sigmoid().log() + fake).detach())

    def test_penalties_by_hand(self):
        """With slopes that are the points themselves a penalty is a polynomial's integral."""

        class Parabola(nn.Module):
            def forward(self, x):
                return 0.5 * x.square().sum(1)

        def penalty(where, center=0.0):
            loss = Wasserstein(clip=None)
            game = Adversarial(loss=loss, critic=Parabola(), penalty=GradientPenalty(weight=2.0, center=center, where=where))
            scene = Scene.of(PROBLEMS["penalised-game"], game)
            plain = Scene.of(PROBLEMS["two-point-game"], game)
            return plain.value("wasserstein") - scene.value("wasserstein[gradient-penalty]"), scene.situation

        at_data, situation = penalty(AtData(), center=1.0)
        x = situation.batch.x
        torch.testing.assert_close(at_data, 2 * (x.norm(dim=1) - 1).square())
        scale = 0.5 * x.flatten().std(correction=0)
        torch.testing.assert_close(penalty(AroundData())[0], 2 * (x.square().sum(1) + 2 * scale**2))
        events, chances = situation.model.law()
        squares = (x.square().sum(1)[:, None] + events.square().sum(1) + x @ events.T) / 3
        torch.testing.assert_close(penalty(Between())[0], (2 * squares @ chances).detach())


def test_a_place_of_another_kind_is_refused():
    class Elsewhere(Place):
        def __call__(self, real, fake):
            return fake

    game = discriminating(Wasserstein(clip=None), penalty=GradientPenalty(where=Elsewhere()))()
    with pytest.raises(ConfigurationError, match="got Elsewhere"):
        Scene.of(PROBLEMS["penalised-game"], game).value("wasserstein[gradient-penalty]")


class Best(nn.Module):
    """The best critic on the events of the two-point game: the log-ratio of the two laws, or its sign."""

    def __init__(self, loss):
        super().__init__()
        self.sign = isinstance(loss, Hinge)

    def forward(self, x):
        only_draws = (x == torch.tensor([0.5, -0.25])).all(1)
        both = (x == torch.tensor([1.5, 0.5])).all(1)
        if self.sign:
            return torch.where(only_draws, -1.0, 1.0).double()
        return torch.where(only_draws, -40.0, torch.where(both, math.log(0.5 / 0.25), 40.0)).double()


class TestDiscrepancies:
    def test_the_line_has_a_closed_form(self):
        scene = Scene.of(PROBLEMS["normal-line"], MMD(kernel=RBF(1.1)))
        model, x = scene.situation.model, scene.situation.batch.x.squeeze(1)
        variance = (2 * model.log_scale).exp()

        def expected(mean, spread):
            width = 1.1**2 + spread
            return 1.1 / width.sqrt() * torch.exp(-(mean**2) / (2 * width))

        own = torch.exp(-((x[0] - x[1]) ** 2) / (2 * 1.1**2))
        closed = own + expected(torch.zeros(1), 2 * variance) - 2 * expected(x - model.loc, variance).mean()
        torch.testing.assert_close(scene.value("mmd2"), closed.detach())

    @pytest.mark.parametrize("name", ["two-point-cloud", "normal-line"])
    def test_without_a_kernel_the_median_distance_sets_the_widths(self, name):
        scene = Scene.of(PROBLEMS[name], MMD())
        pairs = itertools.combinations(scene.situation.batch.x, 2)
        middle = torch.stack([(a - b).norm() for a, b in pairs]).median()
        torch.testing.assert_close(scene.situation.state["bandwidth"], middle)
        given = Scene.of(PROBLEMS[name], MMD(kernel=MultiscaleRBF(middle)))
        torch.testing.assert_close(scene.value("mmd2"), given.value("mmd2"))

    def test_over_batches_it_is_the_discrepancy_of_the_laws(self):
        """A batch from the generator's own law has none on average."""
        situation = Scene.of(PROBLEMS["two-point-cloud"], MMD(kernel=RBF(1.0))).situation
        events, chances = (each.detach() for each in situation.model.law())
        total = 0.0
        for picks in itertools.product((0, 1), repeat=3):
            batch = dataclasses.replace(situation.batch, x=events[list(picks)])
            value = PROBLEMS["two-point-cloud"].quantity("mmd2", dataclasses.replace(situation, batch=batch))
            total += chances[list(picks)].prod().item() * value.item()
        assert total == pytest.approx(0, abs=1e-12)


class TestScores:
    @pytest.mark.parametrize("name", ["gaussian-energy", "double-well"])
    def test_they_are_sums_of_second_derivatives(self, name):
        scene = Scene.of(PROBLEMS[name], ScoreMatching())
        model, batch = scene.situation.model, scene.situation.batch
        for x, value in zip(batch.x, scene.value("hyvarinen"), strict=True):
            gradient = torch.autograd.functional.jacobian(model.energy, x)
            hessian = torch.autograd.functional.hessian(model.energy, x)
            torch.testing.assert_close(0.5 * gradient.square().sum() - hessian.trace(), value)

    @pytest.mark.parametrize("weighting", ["simple", "event", "velocity", "min-snr", "likelihood"])
    def test_the_loss_is_an_integral_over_time(self, weighting):
        estimator = DenoisingScoreMatching(weighting=MinSNR(limit=1.5))
        scene = Scene.of(PROBLEMS["affine-denoiser"], estimator)
        model, x = scene.situation.model, scene.situation.batch.x
        t = (torch.arange(20_000, dtype=torch.float64) + 0.5) / 20_000
        alpha, sigma = (each[:, None, None] for each in model.schedule(t))
        ratio = (alpha / sigma).square().flatten()
        one = torch.ones_like(ratio)
        weights = {
            "simple": one,
            "event": 1 / ratio,
            "velocity": 1 + 1 / ratio,
            "min-snr": (1.5 / ratio).clamp(max=1),
            "likelihood": 3 * one,
        }[weighting]
        error = (1 - model.slope * sigma).square() + (model.slope * alpha * x + model.offset).square()
        torch.testing.assert_close(
            scene.value(f"dsm[{weighting}]"), (weights[:, None] * error.sum(2)).mean(0).detach(), rtol=1e-6, atol=0
        )

    def test_a_schedule_of_steps_has_no_slope(self):
        assert PROBLEMS["two-noise-levels"].knows("dsm[simple]")
        assert not PROBLEMS["two-noise-levels"].knows("grad:dsm[likelihood]")
        scene = Scene.of(PROBLEMS["two-noise-levels"], DenoisingScoreMatching(weighting=Likelihood()))
        with pytest.raises(CapabilityError, match="steps have no slope"):
            scene.outcome(scene.phase("main"))


def test_what_problems_know_is_said_with_its_brackets():
    assert PROBLEMS["boltzmann-pair"].knows("pcd[7]")
    assert PROBLEMS["two-point-game"].knows("grad:wasserstein")
    assert not PROBLEMS["two-point-game"].knows("grad:wasserstein[gradient-penalty]")
    assert PROBLEMS["penalised-game"].knows("grad:wasserstein[gradient-penalty]")
    assert not PROBLEMS["penalised-game"].knows("wasserstein")

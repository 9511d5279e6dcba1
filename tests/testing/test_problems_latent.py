"""The oracles of latent-variable problems: against the Pyro programs themselves, and against central differences."""

import dataclasses
import math

import pytest
import torch

from probgen import Batch, LatentVariable
from probgen.pyro_bridge import run_dream, run_pair
from probgen.testing import exact_expectation
from probgen.testing.failures import NotEnumerable
from probgen.testing.problem import Situation
from probgen.testing.problems import known_problems
from probgen.testing.problems.belief_nets import belief_net_problem

PROBLEMS = {
    name: problem for name, problem in known_problems().items() if isinstance(problem.make(torch.float64)[0], LatentVariable)
}
DIFFERENTIABLE = ("elbo", "beta-elbo[0.5]", "iwae[2]", "log_prob", "relaxed-elbo[0.7]", "relaxed-elbo-by-scores[0.7]")
"""Quantities whose gradient is that of their value; of others, the gradient alone means something."""

KNOWN = [(name, quantity) for name, problem in PROBLEMS.items() for quantity in DIFFERENTIABLE if problem.knows(quantity)]


def situation(problem):
    model, batch = problem.make(torch.float64)
    return Situation(model, batch, None, {})


def gradient(problem, quantity, at):
    parameters = list(at.model.parameters())
    loss = problem.loss(quantity, at)
    parts = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    return torch.cat([part.reshape(-1) for part in parts])


@pytest.mark.parametrize(("name", "quantity"), KNOWN)
def test_gradients_are_central_differences(name, quantity):
    problem = PROBLEMS[name]
    at = situation(problem)
    found, step = gradient(problem, quantity, at), 1e-5
    differences = []
    for parameter in at.model.parameters():
        flat = parameter.data.view(-1)
        for entry in range(len(flat)):
            ends = []
            for sign in (1, -1):
                flat[entry] += sign * step
                ends.append(problem.loss(quantity, at).item())
                flat[entry] -= sign * step
            differences.append((ends[0] - ends[1]) / (2 * step))
    assert found.norm() > 1e-3
    torch.testing.assert_close(
        found, torch.tensor(differences, dtype=found.dtype), rtol=0, atol=1e-7 * found.norm().item() + 1e-9
    )


@pytest.mark.parametrize("name", PROBLEMS)
def test_programs_and_laws_are_the_same_model(name):
    """Means over what the Pyro programs draw are the oracles, which were computed from the laws."""
    problem = PROBLEMS[name]
    at = situation(problem)

    elbo = exact_expectation(lambda: run_pair(at.model, at.batch.x, at.batch.context).log_weights[0], max_paths=5000)
    torch.testing.assert_close(elbo.mean, problem.quantity("elbo", at).detach(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "hierarchy" not in name and "mixed" not in name])
def test_the_mean_weight_is_the_evidence(name):
    """Where weights vary more than a rule of few nodes can follow, the evidence has a closed form."""
    problem = PROBLEMS[name]
    at = situation(problem)
    weight = exact_expectation(lambda: run_pair(at.model, at.batch.x, at.batch.context).log_weights[0].exp())
    torch.testing.assert_close(weight.mean.log(), problem.quantity("log_prob", at).detach(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", [name for name in PROBLEMS if "gauss" in name or "mixed" in name])
def test_evidence_in_closed_form_is_an_integral(name):
    problem = PROBLEMS[name]
    at = situation(problem)
    grid = torch.linspace(-40, 40, 4001, dtype=torch.float64)
    masses = problem.quantity("log_prob", dataclasses.replace(at, batch=Batch(grid))).exp()
    assert torch.trapezoid(masses, grid).item() == pytest.approx(1.0, abs=1e-9)
    assert float(masses.argmax()) not in (0, 4000)


@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if problem.knows("sleep")])
def test_dreams_are_those_of_the_programs(name):
    problem = PROBLEMS[name]
    at = situation(problem)
    if len(at.batch) > 1 and at.batch.context is None:
        pytest.skip("two dreams have too many outcomes, and one is looked at elsewhere")
    moments = exact_expectation(lambda: run_dream(at.model, at.batch.x, at.batch.context).log_guide[0])
    torch.testing.assert_close(moments.mean, problem.quantity("sleep", at).detach(), rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if problem.knows("iwae[2]")])
def test_the_bound_of_two_particles_is_that_of_the_programs(name):
    problem = PROBLEMS[name]
    at = situation(problem)
    if len(at.batch) > 1:
        pytest.skip("two examples have too many outcomes, and one is looked at elsewhere")

    def draw():
        return run_pair(at.model, at.batch.x, at.batch.context, num_particles=2).log_weights.logsumexp(0) - math.log(2)

    found = exact_expectation(draw, rules=(8, 10)).mean
    torch.testing.assert_close(found, problem.quantity("iwae[2]", at).detach(), rtol=1e-9, atol=1e-9)


def test_bounds_are_in_order():
    problem = PROBLEMS["sigmoid-belief-net"]
    at = situation(problem)
    names = ("elbo", "iwae[2]", "iwae[5]", "log_prob")
    values = [problem.quantity(name, at).item() for name in names]
    assert values == sorted(values)
    assert problem.quantity("iwae[1]", at).item() == pytest.approx(values[0])


def test_the_limits_of_relaxations():
    problem = belief_net_problem(latents=1, scale=1.5)
    at = situation(problem)
    errors = [abs((problem.quantity(f"relaxed-elbo[{t}]", at) - problem.quantity("elbo", at)).item()) for t in (1.0, 0.3)]
    assert errors[1] < errors[0] / 2
    assert problem.quantity("hard-relaxed-elbo[1]", at).item() == pytest.approx(problem.quantity("elbo", at).item())


def test_nvil_without_a_variance_is_the_elbo():
    problem = PROBLEMS["mixed-latents"]
    at = situation(problem)
    torch.testing.assert_close(gradient(problem, "nvil", at), gradient(problem, "elbo", at))


def test_reweighted_and_bounds_share_the_generative_gradient():
    problem = PROBLEMS["one-bit"]
    at = situation(problem)
    count = sum(parameter.numel() for name, parameter in at.model.named_parameters() if ".p." in name)
    for other in ("rws[3]", "stl[3]"):
        found = gradient(problem, other, at)[:count]
        torch.testing.assert_close(found, gradient(problem, "iwae[3]", at)[:count])


def test_what_is_too_much_is_refused():
    problem = PROBLEMS["sigmoid-belief-net"]
    with pytest.raises(NotEnumerable, match="sets of 200 of 4 outcomes"):
        problem.quantity("iwae[200]", situation(problem))


def test_problems_are_the_same_each_time_and_in_the_type_asked_for():
    for problem in PROBLEMS.values():
        (one, batch), (other, _) = problem.make(torch.float32), problem.make(torch.float32)
        assert batch.x.dtype == torch.float32
        for parameter, again in zip(one.parameters(), other.parameters(), strict=True):
            assert parameter.dtype == torch.float32
            assert torch.equal(parameter, again)

"""The ELBO with strategies by site: it is the other oracles where all sites are alike, and has the gradient of its value."""

from __future__ import annotations

import pytest
import torch

from probgen import SiteStrategies
from probgen.errors import ConfigurationError
from probgen.estimators.strategies import Enumerate, PassThrough, Relax
from probgen.testing.problem import Situation
from probgen.testing.problems import known_problems
from probgen.testing.problems.strategy_quantities import elbo_with

PROBLEMS = known_problems()


def at(name, estimator, argument="", **state):
    model, batch = PROBLEMS[name].make(torch.float64)
    return Situation(model, batch, estimator, {key: torch.tensor(value) for key, value in state.items()}, argument)


def gradient(quantity, situation):
    parameters = list(situation.model.parameters())
    parts = torch.autograd.grad(quantity.mean(), parameters, materialize_grads=True, allow_unused=True)
    return torch.cat([part.reshape(-1) for part in parts])


ALIKE = [
    ("belief-chain", "elbo", Enumerate(), "nothing elbo"),
    ("mixed-latents", "elbo", Enumerate(), "nothing elbo"),
    ("belief-chain", "straight-through-elbo", PassThrough(), "* straight-through-elbo"),
    ("mixed-latents", "straight-through-elbo", PassThrough(), "* straight-through-elbo"),
    ("one-bit", "relaxed-elbo[0.7]", Relax(), "* relaxed-elbo 0.7"),
    ("sigmoid-belief-net", "relaxed-elbo-by-scores[0.7]", Relax(), "* relaxed-elbo-by-scores 0.7"),
    ("one-bit-batch", "hard-relaxed-elbo[0.7]", Relax(), "* hard-relaxed-elbo 0.7"),
    ("one-bit-batch", "hard-relaxed-elbo-by-scores[0.7]", Relax(), "* hard-relaxed-elbo-by-scores 0.7"),
]


@pytest.mark.parametrize(("name", "other", "strategy", "argument"), ALIKE)
def test_all_sites_alike(name, other, strategy, argument):
    situation = at(name, SiteStrategies(otherwise=strategy), argument)
    found, expected = elbo_with(situation), PROBLEMS[name].quantity(other, situation)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient(found, situation), gradient(expected, situation))


@pytest.mark.parametrize(
    ("name", "site", "target"),
    [
        ("belief-chain", "z1", "relaxed-elbo 0.7"),
        ("belief-chain", "z2", "relaxed-elbo-by-scores 0.7"),
        ("mixed-latents", "bit", "relaxed-elbo 0.7"),
    ],
)
def test_gradients_are_central_differences(name, site, target):
    situation, step = at(name, SiteStrategies({site: Relax()}), f"{site} {target}"), 1e-5
    found = gradient(elbo_with(situation), situation)
    differences = []
    for parameter in situation.model.parameters():
        flat = parameter.data.view(-1)
        for entry in range(len(flat)):
            ends = []
            for sign in (1, -1):
                flat[entry] += sign * step
                ends.append(elbo_with(situation).mean().item())
                flat[entry] -= sign * step
            differences.append((ends[0] - ends[1]) / (2 * step))
    torch.testing.assert_close(found, torch.tensor(differences, dtype=found.dtype), rtol=0, atol=1e-7)
    assert found.norm() > 1e-2


def test_temperatures_fall_by_the_steps_of_their_own_site():
    both = SiteStrategies({"z1": Relax(final_temperature=0.5, anneal_steps=4), "z2": Relax()})
    annealed = at("belief-chain", both, "z1 relaxed-elbo 1..0.5/4, z2 relaxed-elbo 1", **{"0.steps": 2.0})
    fixed = at("belief-chain", both, f"z1 relaxed-elbo {0.5**0.5}, z2 relaxed-elbo 1")
    torch.testing.assert_close(elbo_with(annealed), elbo_with(fixed))


def test_what_is_no_temperature_is_refused():
    situation = at("belief-chain", SiteStrategies({"z1": Relax()}), "z1 relaxed-elbo warm")
    with pytest.raises(ConfigurationError, match="expected temperatures like"):
        elbo_with(situation)

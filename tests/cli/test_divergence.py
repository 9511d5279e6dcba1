"""When a finished run says that it diverged: never because of noise or of a game."""

from __future__ import annotations

import pytest

from probgen import MMD, Adversarial, MaximumLikelihood, Recipe, Stage
from probgen.cli.divergence import divergence
from probgen.training import MetricRow

RECIPE = Recipe((Stage(MaximumLikelihood()),))


def rows(*values, phase="main", split="train"):
    return [MetricRow("main", step, 0.0, split, phase, "value", value) for step, value in enumerate(values, 1)]


@pytest.mark.parametrize(
    ("values", "entries", "said"),
    [
        ((-3.0, -60.0), 2, True),
        ((-3.0, -40.0), 2, False),  # bad, and what noise or a growing weight may do
        ((-3.0, -40.0), 784, False),
        ((5.0, -1e12), 64, True),
        ((-1e12, -3.0), 2, False),
        ((-3.0, -1e12, -2.0), 2, False),  # it came back
        ((), 2, False),
    ],
)
def test_only_what_got_far_worse_is_said(values, entries, said):
    assert bool(divergence(rows(*values), RECIPE, entries=entries)) is said


def test_what_is_minimised_gets_worse_by_rising():
    recipe = Recipe((Stage(MMD()),))
    assert divergence(rows(0.5, 1e6), recipe, entries=2)
    assert not divergence(rows(1e6, 0.5), recipe, entries=2)


def test_a_game_has_no_worse():
    assert not divergence(rows(1.0, -1e12), Recipe((Stage(Adversarial()),)), entries=2)


def test_the_first_phase_is_that_of_the_objective():
    mixed = [*rows(-3.0), *rows(-1.0, phase="sleep"), *rows(-3.5), *rows(-1e12, phase="sleep")]
    assert not divergence(mixed, RECIPE, entries=2)
    assert not divergence(rows(-3.0, -1e12, split="valid"), RECIPE, entries=2)

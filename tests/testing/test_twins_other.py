"""Wrong estimators of densities, chains, games, discrepancies and scores are wrong where the kit can see it."""

from __future__ import annotations

import pytest

from helpers.problem_scenes import PROBLEMS, Scene, distance
from probgen.testing import exact_expectation
from probgen.testing.twins import contrastive, discrepancy, game, score

WHERE = {
    "the chain never moves": ("boltzmann-machine", "cd[1]"),
    "the gradient goes through the chain": ("langevin-line", "cd[1]"),
    "the chain makes a step too few": ("boltzmann-pair", "cd[2]"),
    "persistent chains start at the data again": ("boltzmann-pair", "pcd[1]"),
    "the discrepancy is divided by the size of an event": ("two-point-cloud", "grad:mmd2"),
    "the unbiased statistic keeps its diagonal": ("two-point-cloud", "grad:mmd2"),
    "the term between data and draws counts once": ("two-point-cloud", "grad:mmd2"),
    "score matching drops the trace": ("gaussian-energy", "grad:hyvarinen"),
    "noise is scaled by its variance": ("two-noise-levels", "grad:dsm[simple]"),
    "the likelihood is summed over the batch": ("correlated-gaussian", "grad:log_prob"),
    "the critic's loss has the wrong sign": ("two-point-game", "grad:wasserstein"),
    "the penalty looks at the data": ("penalised-game", "grad:wasserstein[gradient-penalty]"),
}
TWINS = {**contrastive.TWINS, **discrepancy.TWINS, **score.TWINS, **game.TWINS}


class TestTwins:
    """Every wrong estimator is wrong by more than rounding on a problem that knows what it claims."""

    def test_each_has_a_place(self):
        assert WHERE.keys() == TWINS.keys()

    @pytest.mark.parametrize("mistake", WHERE)
    def test_the_gradient_is_seen_to_be_wrong(self, mistake):
        problem, gradient = WHERE[mistake]
        estimator = TWINS[mistake]()
        scene = Scene.of(PROBLEMS[problem], estimator)
        (phase,) = estimator.phases(scene.situation.model)
        moments = exact_expectation(lambda: scene.outcome(phase), rules=(8, 10))
        assert distance(moments["gradient"].mean, scene.target(gradient, phase)) > 0.02
        said = estimator.claims.for_parameter(next(iter(phase.parameters)))
        assert gradient in (said.of, getattr(said, "target", ""))

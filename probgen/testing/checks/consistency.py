"""Does a bias vanish as the option that it is claimed to vanish in grows?"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor

from probgen.claims import Consistent
from probgen.estimator import Estimator, Phase
from probgen.testing.checks.expectations import GradientDraws, ValueDraws, expected
from probgen.testing.checks.questions import Question, mean_of, questions, size_of, target_of
from probgen.testing.checks.scenes import Scene, set_up
from probgen.testing.failures import NotEnumerable
from probgen.testing.ladder import decide_mean
from probgen.testing.moments import Moments
from probgen.testing.problem import Problem
from probgen.testing.trial import Trial, conforms, fails
from probgen.testing.verdict import Verdict

__all__ = ["Shrinkage"]

_TIMES = 4
"""The knob at its larger value, relative to the smaller one."""

_FEW = 2
_FEWEST = (1, 2)
"""Smaller values where draws decide at the larger: the larger the bias, the fewer it takes."""

_SLACK = 2.0
"""The bias may be so much larger than its order says, since orders are about large numbers and these are small."""

_BUDGET = 300


class Shrinkage:
    """Biases of a subject at two values of a knob.

    Args:
        subject: The estimator.
        trial: Where the seeds come from.
    """

    def __init__(self, subject: Estimator, trial: Trial) -> None:
        self._subject, self._trial = subject, trial
        self._found: dict[tuple[str, str, str, int], Moments] = {}

    def exact(self, problem: Problem, question: Question) -> Verdict:
        """Compare exact biases.

        Raises:
            NotEnumerable: there are too many paths at the larger value.
        """
        claim, most = _claim(question), _TIMES * _FEW
        many, _ = self._bias(problem, question, most)  # first, since it is the one to be refused
        few, size = self._bias(problem, question, _FEW)
        rounding, allowed = 1e-9 * size, _allowed(claim)
        found = f"{few / size:.2g} at {claim.knob}={_FEW} and {many / size:.2g} at {most}"
        reason = f"the bias is {found}, relative to the target"
        if many <= allowed * few + rounding:
            return conforms(reason, detectable=allowed * few / size)
        return fails(f"{reason}, more than {allowed:.2g} times as much", bias=many / size)

    def by_draws(self, problem: Problem, question: Question) -> Verdict:
        """Compare the exact bias at a small value of the knob with draws at the larger, coordinate by coordinate.

        Raises:
            NotEnumerable: not even the bias at a small value is known.
        """
        few, number = self._first_bias(problem, question)
        scene, phase, present = self._at(problem, question, _TIMES * number)
        target = target_of(scene, present)
        draws, values = GradientDraws(scene, phase).by(present.names), ValueDraws(scene, phase)

        def off(n: int, seed: int) -> Tensor:
            found = draws(n, seed) - target if present.names else values(n, seed).mean(1, keepdim=True) - target.mean()
            return torch.cat([found, -found], 1) / few

        allowed = _allowed(_claim(question))
        return decide_mean(
            off,
            [allowed] * 2 * (len(target) if present.names else 1),
            side=1,
            delta=allowed,
            max_samples=self._trial.level.max_samples,
            seed=self._trial.seed(problem.name, question.phase, bool(question.names), "consistent"),
        )

    def _first_bias(self, problem: Problem, question: Question) -> tuple[float, int]:
        """Return the bias at the smallest value of the knob that there is one at, and that value."""
        for number in _FEWEST:
            few, size = self._bias(problem, question, number)
            if few > 1e-6 * size:  # not so for NaN
                return few, number
        raise NotEnumerable("no bias that could shrink")

    def _bias(self, problem: Problem, question: Question, number: int) -> tuple[float, float]:
        """Return the size of the bias at a value of the knob, and that of the target."""
        scene, phase, present = self._at(problem, question, number)
        key = problem.name, phase.name, _claim(question).knob, number
        if key not in self._found:
            self._found[key] = expected(scene, phase, budget=_BUDGET)
        target = target_of(scene, present)
        found = mean_of(self._found[key], present, like=target)
        return (found - target).norm().item(), size_of(target)

    def _at(self, problem: Problem, question: Question, number: int) -> tuple[Scene, Phase, Question]:
        claim = _claim(question)
        changed: Any = copy.deepcopy(self._subject)
        if not hasattr(changed, claim.knob):
            raise NotEnumerable(f"no attribute {claim.knob!r} to set")
        setattr(changed, claim.knob, number)
        scene = set_up(changed, problem, seed=self._trial.seed(problem.name, claim.knob, number))
        for phase in scene.phases:
            for present in questions(scene.estimator, phase):
                if present.key == question.key:
                    return scene, phase, present
        raise NotEnumerable(f"a claim that is another one at {claim.knob}={number}")


def _claim(question: Question) -> Consistent:
    if not isinstance(question.claim, Consistent):
        raise NotEnumerable("a claim of another kind")
    return question.claim


def _allowed(claim: Consistent) -> float:
    return _SLACK * _TIMES**-claim.order

"""Does a bias vanish as the option that it is claimed to vanish in grows?"""

from __future__ import annotations

import copy
from typing import Any

from probgen.claims import Consistent
from probgen.estimator import Estimator
from probgen.testing.checks.expectations import ValueDraws, enumerated, outputs
from probgen.testing.checks.questions import Question, mean_of, questions, size_of, target_of
from probgen.testing.checks.scenes import Scene, set_up
from probgen.testing.failures import NotEnumerable
from probgen.testing.ladder import decide_mean
from probgen.testing.problem import Problem
from probgen.testing.trial import Trial, conforms, fails
from probgen.testing.verdict import Outcome, Verdict

__all__ = ["shrinks", "shrinks_by_draws"]

_FEW, _MANY = 2, 8
_SLACK = 2.0
"""The bias may be so much larger than its order says, since orders are about large numbers and these are small."""

_BUDGET = 300


def shrinks(subject: Estimator, problem: Problem, question: Question, trial: Trial) -> Verdict:
    """Compare the exact bias at two values of the knob.

    Raises:
        NotEnumerable: there are too many paths at the larger one.
    """
    claim = _claim(question)
    (few, size), (many, _) = (_bias(subject, problem, question, trial, number) for number in (_FEW, _MANY))
    rounding, allowed = 1e-9 * size, _allowed(claim)
    reason = f"the bias is {few / size:.2g} at {claim.knob}={_FEW} and {many / size:.2g} at {_MANY}, relative to the target"
    if many <= allowed * few + rounding:
        return conforms(reason, detectable=allowed * few / size)
    return fails(f"{reason}, more than {allowed:.2g} times as much", bias=many / size)


def shrinks_by_draws(subject: Estimator, problem: Problem, question: Question, trial: Trial) -> Verdict:
    """Compare the exact bias of a value at the smaller value of the knob with draws at the larger.

    Raises:
        NotEnumerable: the claim is about a gradient, or the value at the smaller one has too many paths.
    """
    claim = _claim(question)
    if question.names:
        raise NotEnumerable("a gradient whose bias is too small to be told from noise")
    few, _ = _bias(subject, problem, question, trial, _FEW)
    scene, present = _at(subject, problem, question, trial, _MANY)
    target = target_of(scene, present).mean().item()
    draws = ValueDraws(scene, next(phase for phase in scene.phases if phase.name == question.phase))
    allowed = _allowed(claim)
    verdicts = [
        decide_mean(
            lambda n, seed: (draws(n, seed).mean(1) - target) / few,
            side * allowed,
            side=side,
            delta=allowed,
            max_samples=trial.level.max_samples,
            seed=trial.seed(question.phase, "consistent", side),
        )
        for side in (1, -1)
    ]
    return min(verdicts, key=lambda verdict: verdict.outcome is Outcome.CONFORMS)


def _bias(subject: Estimator, problem: Problem, question: Question, trial: Trial, number: int) -> tuple[float, float]:
    """Return the size of the bias at a value of the knob, and that of the target."""
    scene, present = _at(subject, problem, question, trial, number)
    phase = next(phase for phase in scene.phases if phase.name == question.phase)
    moments = enumerated(lambda: outputs(scene, phase), budget=_BUDGET)
    target = target_of(scene, present)
    found, target = mean_of(moments, present, like=target), target
    return (found - target).norm().item(), size_of(target)


def _at(subject: Estimator, problem: Problem, question: Question, trial: Trial, number: int) -> tuple[Scene, Question]:
    claim = _claim(question)
    changed: Any = copy.deepcopy(subject)
    if not hasattr(changed, claim.knob):
        raise NotEnumerable(f"no attribute {claim.knob!r} to set")
    setattr(changed, claim.knob, number)
    scene = set_up(changed, problem, seed=trial.seed(problem.name, claim.knob, number))
    for phase in scene.phases:
        for present in questions(scene.estimator, phase):
            if present.key == question.key:
                return scene, present
    raise NotEnumerable(f"a claim that is another one at {claim.knob}={number}")


def _claim(question: Question) -> Consistent:
    if not isinstance(question.claim, Consistent):
        raise NotEnumerable("a claim of another kind")
    return question.claim


def _allowed(claim: Consistent) -> float:
    return _SLACK * (_MANY / _FEW) ** -claim.order

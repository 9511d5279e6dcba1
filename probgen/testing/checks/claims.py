"""Is what an estimator claims of its value and gradients so?"""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from probgen.claims import Claim, Consistent, Exact, Heuristic, LowerBound, UpperBound
from probgen.estimator import Estimator, Phase
from probgen.testing.checks.consistency import Shrinkage
from probgen.testing.checks.expectations import GradientDraws, ValueDraws, expected
from probgen.testing.checks.questions import Question, mean_of, questions, size_of, target_of
from probgen.testing.checks.scenes import Latents, Scene, fitting_scenes
from probgen.testing.checks.unknown import nearest_to
from probgen.testing.failures import NotEnumerable
from probgen.testing.ladder import decide_mean
from probgen.testing.moments import Moments
from probgen.testing.trial import Judgement, Level, NotApplicable, Trial, conforms, exactly, fails, undecided
from probgen.testing.verdict import Verdict

__all__ = ["check_claims"]

_TOLERANCE = 1e-9
_COARSEST = 1e-3
"""A quadrature that may be off by more than this has not decided."""

_SPREAD = 1e-12
"""A relative variance that rounding explains."""

_BUDGET = {Level.QUICK: 300, Level.STANDARD: 5000, Level.THOROUGH: 16_000}
"""About so many paths are walked for one expectation, where a claim has no answer yet."""

_FURTHER = {**_BUDGET, Level.QUICK: 70}
"""The same where all claims have one."""

_SIDES = {LowerBound: 1, UpperBound: -1}

_Key = tuple[str, bool, Claim, Latents]
"""A question on models with one kind of latents."""


def check_claims(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """Hold every claim against every problem where its quantity is known.

    Expectations are enumerated where that takes few enough paths. A claim holds once it has been answered on every kind of
    latents that the estimator accepts: an answer on bits says nothing of normal latents, or of both together. Where no
    problem of a kind could be enumerated, draws decide, at quick level on the first that knows the quantity, above on all.
    Estimators that remember or learn are looked at some steps later, too.
    """
    answers = _Answers(subject, trial)
    try:
        for scene in _scenes(subject, trial):
            for phase in scene.phases:
                yield from answers.exact(scene, phase)
    except NotApplicable as nothing:
        yield Judgement("claims", undecided(str(nothing)))
        return
    if answers.promises_nothing:
        raise NotApplicable("it promises nothing: all its claims are heuristic")
    yield from answers.by_draws()
    yield from answers.missing()


def _scenes(subject: Estimator, trial: Trial) -> Iterator[Scene]:
    """Yield the subject on each problem, and some steps later: at quick level once for each kind of latents."""
    seen = set()
    for scene in fitting_scenes(subject, trial):
        yield scene
        if scene.remembers and (trial.level is not Level.QUICK or scene.latents not in seen):
            seen.add(scene.latents)
            yield scene.later(trial.seed(scene.problem.name, "later"))


class _Answers:
    """Which questions were answered, and which wait for draws."""

    def __init__(self, subject: Estimator, trial: Trial) -> None:
        self._trial = trial
        self._asked: dict[tuple[str, bool, Claim], Question] = {}
        self._owed: dict[_Key, Question] = {}
        self._answered: set[_Key] = set()
        self._waiting: list[tuple[Scene, Phase, Question]] = []
        self._shrinkage = Shrinkage(subject, trial)

    @property
    def promises_nothing(self) -> bool:
        """Whether every claim is a heuristic."""
        return all(isinstance(question.claim, Heuristic) for question in self._asked.values())

    def exact(self, scene: Scene, phase: Phase) -> Iterator[Judgement]:
        """Answer what can be answered by enumeration."""
        known = []
        for question in questions(scene.estimator, phase):
            self._asked.setdefault(question.key, question)
            if isinstance(question.claim, Heuristic):
                yield self._judged(scene, question, conforms("nothing is promised", detectable=math.inf))
            elif scene.problem.knows(question.target):
                self._owed.setdefault(_key(scene, question), question)
                known.append(question)
        answered = all(_key(scene, question) in self._answered for question in known)
        budget = (_FURTHER if answered else _BUDGET)[self._trial.level]
        moments = self._moments(scene, phase, budget) if known else None
        for question in known:
            try:
                if isinstance(question.claim, Consistent):
                    if not scene.when and _key(scene, question) not in self._answered:
                        yield self._judged(scene, question, self._shrinkage.exact(scene.problem, question))
                elif moments is None:
                    raise NotEnumerable("too much randomness")
                else:
                    yield self._judged(scene, question, _verdict(moments, question, target_of(scene, question)))
            except NotEnumerable:
                self._waiting.append((scene, phase, question))

    def by_draws(self) -> Iterator[Judgement]:
        """Answer what is left by draws."""
        settled, samples = set(self._answered), _Samples()
        for scene, phase, question in self._waiting:
            done = self._answered if self._trial.level is Level.QUICK else settled
            if _key(scene, question) in done:
                continue
            try:
                if isinstance(question.claim, Consistent):
                    verdict = self._shrinkage.by_draws(scene.problem, question)
                else:
                    verdict = samples.verdict(scene, phase, question, self._trial)
            except NotEnumerable:  # not even the quantity
                continue
            yield self._judged(scene, question, verdict)

    def missing(self) -> Iterator[Judgement]:
        """Say what was not answered."""
        further, heard = self._trial.problems, {key[:-1] for key in {*self._owed, *self._answered}}
        for key, question in self._asked.items():
            if key not in heard:
                reason = f"no problem that it fits could tell {question.target}. {nearest_to(question.target, further)}"
                yield Judgement(str(question), undecided(reason))
        for key, question in self._owed.items():
            if key not in self._answered:
                reason = "neither outcomes nor draws decide on any problem; give it one of fewer outcomes"
                yield Judgement(f"{question}, on {key[-1]}", undecided(reason))

    def _moments(self, scene: Scene, phase: Phase, budget: int) -> Moments | None:
        if scene.problem.statistical:
            return None
        try:
            return expected(scene, phase, budget=budget)
        except NotEnumerable:
            return None

    def _judged(self, scene: Scene, question: Question, verdict: Verdict) -> Judgement:
        self._answered.add(_key(scene, question))
        return Judgement(f"{question}, {scene.where}", verdict)


def _key(scene: Scene, question: Question) -> _Key:
    return *question.key, scene.latents


class _Samples:
    """Draws that questions share."""

    def __init__(self) -> None:
        self._gradients: dict[tuple[int, str], GradientDraws] = {}

    def verdict(self, scene: Scene, phase: Phase, question: Question, trial: Trial) -> Verdict:
        """Return whether a mean is what is claimed, or on the claimed side."""
        target = target_of(scene, question)
        side = _SIDES.get(type(question.claim), 0)
        options = {"side": side, "delta": trial.level.delta, "max_samples": trial.level.max_samples}
        options["seed"] = trial.seed(scene.where, phase.name, "gradient" if question.names else "value")
        if question.names:
            draws = self._gradients.setdefault((id(scene), phase.name), GradientDraws(scene, phase))
            return decide_mean(draws.by(question.names), target, p_min=draws.p_min, **options)
        values = ValueDraws(scene, phase)

        def draw(n: int, seed: int) -> Tensor:
            drawn = values(n, seed)
            return drawn if drawn.shape[1] == len(target) else drawn.mean(1, keepdim=True)

        return decide_mean(draw, target, **options)


def _verdict(moments: Moments, question: Question, target: Tensor) -> Verdict:
    """Return whether an exact mean is what is claimed.

    Raises:
        NotEnumerable: quadrature leaves that open.
    """
    mean, size = mean_of(moments, question, like=target), size_of(target)
    tolerance = max(_TOLERANCE, 10 * moments.error * max(moments.size / size, 1.0))
    if tolerance > _COARSEST:
        raise NotEnumerable(f"a quadrature that may be off by {tolerance:.1e}")
    target = target if len(mean) == len(target) else target.mean().reshape(1)
    if not bool(torch.isfinite(mean).all()):
        return fails("its mean is not finite", samples=moments.paths)
    side = _SIDES.get(type(question.claim))
    if side is not None:
        excess = max((side * (mean - target)).max().item() / size, 0.0)
        return exactly(
            excess, f"the mean is on the claimed side of {question.target}", tolerance=tolerance, samples=moments.paths
        )
    if isinstance(question.claim, Exact) and moments.variance.max().item() > _SPREAD * size**2:
        return fails("it is called exact and it varies", samples=moments.paths)
    bias = (mean - target).norm().item() / size
    return exactly(bias, f"the mean is {question.target}", tolerance=tolerance, samples=moments.paths)

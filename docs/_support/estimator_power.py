"""How small a bias of each registered estimator the kit catches: exactly, and by draws."""

from __future__ import annotations

import copy
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from probgen.claims import Heuristic
from probgen.estimator import Estimate, Estimator, Phase
from probgen.plugin import registry
from probgen.testing import FiniteLaw, Level, NotEnumerable, exact_law, power
from probgen.testing.checks.questions import questions
from probgen.testing.checks.scenes import Scene, fitting_scenes, gradients_of
from probgen.testing.subjects import Subject, find, problems_of, subjects_of
from probgen.testing.trial import Trial
from probgen.testing.verdict import Outcome, Tier

__all__ = ["exact_table", "power_table"]

_BIASES = (0.01, 0.03, 0.1, 0.3)
_RUNS = 100
_FACTOR = 1.001
_OUTCOMES = 4000
_NODES = (10, 8, 5)


def exact_table(*, seed: int) -> str:
    """Return how many claims of each estimator are decided exactly, and how many of these a small wrong factor breaks."""
    rows = []
    for subject in _estimators():
        right = _exact_claims(subject, subject.thing, seed)
        wrong = _exact_claims(subject, _scaled(subject.thing), seed)
        equalities = [claim for claim in right if "consistent for" not in claim]
        decided = [claim for claim in equalities if right[claim]]
        caught = [claim for claim in decided if Outcome.FAILS in wrong[claim]]
        cells = [len(equalities), len(decided), len(caught), len(right) - len(equalities)]
        rows.append(f"| `{subject.name}` | " + " | ".join(map(str, cells)) + " |")
    head = f"| estimator | equalities | decided exactly | broken by a factor of {_FACTOR} | consistency |"
    return "\n".join([head, "|---|---|---|---|---|", *rows])


def power_table(*, seed: int) -> str:
    """Return how often draws alone catch that a mean is too large, of the values and gradients of each estimator."""
    rows = [row for subject in _estimators() for row in _power_rows(subject, seed)]
    biases = " / ".join(f"{bias:.0%}" for bias in _BIASES)
    head = " | ".join(f"{level}: {biases}" for level in Level)
    return "\n".join([f"| estimator | mean of | {head} |", "|---|---|" + "---|" * len(Level), *rows])


def _estimators() -> Iterator[Subject]:
    for name in sorted(registry().estimators):
        yield from (subject for subject in subjects_of(name) if isinstance(subject.thing, Estimator))


def _exact_claims(subject: Subject, estimator: Estimator, seed: int) -> dict[str, set[Outcome]]:
    """Return the claims of more than a bound, each with what was said of it exactly on the problems."""
    (check,) = (each for each in subject.checks if each.name == "claims")
    found: dict[str, set[Outcome]] = {}
    for judgement in check.run(estimator, Trial("claims", subject.name, Level.QUICK, seed)):
        claim, _, _ = judgement.claim.partition(", on ")
        if "bound on" not in claim and "heuristic" not in claim:
            outcomes = found.setdefault(claim.replace("in phase main: ", ""), set())
            if judgement.verdict.tier is Tier.EXACT:
                outcomes.add(judgement.verdict.outcome)
    return found


def _scaled(estimator: Estimator) -> Estimator:
    """Return an estimator whose values and gradients are those of the given one times a factor."""

    def wrong(phase: Phase) -> Phase:
        def estimate(*arguments: Any) -> Estimate:
            right = phase(*arguments)
            return dataclasses.replace(right, surrogate=_FACTOR * right.surrogate, value=_FACTOR * right.value)

        return phase if phase.estimate is None else dataclasses.replace(phase, estimate=estimate)

    class Scaled(type(estimator)):
        def phases(self, model: Any) -> Sequence[Phase]:
            return [wrong(phase) for phase in super().phases(model)]

    scaled = copy.deepcopy(estimator)
    scaled.__class__ = Scaled
    return scaled


def _power_rows(subject: Subject, seed: int) -> Iterator[str]:
    for name, law in _laws(subject, seed).items():
        said = f"| `{subject.name}` | {name} | "
        if not np.ptp(law.values, axis=0).any():
            yield said + " | ".join(["not random"] * len(Level)) + " |"
            continue
        cells = []
        for level in Level:
            rows = power(law, _BIASES, delta=level.delta, runs=_RUNS, seed=seed, max_samples=level.max_samples)
            always = all(row.fails == 1 for row in rows)
            cells.append("all" if always else " / ".join(_share(row.fails) for row in rows))
        yield said + " | ".join(cells) + " |"


def _laws(subject: Subject, seed: int) -> dict[str, FiniteLaw]:
    """Return the laws of the value and of the gradient of each phase, on the first problem where they can be listed."""
    found: dict[str, FiniteLaw] = {}
    trial = Trial("power", subject.name, Level.QUICK, seed, tuple(problems_of(find(subject.name))))
    for scene in fitting_scenes(subject.thing, trial):
        for phase in scene.phases:
            of = "" if phase.name == "main" else f", {phase.name}"
            if f"value{of}" in found or phase.estimate is None or scene.problem.statistical or not _known(scene, phase):
                continue
            value, gradient = _joint_law(scene, phase)
            if value is not None and gradient is not None:
                found |= {f"value{of}": value, f"gradient{of}": gradient}
    return found


def _known(scene: Scene, phase: Phase) -> bool:
    asked = [question for question in questions(scene.estimator, phase) if not isinstance(question.claim, Heuristic)]
    return all(scene.problem.knows(question.target) for question in asked)


def _joint_law(scene: Scene, phase: Phase) -> tuple[FiniteLaw | None, FiniteLaw | None]:
    """Return the laws of the value and of the gradient by the model's parameters; None if they have too many outcomes.

    A phase that trains nothing else has its gradient by what the estimator learns.
    """
    sizes: list[int] = []
    learned = set() if scene.estimator.learned is None else {id(each) for each in scene.estimator.learned.parameters()}
    own = [name for name, parameter in phase.parameters.items() if id(parameter) not in learned]
    names = own or list(phase.parameters)

    def draw() -> Tensor:
        estimate = phase(scene.model, scene.batch, scene.state)
        found = gradients_of(phase, estimate)
        sizes[:] = [estimate.value.numel()]
        return torch.cat([estimate.value.reshape(-1), *(found[name].flatten() for name in names)])

    for nodes in _NODES:
        try:
            law = exact_law(draw, max_paths=_OUTCOMES, nodes=nodes)
        except NotEnumerable:
            continue
        values, gradients = np.split(law.values, sizes, axis=1)
        return FiniteLaw(values, law.probabilities), FiniteLaw(_turned(gradients), law.probabilities)
    return None, None


def _turned(values: np.ndarray) -> np.ndarray:
    """Return the same vectors in coordinates of the space that they span, where it has fewer dimensions."""
    outcomes, features = values.shape
    return values if features <= outcomes else np.asarray(np.linalg.qr(values.T, mode="r")).T


def _share(share: float) -> str:
    """Return a share of the runs in percent, with its standard error unless all runs agree."""
    error = math.sqrt(share * (1 - share) / _RUNS)
    return f"{100 * share:.0f} ± {100 * error:.0f}" if error else f"{100 * share:.0f}"

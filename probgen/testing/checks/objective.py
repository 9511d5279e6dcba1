"""Is an estimator's objective what its value estimates, and does training move it where it says?"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from probgen.claims import Biased, Claim, Heuristic, LowerBound, UpperBound
from probgen.estimator import Estimator, Objective, Phase
from probgen.testing.checks.batches import reduced
from probgen.testing.checks.expectations import require_paths
from probgen.testing.checks.scenes import Scene, fitting_scenes, gradients_of
from probgen.testing.checks.unknown import nearest_to
from probgen.testing.exact import exact_law
from probgen.testing.failures import NotEnumerable
from probgen.testing.quantity import QuantityName
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, fails, undecided
from probgen.testing.verdict import Verdict

__all__ = ["check_objective"]

_BUDGET, _NODES = 40, 4
"""A rule of few nodes tells a sign."""

_ROUNDING = 1e-9
"""Cosines smaller than this are those of a right angle."""


def check_objective(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """The value of the first phase estimates the objective, and training makes that larger or smaller as the objective says.

    Which of the two the quantity calls for is known to the problems. Where the mean gradient can be listed, a small step
    along it must make the objective better on some problem; that is asked of estimators whose gradient is biased, too.
    """
    objective = getattr(subject, "objective", None)
    yield Judgement("the objective has a name, a unit and a direction", _well_formed(objective))
    if not isinstance(objective, Objective):
        return
    known: set[str] = set()
    cosines: list[float] = []
    for scene in fitting_scenes(reduced(subject), trial):
        phase = scene.phases[0]
        promised = [claim for claim in scene.estimator.claims.for_value(phase.name) if not isinstance(claim, Heuristic)]
        if not promised:
            raise NotApplicable("it promises nothing of its value")
        name = _estimated(objective, promised)
        if name is None or objective.direction is None:
            yield Judgement(f"the value in phase {phase.name} is that of the objective", _named(name, objective, promised))
            return
        if scene.problem.knows(name):
            known.add(name)
            yield Judgement(f"{name} is there to {objective.direction}, {scene.where}", _directed(scene, objective, name))
            if not _better(cosines):
                cosines += _cosines(scene, phase, objective, name)
    if not known:
        yield Judgement(
            "the objective is known", undecided(f"no problem that it fits could tell it. {nearest_to(objective.name)}")
        )
    if cosines:
        yield Judgement(f"training makes {objective.name} better", _moved(cosines, objective))


def _well_formed(objective: object) -> Verdict:
    if not isinstance(objective, Objective):
        return fails(f"expected an Objective; got {objective!r}")
    if not (objective.name.strip() and objective.unit.strip()):
        return fails(f"expected a name and a unit; got {objective.name!r} and {objective.unit!r}")
    if objective.direction not in ("maximise", "minimise", None):
        return fails(f"expected a direction among 'maximise', 'minimise' and None; got {objective.direction!r}")
    return conforms("it has them")


def _estimated(objective: Objective, claims: Sequence[Claim]) -> str | None:
    """Return the name of the objective as the claims have it, perhaps with a number; None where they do not speak of it.

    What the value bounds is not what it estimates.
    """
    for claim in claims:
        for text in (claim.of, claim.target) if isinstance(claim, Biased) else (claim.of,):
            told = text == objective.name or QuantityName.of(text).base == objective.name
            if told and not isinstance(claim, LowerBound | UpperBound):
                return text
    return None


def _named(name: str | None, objective: Objective, claims: Sequence[Claim]) -> Verdict:
    if name is None:
        said = "; ".join(map(str, claims))
        return fails(f"expected a claim that the value estimates {objective.name}; got {said}")
    return conforms(f"it estimates {name}, in a game without direction")


def _directed(scene: Scene, objective: Objective, name: str) -> Verdict:
    right = scene.problem.direction(name)
    return conforms("it is") if right == objective.direction else fails(f"expected {right}; got {objective.direction}")


def _cosines(scene: Scene, phase: Phase, objective: Objective, name: str) -> list[float]:
    """Return the cosine between the mean gradient and that of the objective's loss; nothing where it cannot be had."""
    if scene.problem.statistical or phase.estimate is None:
        return []
    draw = functools.partial(_gradients, scene, phase)
    try:
        require_paths(draw, budget=_BUDGET, nodes=_NODES)
        found = torch.from_numpy(exact_law(draw, max_paths=20 * _BUDGET, nodes=_NODES).mean)
        mean = scene.problem.quantity(name, scene.situation).mean()
    except NotEnumerable:
        return []
    if not mean.requires_grad:
        return []
    loss = -mean if objective.direction == "maximise" else mean
    wanted = _flat(torch.autograd.grad(loss, list(phase.parameters.values()), materialize_grads=True, allow_unused=True))
    if not wanted.any():
        return []  # nothing to gain here
    sizes = (wanted.norm() * found.norm()).item()
    return [(wanted @ found).item() / sizes if 0 < sizes < math.inf else 0.0]


def _better(cosines: Sequence[float]) -> bool:
    return max(cosines, default=-1.0) > _ROUNDING


def _moved(cosines: Sequence[float], objective: Objective) -> Verdict:
    if _better(cosines):
        return conforms("it does, on some problem")
    other = {"maximise": "larger", "minimise": "smaller"}[str(objective.direction)]
    return fails(f"expected a step along the mean gradient to make it {other} on some problem; got none of {len(cosines)}")


def _gradients(scene: Scene, phase: Phase) -> dict[str, Tensor]:
    return gradients_of(phase, scene.estimate(phase))


def _flat(tensors: Sequence[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1).double() for tensor in tensors])

"""What a batch may change about an estimate: its size, its order and its parts."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.claims import Consistent
from probgen.errors import ProbgenError
from probgen.estimator import Estimate, Estimator, Phase, State
from probgen.testing.checks.expectations import VALUE, outputs, replicated, require_paths
from probgen.testing.checks.scenes import Scene, fitting_scenes, gradients_of
from probgen.testing.exact import exact_law
from probgen.testing.failures import NotEnumerable
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.verdict import Verdict

__all__ = ["check_order", "check_small_batches", "check_splitting", "check_state", "reduced"]

_Means = dict[str, Tensor]

_BUDGET, _NODES = 300, 8
_TOLERANCE = 1e-9
_FEW_NODES = 4
"""Whether two means over the same rule agree is no matter of how fine the rule is."""


def check_state(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """The state has the same tensors after a step, whatever the batch's size, and they carry no gradient."""
    remembers = False
    for scene in fitting_scenes(subject, trial):
        for phase in scene.phases:
            for batch in (scene.batch, rows(scene.batch, [0]), replicated(scene.batch, 3)):
                try:
                    following = scene.estimate(phase, batch).state
                except ProbgenError:  # it says that the batch is too small for it
                    continue
                remembers |= bool(scene.state) or bool(following)
                claim = f"the state after {phase.name} on {len(batch)} examples is as before, {scene.where}"
                yield Judgement(claim, _alike(scene.state, following))
    if not remembers:
        raise NotApplicable("it has no state on any problem that it fits")


def check_small_batches(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """A batch smaller than the one that the state began with is served, or refused with a message of probgen's."""
    for scene in fitting_scenes(subject, trial):
        state = scene.estimator.initial_state(scene.model, large := replicated(scene.batch, 3))
        for phase in scene.phases:
            if phase.estimate is None:
                continue
            for batch in (large, rows(large, list(range(len(large) - 1))), rows(large, [0])):
                claim = f"{phase.name} serves {len(batch)} examples after {len(large)}, {scene.where}"
                yield Judgement(claim, _served(scene, phase, batch, state))


def check_order(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """The order of examples does not matter to the gradient's mean, and orders the values."""
    for scene, phase, whole in _enumerable(reduced(subject), trial):
        order = list(reversed(range(len(scene.batch))))
        turned = _mean(scene, phase, rows(scene.batch, order))
        value, size = whole[VALUE], len(scene.batch)
        wanted = {**whole, VALUE: value[order] if len(value) == size else value}
        claim = f"{phase.name} does not mind the order of examples, {scene.where}"
        yield Judgement(claim, _agreement(turned, wanted, "the order of examples changes nothing"))


def check_splitting(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """The mean estimate of a batch is the mean of those of its examples, unless it says that they are coupled."""
    if subject.batch_coupled:
        raise NotApplicable("it says that its examples are coupled")
    for scene, phase, whole in _enumerable(reduced(subject), trial):
        parts = [_mean(scene, phase, rows(scene.batch, [row])) for row in range(len(scene.batch))]
        together = {
            name: torch.cat([part[name] for part in parts])
            if name == VALUE and len(whole[VALUE]) == len(parts)
            else torch.stack([part[name] for part in parts]).mean(0)
            for name in whole
        }
        verdict = _agreement(together, whole, "a batch is the mean of its examples")
        yield Judgement(f"{phase.name} is a mean over examples, {scene.where}", verdict)


def reduced(subject: Estimator) -> Estimator:
    """Return the subject with the knobs that its claims name turned down to 2, so that fewer outcomes have to be listed."""
    smaller: Any = copy.deepcopy(subject)
    said = [*(claim for claims in subject.claims.values.values() for claim in claims), *subject.claims.gradient.values()]
    for claim in said:
        if isinstance(claim, Consistent) and getattr(smaller, claim.knob, 0) > 2:
            setattr(smaller, claim.knob, 2)
    return smaller


def rows(batch: Batch, numbers: list[int]) -> Batch:
    """Return some examples of a batch."""
    return Batch(batch.x[numbers], context=None if batch.context is None else batch.context[numbers])


def _enumerable(subject: Estimator, trial: Trial) -> Iterator[tuple[Scene, Phase, _Means]]:
    """Yield the phases whose mean on several examples can be listed, with it."""
    found = False
    for scene in fitting_scenes(subject, trial):
        for phase in scene.phases if len(scene.batch) > 1 and not scene.problem.statistical else ():
            if phase.estimate is None:
                continue
            try:
                whole = _mean(scene, phase, scene.batch)
            except NotEnumerable:
                continue
            found = True
            yield scene, phase, whole
    if not found:
        raise NotApplicable("its outcomes on several examples cannot be listed")


def _mean(scene: Scene, phase: Phase, batch: Batch) -> _Means:
    """Return the mean of every output over all outcomes, with one rule for the noise."""

    def draw() -> dict[str, Tensor]:
        return outputs(scene, phase, batch)

    require_paths(draw, budget=_BUDGET, nodes=_NODES)
    law = exact_law(draw, max_paths=20 * _BUDGET, nodes=_FEW_NODES)
    sizes = {name: tensor.numel() for name, tensor in draw().items()}
    return dict(zip(sizes, torch.from_numpy(law.mean).split(list(sizes.values())), strict=True))


def _agreement(found: _Means, wanted: _Means, what: str) -> Verdict:
    deviation = max(_distance(found[name], wanted[name]) for name in wanted)
    return exactly(deviation, what, tolerance=_TOLERANCE)


def _distance(one: Tensor, other: Tensor) -> float:
    return (one - other).norm().item() / max(other.norm().item(), 1e-3) if one.shape == other.shape else float("inf")


def _alike(before: State, after: State) -> Verdict:
    if set(before) != set(after):
        return fails(f"it had {', '.join(sorted(before)) or 'nothing'} and has {', '.join(sorted(after)) or 'nothing'}")
    for name, tensor in after.items():
        old = before[name]
        if (tensor.shape, tensor.dtype, tensor.device) != (old.shape, old.dtype, old.device):
            return fails(f"{name} was {tuple(old.shape)} of {old.dtype} and is {tuple(tensor.shape)} of {tensor.dtype}")
        if tensor.requires_grad:
            return fails(f"{name} has a graph")
    return conforms("as before")


def _served(scene: Scene, phase: Phase, batch: Batch, state: State) -> Verdict:
    try:
        estimate: Estimate = scene.estimate(phase, batch, state)
    except ProbgenError as refusal:
        return conforms(f"refused: {refusal}")
    if estimate.value.shape not in (torch.Size(()), torch.Size((len(batch),))):
        return fails(f"the value has shape {tuple(estimate.value.shape)}")
    parts = [estimate.value, estimate.surrogate, *gradients_of(phase, estimate).values()]
    return conforms("served") if all(bool(torch.isfinite(part).all()) for part in parts) else fails("it is not finite")

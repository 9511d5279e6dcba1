"""Numbers that are large, short of digits, or that nobody trains."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from probgen.estimator import Estimator, Phase
from probgen.testing.checks.batches import reduced
from probgen.testing.checks.expectations import outputs, require_paths
from probgen.testing.checks.scenes import Scene, fitting_scenes, gradients_of
from probgen.testing.exact import exact_law
from probgen.testing.failures import NotEnumerable
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.verdict import Verdict

__all__ = ["check_extremes", "check_own_parameters", "check_precision"]

_LARGE = 30.0
_DRAWS = 20
_BUDGET, _NODES = 40, 4
_SHORT = 1e-4
"""Relative error that single precision may bring."""


def check_own_parameters(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """What phases train is the model's or the estimator's own, all of what the estimator learns is trained, and it moves."""
    for scene in fitting_scenes(subject, trial):
        yield Judgement(f"phases train what is saved, and all of it, {scene.where}", _ownership(scene))
        for phase in scene.phases:
            if phase.estimate is not None:
                moves = any(
                    bool(gradient.count_nonzero())
                    for _ in range(_DRAWS)
                    for gradient in gradients_of(phase, scene.estimate(phase)).values()
                )
                verdict = conforms("it does") if moves else fails(f"{_DRAWS} draws have no gradient at all")
                yield Judgement(f"{phase.name} trains something, {scene.where}", verdict)


def check_extremes(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """Values and gradients are finite where the model is nearly deterministic: its weights times 30."""
    for scene in fitting_scenes(subject, trial):
        if not isinstance(scene.model, nn.Module):
            continue
        with torch.no_grad():
            for parameter in scene.model.parameters():
                parameter *= _LARGE
        torch.manual_seed(trial.seed(scene.where))
        for phase in scene.phases:
            if phase.estimate is not None:
                draws = [outputs(scene, phase) for _ in range(_DRAWS)]
                bad = {name for draw in draws for name, tensor in draw.items() if not bool(torch.isfinite(tensor).all())}
                verdict = fails(f"{', '.join(sorted(bad))} is not finite") if bad else conforms(f"{_DRAWS} draws are")
                yield Judgement(f"{phase.name} is finite at weights times {_LARGE:.0f}, {scene.where}", verdict)


def check_precision(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """Single precision changes expectations by no more than 1e-4 of their size."""
    found = False
    smaller = reduced(subject)
    doubles = {scene.problem.name: scene for scene in fitting_scenes(smaller, trial)}
    for single in fitting_scenes(smaller, trial, dtype=torch.float32):
        double = doubles[single.problem.name]
        single = _as_double(single, double)
        for phase, precise in zip(single.phases, double.phases, strict=True):
            if phase.estimate is None or single.problem.statistical:
                continue
            try:
                wanted, got = _mean(double, precise), _mean(single, phase)
            except NotEnumerable:
                continue
            found = True
            deviation = float(np.linalg.norm(got - wanted) / max(np.linalg.norm(wanted), 1e-3))
            verdict = exactly(deviation, "single precision is enough", tolerance=_SHORT)
            yield Judgement(f"{phase.name} in single precision is as in double, {single.where}", verdict)
    if not found:
        raise NotApplicable("its outcomes cannot be listed")


def _as_double(single: Scene, double: Scene) -> Scene:
    """Return the scene in single precision with what the other one has learned and remembers: rounded, not drawn anew."""
    if single.estimator.learned is not None and double.estimator.learned is not None:
        single.estimator.learned.load_state_dict(double.estimator.learned.state_dict())
    state = {name: double.state[name].to(tensor.dtype) for name, tensor in single.state.items()}
    return dataclasses.replace(single, state=state)


def _mean(scene: Scene, phase: Phase) -> np.ndarray:
    """Return the mean by one rule of few nodes, which is the same rounding apart, however smooth the outputs are."""
    require_paths(lambda: outputs(scene, phase), budget=_BUDGET, nodes=_NODES)
    return exact_law(lambda: outputs(scene, phase), max_paths=20 * _BUDGET, nodes=_NODES).mean


def _ownership(scene: Scene) -> Verdict:
    learned = scene.estimator.learned
    saved = {id(p) for module in (scene.model, learned) if isinstance(module, nn.Module) for p in module.parameters()}
    trained = {id(p): f"{phase.name}: {name}" for phase in scene.phases for name, p in phase.parameters.items()}
    if strangers := [name for key, name in trained.items() if key not in saved]:
        return fails(f"{', '.join(strangers)} is neither the model's nor in `learned`, so it is not saved")
    if learned is not None:
        idle = [name for name, p in learned.named_parameters() if p.requires_grad and id(p) not in trained]
        if idle:
            return fails(f"no phase trains {', '.join(idle)} of `learned`")
    return conforms("they do")

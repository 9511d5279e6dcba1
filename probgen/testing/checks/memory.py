"""What an estimator carries from one step to the next: its state, all of it and nothing else."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from probgen.estimator import Estimator, State
from probgen.testing.checks.conduct import alike, drawn
from probgen.testing.checks.scenes import Scene, fitting_scenes, set_up
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, fails

__all__ = ["check_resumed"]

_ROUNDS = 3


def check_resumed(subject: Estimator, trial: Trial) -> Iterator[Judgement]:
    """A fresh copy that is handed the state goes on as the one that returned it does, as after a checkpoint.

    Where the state changes from step to step, what an estimator is given must make a difference, on some problem at least.
    """
    remembers, advances, matters = False, False, False
    for scene in fitting_scenes(subject, trial):
        if not scene.state:
            continue
        remembers = True
        seed = trial.seed(scene.where)
        later = dataclasses.replace(scene, state=_later(scene))
        fresh = set_up(subject, scene.problem, seed=trial.seed(scene.problem.name))
        fresh = dataclasses.replace(fresh, state=later.state)
        moved = not alike(scene.state, later.state)
        advances |= moved
        for phase, same in zip(scene.phases, fresh.phases, strict=True):
            if phase.estimate is None:
                continue
            scene.estimate(phase)  # a draw for something else, whose state nobody keeps
            going_on = drawn(later, phase, seed)[0]
            again = alike(going_on, drawn(fresh, same, seed)[0])
            verdict = (
                conforms("it does") if again else fails("it goes on from something else than the state that it is given")
            )
            yield Judgement(f"a copy of {phase.name} that is given the state goes on alike, {scene.where}", verdict)
            matters |= moved and not alike(going_on, drawn(scene, phase, seed)[0])
    if not remembers:
        raise NotApplicable("it has no state on any problem that it fits")
    if not advances:
        yield Judgement("the state matters", conforms("it is chosen once, and stays"))
        return
    idle = fails("another state gives the same outputs and the same next state on every problem")
    yield Judgement("the state matters", conforms("it does, on some problem") if matters else idle)


def _later(scene: Scene) -> State:
    """Return the state after some steps at which the model stays as it is."""
    state = scene.state
    for _ in range(_ROUNDS):
        for phase in scene.phases:
            if phase.estimate is not None:
                state = scene.estimate(phase, state=state).state
    return state

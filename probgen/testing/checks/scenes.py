"""An estimator set up on a problem that it fits."""

from __future__ import annotations

import copy
import dataclasses
import enum
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.capabilities import LatentVariable, capabilities
from probgen.errors import CapabilityError, ConfigurationError, SupportError
from probgen.estimator import Estimate, Estimator, Phase, State
from probgen.pyro_bridge import run_pair
from probgen.streams import preserved_streams
from probgen.testing.problem import Problem, Situation
from probgen.testing.problems import known_problems
from probgen.testing.trial import NotApplicable, Trial

__all__ = ["Latents", "Scene", "fitting_scenes", "gradients_of", "set_up"]

_STEP_SIZE = 0.05


class Latents(enum.StrEnum):
    """What a model draws that nobody sees. Estimators treat the kinds differently, and may be right on one alone."""

    NONE = "a model without latents"
    DISCRETE = "latents that are not reparameterised"
    REPARAMETERIZED = "reparameterised latents"
    MIXED = "latents of both kinds"


@dataclasses.dataclass(frozen=True, eq=False)
class Scene:
    """An estimator of its own, a problem's model and batch, and a state.

    Args:
        problem: The problem.
        estimator: A copy of the subject, initialised.
        model: The problem's model.
        batch: Its batch.
        state: The state before the step.
        phases: The estimator's phases.
        when: `""` at the start, or how the state came about.
    """

    problem: Problem
    estimator: Estimator
    model: Any
    batch: Batch
    state: State
    phases: Sequence[Phase]
    when: str = ""

    @property
    def where(self) -> str:
        """The place, for words: `"on one-bit"`."""
        return f"on {self.problem.name}{self.when}"

    @property
    def situation(self) -> Situation:
        """What a quantity may depend on."""
        return Situation(self.model, self.batch, self.estimator, self.state)

    @cached_property
    def latents(self) -> Latents:
        """Which latents the problem's model has."""
        if LatentVariable not in capabilities(self.model):
            return Latents.NONE
        with preserved_streams(), torch.no_grad():
            sites = run_pair(self.model, self.batch.x, self.batch.context).latents
        kinds = {Latents.REPARAMETERIZED if site.reparameterized else Latents.DISCRETE for site in sites}
        return Latents.MIXED if len(kinds) > 1 else kinds.pop() if kinds else Latents.NONE

    @property
    def remembers(self) -> bool:
        """Whether steps change what the estimator does, apart from the model."""
        return bool(self.state) or self.estimator.learned is not None

    def estimate(self, phase: Phase, batch: Batch | None = None, state: State | None = None) -> Estimate:
        """Return a draw of a phase."""
        return phase(self.model, self.batch if batch is None else batch, self.state if state is None else state)

    def later(self, seed: int, *, steps: int = 2) -> Scene:
        """Return the scene after some steps of gradient descent, which change it in place."""
        torch.manual_seed(seed)
        state = self.state
        for _ in range(steps):
            for phase in self.phases:
                estimate = self.estimate(phase, state=state)
                state = estimate.state
                if phase.estimate is None:
                    continue
                gradients = gradients_of(phase, estimate)
                with torch.no_grad():
                    for name, parameter in phase.parameters.items():
                        parameter -= _STEP_SIZE * gradients[name]
                    if phase.after_step is not None:
                        phase.after_step()
        return dataclasses.replace(self, state=state, when=f", {steps} steps later")


def set_up(subject: Estimator, problem: Problem, *, seed: int, dtype: torch.dtype = torch.float64) -> Scene:
    """Return a copy of the subject on a problem, ready for its first step.

    Raises:
        CapabilityError: the model cannot do what the estimator needs.
    """
    model, batch = problem.make(dtype)
    estimator = copy.deepcopy(subject)
    estimator.check(model)
    torch.manual_seed(seed)
    estimator.initialize(model, batch)
    if estimator.learned is not None:
        estimator.learned.to(dtype)
    return Scene(problem, estimator, model, batch, estimator.initial_state(model, batch), estimator.phases(model))


def fitting_scenes(
    subject: Estimator,
    trial: Trial,
    *,
    dtype: torch.dtype = torch.float64,
) -> Iterator[Scene]:
    """Yield the subject on each problem that it fits: a first draw of every phase is not refused.

    Raises:
        NotApplicable: it fits none.
    """
    found = False
    known = {**known_problems(), **{problem.name: problem for problem in trial.problems}}
    for problem in known.values():
        try:
            scene = set_up(subject, problem, seed=trial.seed(problem.name), dtype=dtype)
            for phase in scene.phases:
                if phase.estimate is not None:
                    scene.estimate(phase)
        except (CapabilityError, ConfigurationError, SupportError):
            continue
        found = True
        yield scene
    if not found:
        raise NotApplicable("it fits no model that the kit knows")


def gradients_of(phase: Phase, estimate: Estimate) -> dict[str, Tensor]:
    """Return the gradient estimate, by the names of the phase's parameters."""
    gradients = torch.autograd.grad(
        estimate.surrogate, list(phase.parameters.values()), materialize_grads=True, allow_unused=True
    )
    return {name: gradient.detach() for name, gradient in zip(phase.parameters, gradients, strict=True)}

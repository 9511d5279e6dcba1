"""Claims as questions: what is to be held against what."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from probgen.claims import Biased, Claim, Heuristic
from probgen.estimator import Estimator, Phase
from probgen.testing.checks.expectations import VALUE, gradient_output
from probgen.testing.checks.scenes import Scene
from probgen.testing.moments import Moments

__all__ = ["Question", "mean_of", "questions", "size_of", "target_of"]

_SMALLEST = 1e-3
"""Targets smaller than this count as so large, since a bias relative to nothing means nothing."""


@dataclasses.dataclass(frozen=True)
class Question:
    """One claim about one phase.

    Args:
        phase: The phase's name.
        claim: What is claimed.
        names: The parameters whose gradient it is about; empty for the value.
    """

    phase: str
    claim: Claim
    names: tuple[str, ...] = ()

    @property
    def target(self) -> str:
        """The quantity that the expectation is held against; empty where nothing is promised."""
        if isinstance(self.claim, Heuristic):
            return ""
        return self.claim.target if isinstance(self.claim, Biased) else self.claim.of

    @property
    def key(self) -> tuple[str, bool, Claim]:
        """What the question is on any model, whatever its parameters are called."""
        return self.phase, bool(self.names), self.claim

    def __str__(self) -> str:
        return f"{'gradient' if self.names else 'value'} in phase {self.phase}: {self.claim}"


def questions(estimator: Estimator, phase: Phase) -> list[Question]:
    """Return every claim that the estimator makes about a phase.

    Raises:
        ConfigurationError: it is silent about the value, or about a parameter.
    """
    claims = estimator.claims
    found = [Question(phase.name, claim) for claim in claims.for_value(phase.name)]
    groups: dict[Claim, list[str]] = {}
    for name in phase.parameters if phase.estimate is not None else ():
        groups.setdefault(claims.for_parameter(name), []).append(name)
    return found + [Question(phase.name, claim, tuple(names)) for claim, names in groups.items()]


def target_of(scene: Scene, question: Question) -> Tensor:
    """Return the quantity that a question is about, as a vector: the value of each example, or a gradient."""
    problem, situation = scene.problem, scene.situation
    if not question.names:
        return problem.quantity(question.target, situation).detach().reshape(-1).double()
    phase = next(phase for phase in scene.phases if phase.name == question.phase)
    parameters = [phase.parameters[name] for name in question.names]
    loss = problem.loss(question.target, situation)
    gradients = torch.autograd.grad(loss, parameters, materialize_grads=True, allow_unused=True)
    return torch.cat([gradient.reshape(-1) for gradient in gradients]).double()


def mean_of(moments: Moments, question: Question, *, like: Tensor) -> Tensor:
    """Return the mean of the output that a question is about, shaped as its target: over examples where that is a scalar."""
    if question.names:
        return torch.cat([moments[gradient_output(name)].mean for name in question.names])
    mean = moments[VALUE].mean
    return mean if len(mean) == len(like) else mean.mean().reshape(1)


def size_of(target: Tensor) -> float:
    """Return what a bias is relative to."""
    return max(target.norm().item(), _SMALLEST)

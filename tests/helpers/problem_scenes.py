"""The kit's problems other than latent pairs, and estimators at work on them."""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from probgen.estimator import Estimator
from probgen.testing.problem import Problem, Situation
from probgen.testing.problems import boltzmann, densities, discrepancies, games, scores

PROBLEMS = {
    problem.name: problem for module in (densities, boltzmann, games, discrepancies, scores) for problem in module.PROBLEMS
}


@dataclasses.dataclass(frozen=True)
class Scene:
    """A problem and an estimator at work on it."""

    problem: Problem
    situation: Situation

    @classmethod
    def of(cls, problem: Problem, estimator: Estimator, dtype: torch.dtype = torch.float64) -> Scene:
        model, batch = problem.make(dtype)
        estimator.initialize(model, batch)
        if estimator.learned is not None:
            estimator.learned.to(dtype)
        state = dict(estimator.initial_state(model, batch))
        if "balance" in state:
            state["balance"] = state["balance"] + 0.4
        return cls(problem, Situation(model, batch, estimator, state))

    def phase(self, name: str):
        return next(each for each in self.situation.estimator.phases(self.situation.model) if each.name == name)

    def outcome(self, phase) -> dict[str, Tensor]:
        """Return one draw of the value and of the gradient, in the phase."""
        estimate = phase(self.situation.model, self.situation.batch, self.situation.state)
        return {"value": estimate.value, "gradient": gradient_of(estimate.surrogate, phase)}

    def target(self, name: str, phase) -> Tensor:
        return gradient_of(self.problem.loss(name, self.situation), phase).double()

    def value(self, name: str) -> Tensor:
        return self.problem.quantity(name, self.situation).detach().double().flatten()


def gradient_of(scalar: Tensor, phase) -> Tensor:
    parameters = list(phase.parameters.values())
    gradients = torch.autograd.grad(scalar, parameters, allow_unused=True, materialize_grads=True, retain_graph=True)
    return torch.cat([gradient.flatten() for gradient in gradients]).detach()


def distance(a: Tensor, b: Tensor) -> float:
    return ((a - b).norm() / b.norm().clamp(min=1e-3)).item()

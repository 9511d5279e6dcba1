"""Pyro's own objectives as estimators, so that the kit can judge them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pyro
import torch
from pyro.infer import ELBO as PyroELBO

from probgen import Batch, Estimate, Estimator, LatentVariable, Objective, Phase
from probgen.claims import Claims, LowerBound, Unbiased
from probgen.estimator import State, parameters_of

__all__ = ["PyroObjective"]


class PyroObjective(Estimator):
    """What one of Pyro's objectives makes of a pair: its loss, and the gradients that its `loss_and_grads` leaves behind.

    Args:
        make: Makes the objective: `Trace_ELBO`, say.
        quantity: What it claims to estimate: `"elbo"`, or `"iwae[3]"`.
    """

    requires = (LatentVariable,)

    def __init__(self, make: Callable[[], PyroELBO], *, quantity: str = "elbo") -> None:
        self.make = make
        self.quantity = quantity
        self.objective = Objective(quantity, "nats", "maximise")

    @property
    def claims(self) -> Claims:
        """Unbiased, as its documentation says."""
        return Claims(
            value=[Unbiased(self.quantity), LowerBound("log_prob")], gradient={"*": Unbiased(f"grad:{self.quantity}")}
        )

    def phases(self, model: LatentVariable) -> Sequence[Phase]:
        """Return the one phase."""
        return [Phase("main", parameters_of(model), estimate=self._estimate)]

    def _estimate(self, model: Any, batch: Batch, state: State) -> Estimate:
        parameters = parameters_of(model)
        kept = {name: parameter.grad for name, parameter in parameters.items()}
        for parameter in parameters.values():
            parameter.grad = None
        given = (batch.x,) if batch.context is None else (batch.x, batch.context)

        def registered(program: Callable[..., Any]) -> Callable[..., Any]:
            def run(*arguments: Any) -> None:
                pyro.module("pair", model)  # Pyro differentiates what it knows as its parameters
                program(*arguments)

            return run

        with torch.enable_grad(), pyro.get_param_store().scope():
            loss = self.make().loss_and_grads(registered(model.model), registered(model.guide), *given)
        found = {name: parameter.grad for name, parameter in parameters.items()}
        for name, parameter in parameters.items():
            parameter.grad = kept[name]
        surrogate = sum(
            (gradient.detach() * parameters[name]).sum() for name, gradient in found.items() if gradient is not None
        )
        value = -torch.as_tensor(loss, dtype=batch.x.dtype) / len(batch)
        return Estimate(torch.as_tensor(surrogate) / len(batch), value)

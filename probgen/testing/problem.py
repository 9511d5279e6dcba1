"""Small problems with known answers: what estimators are held against."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Literal

import torch
from torch import Tensor

from probgen.batch import Batch
from probgen.estimator import Estimator, State
from probgen.testing.quantity import QuantityName

__all__ = ["Oracle", "Problem", "Situation"]


@dataclasses.dataclass(frozen=True, eq=False)
class Situation:
    """What a quantity may depend on.

    Args:
        model: The problem's model.
        batch: The problem's batch.
        estimator: Whose claim is looked at: a critic is part of the game that it plays.
        state: The estimator's state before the step: chains stand somewhere.
        argument: What stands in brackets behind the quantity's name.
    """

    model: Any
    batch: Batch
    estimator: Estimator
    state: State
    argument: str = ""


@dataclasses.dataclass(frozen=True, eq=False)
class Oracle:
    """A quantity that is known exactly. It uses nothing of the estimators: sums over all outcomes, closed forms, quadrature.

    Args:
        compute: Returns it for each example, `(N,)`, or as a scalar, differentiable in the parameters that it depends on.
        maximised: Whether training makes it larger, so that a surrogate's gradient is that of minus its batch mean.
        arguments: What may stand in brackets behind its name, `""` for no brackets; None for anything.
    """

    compute: Callable[[Situation], Tensor]
    maximised: bool = False
    arguments: tuple[str, ...] | None = None


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    """A model so small that quantities of it are known exactly, with a batch.

    Args:
        name: In kebab-case: `"sigmoid-belief-net"`.
        make: Returns the model and the batch, in the floating-point type asked for, the same each time.
        oracles: Exact quantities, by the base of their names; their gradients follow by autograd.
        statistical: Whether the randomness of an estimator here cannot be enumerated, so that draws must decide.

    Example:
        >>> from probgen import MaximumLikelihood
        >>> from probgen.testing import known_problems
        >>> problem = known_problems()["categorical"]
        >>> problem.knows("grad:log_prob"), problem.knows("elbo")
        (True, False)
    """

    name: str
    make: Callable[[torch.dtype], tuple[Any, Batch]]
    oracles: Mapping[str, Oracle]
    statistical: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "oracles", MappingProxyType(dict(self.oracles)))

    def knows(self, quantity: str) -> bool:
        """Whether the quantity of this name, or the one that it is the gradient of, is known here."""
        parts = QuantityName.of(quantity)
        oracle = self.oracles.get(parts.base)
        return oracle is not None and (oracle.arguments is None or parts.argument in oracle.arguments)

    def quantity(self, name: str, situation: Situation) -> Tensor:
        """Return a known quantity, `(N,)` or a scalar, differentiable."""
        parts = QuantityName.of(name)
        return self.oracles[parts.base].compute(dataclasses.replace(situation, argument=parts.argument))

    def direction(self, name: str) -> Literal["maximise", "minimise"]:
        """Return what training does with a known quantity."""
        return "maximise" if self.oracles[QuantityName.of(name).base].maximised else "minimise"

    def loss(self, name: str, situation: Situation) -> Tensor:
        """Return the scalar to minimise whose gradient the claim `name` speaks of: the batch mean, negated if maximised."""
        mean = self.quantity(name, situation).mean()
        return -mean if self.direction(name) == "maximise" else mean

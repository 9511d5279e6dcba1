"""The third noun: an `Estimator` turns a model and a batch into a stochastic estimate of an objective and its gradient."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, Self

from torch import Tensor, nn

from probgen.batch import Batch
from probgen.capabilities import require
from probgen.claims import Claims
from probgen.errors import ConfigurationError

__all__ = ["Estimate", "Estimator", "Objective", "Phase", "State", "parameters_of"]

State = Mapping[str, Tensor]
"""An estimator's memory between steps: tensors by name. Nothing is remembered anywhere else."""

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclasses.dataclass(frozen=True)
class Objective:
    """What an estimator estimates.

    Args:
        name: The quantity's name in the metrics, `"elbo"`; claims may add a number to it, `"iwae[5]"`.
        unit: Its unit: `"nats"`.
        direction: Whether training makes it large or small; None for a game, whose recipe then names the metric to select
            by.
    """

    name: str
    unit: str
    direction: Literal["maximise", "minimise"] | None


@dataclasses.dataclass(frozen=True, eq=False)
class Estimate:
    """One draw of an estimator.

    Args:
        surrogate: A scalar to *minimise*, the mean over the batch. Its gradient is the gradient estimate (of minus the
            objective, where that is maximised); its own value means nothing.
        value: What the claims about the phase's value name, in the phase of the objective that one, in its own sign and
            unit, detached: `(N,)` where it is a sum over examples, else a scalar.
        state: The estimator's next state. The trainer keeps it after a step that succeeded; everyone else drops it.
        info: Further detached scalars to log.
    """

    surrogate: Tensor
    value: Tensor
    state: State = dataclasses.field(default_factory=lambda: _NOTHING)
    info: Mapping[str, Tensor] = dataclasses.field(default_factory=lambda: _NOTHING)


@dataclasses.dataclass(frozen=True, eq=False)
class Phase:
    """A part of a training step: some parameters, and how their gradient is estimated.

    Exactly one of `estimate` and `update` is given. Both are pure tensor programs of (model, batch, state): no `.item()`, no
    Python branch on a tensor's value, all randomness through torch. Either may run under `torch.no_grad()` (for validation);
    one that differentiates inside turns gradients on for itself.

    Args:
        name: Unique within the estimator: `"critic"`.
        parameters: What this phase trains, by name; the trainer differentiates with respect to these alone.
        estimate: `(model, batch, state) -> Estimate`, whose surrogate's gradient an optimiser follows.
        update: `(model, batch, state) -> Estimate`, which changes the parameters itself, without gradients (an M-step).
        repeats: How often the phase runs in a step, each time on a fresh batch.
        after_step: Called after each repeat's optimiser step, under `no_grad`: weight clipping, renormalising.
    """

    name: str
    parameters: Mapping[str, nn.Parameter]
    estimate: Callable[[Any, Batch, State], Estimate] | None = None
    update: Callable[[Any, Batch, State], Estimate] | None = None
    repeats: int = 1
    after_step: Callable[[], None] | None = None

    def __post_init__(self) -> None:
        if (self.estimate is None) == (self.update is None):
            raise ConfigurationError(
                f"Phase {self.name!r}: expected exactly one of estimate and update; got "
                f"{'neither' if self.estimate is None else 'both'}. Give the one that fits."
            )
        if self.repeats < 1:
            raise ConfigurationError(f"Phase {self.name!r}: expected repeats of at least 1; got {self.repeats}.")

    def __call__(self, model: Any, batch: Batch, state: State) -> Estimate:
        """Return this phase's estimate (or make its update)."""
        run = self.estimate if self.estimate is not None else self.update
        return run(model, batch, state)  # pyright: ignore[reportOptionalCall]


class Estimator(abc.ABC):
    """A stochastic estimate of an objective and of its gradient, with a statement of how biased both are.

    Implementing an estimator:
        - set `requires`, the capabilities that a model must have, and `objective`;
        - return `claims` (they may depend on the options);
        - return the `phases` of a step. Most estimators have one; adversarial training has a critic's and a generator's.

    Optional:
        - `build`, where options are objects, which a shell cannot type;
        - `initial_state`: tensors that a step carries to the next (persistent chains, moving baselines);
        - `initialize` and `learned`: modules that the estimator itself learns (a critic, a neural baseline). They are
          saved and resumed with the model;
        - `batch_coupled = True` where examples share randomness or statistics.

    One step runs every phase once, in order, each with its repeats.
    """

    requires: tuple[type, ...] = ()
    objective: Objective
    batch_coupled: bool = False

    @classmethod
    def build(cls, **options: Any) -> Self:
        """Return the estimator for options as a spec lists them: numbers, and names.

        A class whose constructor takes objects overrides this, and it alone knows their names.
        """
        return cls(**options)

    @property
    @abc.abstractmethod
    def claims(self) -> Claims:
        """What the value and the gradients are, with the present options."""

    @abc.abstractmethod
    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the phases of one step on `model`."""

    def initialize(self, model: Any, batch: Batch) -> None:
        """Build what depends on the model (a default critic from its event shape, say); called before `phases`."""

    @property
    def learned(self) -> nn.Module | None:
        """What the estimator itself learns, or None."""
        return None

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return the state before the first step; empty for an estimator without memory."""
        return _NOTHING

    def check(self, model: Any) -> None:
        """Raise `CapabilityError` unless `model` can do what this estimator needs."""
        require(model, *self.requires, for_what=type(self).__name__)


def parameters_of(*modules: Any) -> dict[str, nn.Parameter]:
    """Return the trainable parameters of the modules by name; a frozen parameter, or something that is no module, has none.

    Example:
        >>> list(parameters_of(nn.Linear(2, 1)))
        ['weight', 'bias']
    """
    return {
        name: parameter
        for module in modules
        if isinstance(module, nn.Module)
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }

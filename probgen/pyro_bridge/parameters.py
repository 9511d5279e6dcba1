"""Pyro's parameter store, kept apart for each run, and `pyro.param` statements as parameters of a module."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pyro
from pyro.infer.autoguide import AutoGuide
from pyro.nn import PyroModule
from torch import Tensor, nn
from torch.distributions.constraints import Constraint

from probgen.errors import ConfigurationError
from probgen.latent import LatentVariable

__all__ = ["awaits_template", "check_names_apart", "param_scope"]


@contextmanager
def param_scope(pair: LatentVariable, *, adopted: dict[str, tuple[Tensor, Constraint]] | None = None) -> Iterator[None]:
    """Run a block with a parameter store that holds `pair`'s own `pyro.param` values and nothing else.

    Args:
        pair: Whose statements the store answers.
        adopted: Where statements go that belong to no module of the pair: unconstrained values and constraints. None to
            refuse them, since a value that is made anew in each run never trains.
    """
    known = pair._param_statements()
    state: Any = {
        "params": {name: value for name, (value, _) in known.items()},
        "constraints": {name: constraint for name, (_, constraint) in known.items()},
    }
    store = pyro.get_param_store()
    with store.scope(state):
        yield
        found = _orphans(pair, known) if len(store) > len(known) else {}
    if adopted is not None:
        adopted.update(found)
    elif found:
        raise ConfigurationError(
            f"{type(pair).__name__}: expected every pyro.param to belong to the pair; got {', '.join(map(repr, found))}, "
            "new in this run. Call initialize(batch) on a PyroPair before running it, or use an nn.Parameter."
        )


def _orphans(pair: LatentVariable, known: Mapping[str, Any]) -> dict[str, tuple[Tensor, Constraint]]:
    """Return what the store holds beyond the known statements and the parameters of the pair's modules."""
    state = pyro.get_param_store().get_state()
    owned = {id(parameter) for parameter in pair.parameters()} if isinstance(pair, nn.Module) else set()
    return {
        name: (value, state["constraints"][name])
        for name, value in state["params"].items()
        if name not in known and id(value) not in owned
    }


def awaits_template(program: Any) -> bool:
    """Whether `program` is an autoguide that has not seen its model run yet, and so has no parameters."""
    return isinstance(program, AutoGuide) and program.prototype_trace is None


def check_names_apart(model: Any, guide: Any) -> None:
    """Raise where two `PyroModule`s would share a parameter because Pyro's store knows it by one name.

    Raises:
        ConfigurationError: a name is used by both, for different parameters.
    """
    if not (isinstance(model, PyroModule) and isinstance(guide, PyroModule)):
        return
    theirs = _store_names(guide)
    clashes = [name for name, value in _store_names(model).items() if theirs.get(name, value) is not value]
    if clashes:
        raise ConfigurationError(
            f"PyroPair: expected parameters of model and guide under different names; got {clashes[0]!r} in both. "
            "Give one of them a name: super().__init__(name='guide')."
        )


def _store_names(program: PyroModule) -> dict[str, nn.Parameter]:
    prefix = program._pyro_name
    return {f"{prefix}.{name}" if prefix else name: value for name, value in program.named_parameters()}

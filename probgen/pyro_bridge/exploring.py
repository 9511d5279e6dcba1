"""A first look at a pair of programs: what they keep in Pyro's parameter store, and how deep their plates go."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions.constraints import Constraint

from probgen.latent import LatentVariable
from probgen.pyro_bridge.parameters import param_scope
from probgen.pyro_bridge.running import record_programs

__all__ = ["Exploration", "explore_pair"]


@dataclasses.dataclass(frozen=True)
class Exploration:
    """What one run of a pair showed.

    Args:
        statements: `pyro.param` statements that belong to no module: their unconstrained values and constraints.
        model_names: Names of all `pyro.param` statements of the model.
        guide_names: Those of the guide.
        plate_nesting: Number of batch dimensions that the deepest site has.
    """

    statements: Mapping[str, tuple[Tensor, Constraint]]
    model_names: frozenset[str]
    guide_names: frozenset[str]
    plate_nesting: int


def explore_pair(pair: LatentVariable, x: Tensor, context: Tensor | None = None) -> Exploration:
    """Run `pair` once on a template batch, without gradients; autoguides build their parameters on the way."""
    statements: dict[str, tuple[Tensor, Constraint]] = {}
    with torch.no_grad(), param_scope(pair, adopted=statements):
        guide, model = record_programs(pair, x, context)
    depths = [len(record.shape) for program in (guide, model) for record in program.records.values()]
    return Exploration(
        statements,
        model_names=frozenset(model.params),
        guide_names=frozenset(guide.params),
        plate_nesting=max(depths, default=1),
    )

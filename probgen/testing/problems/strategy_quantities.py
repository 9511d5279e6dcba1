"""Exact quantities where each site of a guide has a strategy of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from probgen.testing.problem import Oracle, Situation
from probgen.testing.problems.latent_program import LatentProgram, program_of
from probgen.testing.problems.laws import Bits, Law, Space, crossed, logistic_table, table
from probgen.testing.problems.outcomes import followed, noisy_given, passed_through, scored, soft
from probgen.testing.problems.relaxed_quantities import temperature_of

__all__ = ["STRATEGY_ORACLES"]

_EVERYTHING_ELSE = "*"


@dataclasses.dataclass(frozen=True)
class _Way:
    """What happens at a site that has a target of its own.

    Args:
        target: The quantity that the estimator has for its target where every site is like this one: `"relaxed-elbo"`.
        temperature: Of a relaxation; None where nothing is relaxed.
    """

    target: str
    temperature: Tensor | None

    @property
    def hard(self) -> bool:
        """Whether programs see discrete values."""
        return not self.target.startswith("relaxed")


def elbo_with(situation: Situation) -> Tensor:
    r"""The ELBO with the values of some sites replaced; the argument is `site target …, site target …`, `*` for other bits.

    Sites without a target are summed over. Those of `straight-through-elbo` and `hard-relaxed-elbo` take discrete values
    that move with their means, or as relaxed ones do, and whose masses count as constants: it is the gradient that means
    something then. Those of `relaxed-elbo` take relaxed values. It holds where the guide draws a site after all that the
    model draws it from.
    """
    program, x, context = program_of(situation.model), situation.batch.x, situation.batch.context
    ways = _ways(situation, program)
    listed = {name: space for name, space in program.latents.items() if name not in ways or ways[name].hard}
    noisy = {name: program.latents[name] for name, way in ways.items() if way.temperature is not None}
    bits, odds = crossed(table(listed, nodes=program.nodes, like=x), logistic_table(noisy, like=x))

    def value(name: str, law: Law) -> Tensor:
        way = ways.get(name)
        if way is None:
            return followed(law, bits.entries[name])
        if way.temperature is None:
            return passed_through(law, bits.entries[name])
        if not way.hard:
            return soft(law, odds.entries[name], way.temperature)
        noise = noisy_given(law, bits.entries[name], odds.entries[name]).detach() - _logits(law).detach()
        relaxed = soft(law, noise, way.temperature)
        return bits.entries[name] + relaxed - relaxed.detach()

    joint = dataclasses.replace(bits, entries={**odds.entries, **bits.entries}, masses=bits.masses * odds.masses)
    drawn = scored(program, x, context, joint, value)
    log_mass = torch.zeros_like(drawn.log_q)
    for name, law in drawn.laws.items():
        if name in bits.entries and isinstance(law, Bits):
            mass = law.log_prob(bits.entries[name])
            log_mass = log_mass + (mass.detach() if name in ways else mass)
    by_scores = any(way.target.endswith("by-scores") for way in ways.values())
    inside = drawn.log_weights if by_scores else drawn.log_likelihood - drawn.divergence
    return (joint.masses * log_mass.exp() * inside).sum(0)


def _ways(situation: Situation, program: LatentProgram) -> dict[str, _Way]:
    """Return what happens at each site of bits that has a target of its own."""
    spoken = dict(part.strip().split(" ", 1) for part in situation.argument.split(","))
    named: Mapping[str, Any] = situation.estimator.strategies  # pyright: ignore[reportAttributeAccessIssue]  # it has sites
    places = {name: place for place, name in enumerate([*named, _EVERYTHING_ELSE])}
    found = {}
    for name, space in program.latents.items():
        key = name if name in named else _EVERYTHING_ELSE
        if key in spoken and _is_of_bits(space):
            target, _, schedule = spoken[key].partition(" ")
            steps = situation.state.get(f"{places[key]}.steps")
            found[name] = _Way(target, temperature_of(schedule, steps, like=situation.batch.x) if schedule else None)
    return found


def _is_of_bits(space: Space) -> bool:
    return space.kind == "bits"


def _logits(law: Any) -> Tensor:
    return law.logits


STRATEGY_ORACLES: Mapping[str, Oracle] = {"elbo-with": Oracle(elbo_with, maximised=True)}
"""What is known besides, where the guide draws in the model's order."""

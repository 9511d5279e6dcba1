"""Exact quantities of small latent-variable models."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from probgen.testing.problem import Oracle, Situation
from probgen.testing.problems.latent_program import LatentProgram, program_of
from probgen.testing.problems.outcomes import (
    Outcomes,
    dream_scores,
    explanations,
    fixed,
    frozen_scores,
    passed_through,
    tuples,
)

__all__ = ["BOUND_ORACLES", "LATENT_ORACLES"]


def elbo(situation: Situation) -> Tensor:
    r"""$\mathbb{E}_q[\log p(x, z) - \log q(z \mid x)]$."""
    drawn = _explained(situation)
    return (drawn.mass * drawn.log_weights).sum(0)


def beta_elbo(situation: Situation) -> Tensor:
    r"""$\mathbb{E}_q[\log p(x \mid z)] - \beta\, \mathrm{KL}(q \| p)$; the argument is $\beta$."""
    drawn, beta = _explained(situation), float(situation.argument)
    return (drawn.mass * (drawn.log_likelihood + beta * (drawn.log_prior - drawn.log_q))).sum(0)


def iwae(situation: Situation) -> Tensor:
    r"""$\mathbb{E} \log \frac{1}{K} \sum_k w_k$; the argument is $K$."""
    drawn, particles = _explained(situation), int(situation.argument)
    chosen, mass = tuples(drawn, particles)
    return (mass * (drawn.log_weights[chosen].logsumexp(1) - math.log(particles))).sum(0)


def sticking(situation: Situation) -> Tensor:
    """The same with the guide's scores as functions of the draws alone; it is its gradient that means something."""
    program, x, context = _parts(situation)
    drawn, particles = explanations(program, x, context), int(situation.argument)
    log_weights = drawn.log_joint - frozen_scores(program, x, context, drawn.values).expand_as(drawn.log_joint)
    chosen, mass = tuples(drawn, particles)
    return (mass.detach() * log_weights[chosen].logsumexp(1)).sum(0)


def reweighted(situation: Situation) -> Tensor:
    r"""$\mathbb{E} \sum_k \bar w_k (\log p(x, z_k) + \log q(z_k \mid x))$ with constant weights; its gradient counts."""
    drawn = _explained(situation, fixed)
    chosen, mass = tuples(drawn, int(situation.argument))
    weights = mass.detach()[:, None] * drawn.log_weights.detach()[chosen].softmax(1)
    return (weights * (drawn.log_joint + drawn.log_q)[chosen]).sum((0, 1))


def log_prob(situation: Situation) -> Tensor:
    r"""$\log p(x)$: a sum over latents, or a quadrature at draws of the guide that count as constants."""
    program, x, context = _parts(situation)
    closed_form = program.log_evidence(x, context)
    if closed_form is not None:
        return closed_form
    drawn = explanations(program, x, context, draw=fixed)
    return (drawn.mass.detach().log() + drawn.log_joint - drawn.log_q.detach()).logsumexp(0)


def wake_phi(situation: Situation) -> Tensor:
    r"""$\mathrm{KL}(p(z \mid x) \| q(z \mid x))$ at a fixed model."""
    drawn = _explained(situation, fixed)
    joint, mass = drawn.log_joint.detach(), drawn.mass.detach()
    log_evidence = (mass.log() + joint - drawn.log_q.detach()).logsumexp(0)
    posterior = (mass.log() + joint - drawn.log_q.detach() - log_evidence).exp()
    return (posterior * (joint - log_evidence - drawn.log_q)).sum(0)


def sleep(situation: Situation) -> Tensor:
    r"""$\mathbb{E}_{p(x, z)}[\log q(z \mid x)]$ at a fixed model, the same for every example of one context."""
    mass, scores = dream_scores(*_parts(situation))
    return (mass * scores).sum(0)


def nvil(situation: Situation) -> Tensor:
    r"""The ELBO with scores divided by $\max(1, \sqrt{v})$, where the state has $v$; its gradient counts."""
    drawn = _explained(situation)
    scale = situation.state.get("variance", torch.ones(())).sqrt().clamp(min=1.0)  # none without scores
    mass, gain = drawn.mass.detach(), drawn.log_weights
    return (mass * (gain + gain.detach() * drawn.log_bits / scale)).sum(0)


def straight_through(situation: Situation) -> Tensor:
    """The ELBO at discrete draws that move as their means do; it is its gradient that means something."""
    drawn = _explained(situation, passed_through)
    return (drawn.mass.detach() * drawn.log_weights).sum(0)


def _explained(situation: Situation, draw: Callable[..., Tensor] | None = None) -> Outcomes:
    program, x, context = _parts(situation)
    return explanations(program, x, context) if draw is None else explanations(program, x, context, draw=draw)


def _parts(situation: Situation) -> tuple[LatentProgram, Tensor, Tensor | None]:
    return program_of(situation.model), situation.batch.x, situation.batch.context


def _maximised(*quantities: tuple[str, Callable[[Situation], Tensor]]) -> dict[str, Oracle]:
    return {name: Oracle(compute, maximised=True) for name, compute in quantities}


BOUND_ORACLES: Mapping[str, Oracle] = _maximised(
    ("elbo", elbo),
    ("beta-elbo", beta_elbo),
    ("log_prob", log_prob),
    ("nvil", nvil),
    ("straight-through-elbo", straight_through),
)
"""What is known of every small latent-variable model: integrands are as smooth as the log-densities."""

LATENT_ORACLES: Mapping[str, Oracle] = {
    **BOUND_ORACLES,
    **_maximised(("iwae", iwae), ("stl", sticking), ("rws", reweighted), ("sleep", sleep)),
    "wake_phi": Oracle(wake_phi),
}
"""What is known besides where latents are bits, or a guide is so near the posterior that weights hardly vary."""

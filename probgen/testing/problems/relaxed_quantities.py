"""Exact quantities of relaxed bits, by quadrature over logistic noise."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from probgen.errors import ConfigurationError
from probgen.testing.problem import Oracle, Situation
from probgen.testing.problems.latent_program import LatentProgram, program_of
from probgen.testing.problems.laws import Bits, Law, logistic_table, table
from probgen.testing.problems.outcomes import hard_relaxations, noisy_given, relaxations

__all__ = ["RELAXED_ORACLES", "temperature_of"]

_NUMBER = r"\d+(\.\d+)?(e[+-]?\d+)?"
_SCHEDULE = re.compile(rf"(?P<first>{_NUMBER})(\.\.(?P<final>{_NUMBER})/(?P<steps>\d+))?")


def relaxed_elbo(situation: Situation) -> Tensor:
    r"""$\mathbb{E}[\log p(x \mid \tilde z)]$ minus closed-form divergences; the argument is the temperature."""
    drawn = relaxations(*_parts(situation), _temperature(situation))
    return (drawn.weights * (drawn.log_likelihood - drawn.divergence)).sum(0)


def relaxed_elbo_by_scores(situation: Situation) -> Tensor:
    r"""$\mathbb{E}[\log p(x, \tilde z) - \log q(\tilde z \mid x)]$, with scores continued linearly to relaxed values."""
    drawn = relaxations(*_parts(situation), _temperature(situation))
    return (drawn.weights * drawn.log_weights).sum(0)


def hard_relaxed_elbo(situation: Situation) -> Tensor:
    """The ELBO at discrete draws that move as relaxed ones do; it is its gradient that means something."""
    drawn = hard_relaxations(*_parts(situation), _temperature(situation))
    return (drawn.mass.detach() * (drawn.log_likelihood - drawn.divergence)).sum(0)


def hard_relaxed_elbo_by_scores(situation: Situation) -> Tensor:
    """The same without closed-form divergences."""
    drawn = hard_relaxations(*_parts(situation), _temperature(situation))
    return (drawn.mass.detach() * drawn.log_weights).sum(0)


def logit_variance(situation: Situation) -> Tensor:
    r"""The mean square of a score-function gradient by a site's logits, with the estimator's control variate.

    $$\mathbb{E}\left\lVert (f(b) - c(\tilde\zeta)) \nabla_\ell \log q(b) + \nabla_\ell c(\zeta)
      - \nabla_\ell c(\tilde\zeta) \right\rVert^2$$

    Given $b$, $\zeta$ and $\tilde\zeta$ are independent, so that two integrals give the third. There is one latent site.
    """
    program, x, context = _parts(situation)
    (name,) = program.latents
    bits, odds = table(program.latents, nodes=1, like=x).entries[name], logistic_table(program.latents, like=x)
    law = _guide_law(program, x, context)
    total = x.new_zeros(len(x))
    for bit in bits:
        noisy = noisy_given(law, bit, odds.entries[name]).expand(-1, len(x), -1).clone().requires_grad_()
        logits = law.logits.expand(noisy.shape).clone().requires_grad_()
        free = _control(situation, noisy, law)
        guess = _control(situation, noisy_given(Bits(logits, 1), bit, odds.entries[name]), law)
        residual = (_signal(program, x, context, law, bit.expand(len(x), -1)).detach() - guess).unsqueeze(-1)
        first, second = _slope(free, noisy), residual * (bit - law.mean) - _slope(guess, logits)
        weights = odds.masses[..., None]
        means = (weights * first).sum(0) * (weights * second).sum(0)
        squares = (weights * (first.square() + second.square())).sum(0)
        total = total + law.log_prob(bit).exp() * (squares + 2 * means).sum(-1)
    return total


def _slope(function: Tensor, argument: Tensor) -> Tensor:
    return torch.autograd.grad(function.sum(), argument, create_graph=True)[0]


def _control(situation: Situation, noisy: Tensor, law: Bits) -> Tensor:
    """Return the estimator's control variate: its scale times the signal at the relaxed value, plus its network."""
    program, x, context = _parts(situation)
    control: Any = situation.estimator.learned
    soft = (noisy / control.log_temperature.exp()).sigmoid()
    value = control.scale * _signal(program, x, context, law, soft)
    if len(control.networks):
        parts = [x] if context is None else [x, context]
        rows = [part.expand(*soft.shape[:-1], -1) for part in parts]
        value = value + control.networks[0](torch.cat([soft, *rows], -1)).squeeze(-1)
    return value


def _signal(program: LatentProgram, x: Tensor, context: Tensor | None, law: Bits, value: Tensor) -> Tensor:
    r"""Return $\log p(x, z) - \log q(z \mid x)$ at a value of the one latent site."""
    seen, terms = program.sites_of(x), []

    def answer(name: str, asked: Law) -> Tensor:
        terms.append(asked.log_prob(seen.get(name, value)))
        return seen.get(name, value)

    program.generate(answer, context)
    return torch.stack(torch.broadcast_tensors(*terms)).sum(0) - law.log_prob(value)


def _guide_law(program: LatentProgram, x: Tensor, context: Tensor | None) -> Bits:
    laws: list[Any] = []

    def answer(name: str, law: Law) -> Tensor:
        laws.append(law)
        return law.mean

    program.infer(x, answer, context)
    (law,) = laws
    return Bits(law.logits.detach(), law.event_dim)


def temperature_of(schedule: str, steps: Tensor | None, *, like: Tensor) -> Tensor:
    """Return the temperature at a step.

    Args:
        schedule: One temperature, `1`, or how it falls: `1..0.5/10000`, in so many steps.
        steps: How many steps there have been; needed where it falls.
        like: A tensor whose type to take.

    Raises:
        ConfigurationError: `schedule` is neither.
    """
    parts = _SCHEDULE.fullmatch(schedule)
    if parts is None:
        raise ConfigurationError(
            f"Claim: expected temperatures like '1' or '1..0.5/10000'; got {schedule!r}. Write them so."
        )
    first = torch.tensor(float(parts["first"]), dtype=like.dtype)
    if parts["final"] is None or steps is None:
        return first
    return first * (float(parts["final"]) / first) ** (steps / int(parts["steps"])).clamp(max=1.0)


def _temperature(situation: Situation) -> Tensor:
    """Return the temperature that the argument names, at the step that the state counts."""
    steps = next((value for name, value in situation.state.items() if name.endswith("steps")), None)
    return temperature_of(situation.argument, steps, like=situation.batch.x)


def _parts(situation: Situation) -> tuple[LatentProgram, Tensor, Tensor | None]:
    return program_of(situation.model), situation.batch.x, situation.batch.context


def _oracles(**computations: Callable[[Situation], Tensor]) -> Mapping[str, Oracle]:
    return {name.replace("_", "-"): Oracle(compute, maximised=True) for name, compute in computations.items()}


RELAXED_ORACLES: Mapping[str, Oracle] = {
    **_oracles(
        relaxed_elbo=relaxed_elbo,
        relaxed_elbo_by_scores=relaxed_elbo_by_scores,
        hard_relaxed_elbo=hard_relaxed_elbo,
        hard_relaxed_elbo_by_scores=hard_relaxed_elbo_by_scores,
    ),
    "logit_variance": Oracle(logit_variance),
}
"""What is known besides, where there is one latent site, of bits."""

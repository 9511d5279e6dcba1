"""What a small latent-variable model and its guide may draw, as tables with scores."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import softplus

from probgen.testing.failures import NotEnumerable
from probgen.testing.problems.latent_program import LatentProgram
from probgen.testing.problems.laws import Bits, Law, Table, crossed, logistic_table, table

__all__ = [
    "Outcomes",
    "dream_scores",
    "explanations",
    "fixed",
    "followed",
    "frozen_scores",
    "hard_relaxations",
    "noisy_given",
    "passed_through",
    "relaxations",
    "scored",
    "soft",
    "tuples",
]

_LARGEST = 500_000
"""So many tuples of outcomes are summed over at most."""

Draw = Callable[[Law, Tensor], Tensor]
"""Makes a site's value of its law and its entry in the table."""


@dataclasses.dataclass(frozen=True, eq=False)
class Outcomes:
    r"""All draws of a guide for every example, one a row: $S$ rows, $N$ examples.

    Args:
        values: Value of every latent.
        laws: The guide's law of each.
        weights: Masses of the noise, `(S, 1)`; those of bits that are drawn from their laws are in `log_bits`.
        log_bits: Log-mass of the bits drawn, `(S, N)`.
        log_q: Log-density of the guide at the values, `(S, N)`.
        log_prior: Log-density of the model's latents, `(S, N)`.
        log_likelihood: That of its observed sites, `(S, N)`.
        divergence: $\mathrm{KL}(q \| p)$ summed over sites, each at the values of those before it, `(S, N)`.
    """

    values: Mapping[str, Tensor]
    laws: Mapping[str, Law]
    weights: Tensor
    log_bits: Tensor
    log_q: Tensor
    log_prior: Tensor
    log_likelihood: Tensor
    divergence: Tensor

    @property
    def mass(self) -> Tensor:
        """Probability of each row, `(S, N)`, differentiable in the guide."""
        return self.weights * self.log_bits.exp()

    @property
    def log_joint(self) -> Tensor:
        r"""$\log p(x, z)$, `(S, N)`."""
        return self.log_prior + self.log_likelihood

    @property
    def log_weights(self) -> Tensor:
        r"""$\log p(x, z) - \log q(z \mid x)$, `(S, N)`."""
        return self.log_joint - self.log_q


def followed(law: Law, entry: Tensor) -> Tensor:
    """Return the draw that the entry stands for; a real one carries the gradient of the law."""
    return entry if isinstance(law, Bits) else law.mean + law.scale * entry


def fixed(law: Law, entry: Tensor) -> Tensor:
    """Return the draw as a constant."""
    return followed(law, entry).detach()


def passed_through(law: Law, entry: Tensor) -> Tensor:
    """Return the draw; bits carry the gradient of their means."""
    return entry + law.mean - law.mean.detach() if isinstance(law, Bits) else followed(law, entry)


def explanations(program: LatentProgram, x: Tensor, context: Tensor | None, *, draw: Draw = followed) -> Outcomes:
    """Return everything that the guide may draw for each example."""
    noise = table(program.latents, nodes=program.nodes, like=x)
    return scored(program, x, context, noise, lambda name, law: draw(law, noise.entries[name]))


def relaxations(program: LatentProgram, x: Tensor, context: Tensor | None, temperature: Tensor) -> Outcomes:
    """Return what the guide's bits are when they are relaxed; the masses are the `weights`, of logistic noise."""
    noise = logistic_table(program.latents, like=x)
    return scored(program, x, context, noise, lambda name, law: soft(law, noise.entries[name], temperature))


def hard_relaxations(program: LatentProgram, x: Tensor, context: Tensor | None, temperature: Tensor) -> Outcomes:
    """Return the guide's bits, with the gradient of relaxed ones; each bit goes with all of the noise that leads to it."""
    bits, odds = crossed(table(program.latents, nodes=1, like=x), logistic_table(program.latents, like=x))

    def value(name: str, law: Law) -> Tensor:
        noisy = noisy_given(law, bits.entries[name], odds.entries[name]).detach()
        relaxed = soft(law, noisy - _logits(law).detach(), temperature)
        return bits.entries[name] + relaxed - relaxed.detach()

    return scored(program, x, context, Table(bits.entries, odds.masses), value)


def noisy_given(law: Law, bit: Tensor, odds: Tensor) -> Tensor:
    r"""Return logits plus noise, given the bit: a smooth function of the logits and of logistic noise."""
    logits = _logits(law)
    return torch.where(bit > 0, softplus(odds + softplus(logits)), -softplus(-odds + softplus(-logits)))


def frozen_scores(program: LatentProgram, x: Tensor, context: Tensor | None, values: Mapping[str, Tensor]) -> Tensor:
    """Return the guide's log-density at the values, `(S, N)`, as a function of the values alone."""
    constant = copy.deepcopy(program).requires_grad_(requires_grad=False)
    terms = []

    def answer(name: str, law: Law) -> Tensor:
        terms.append(law.log_prob(values[name]))
        return values[name]

    constant.infer(x, answer, context)
    return _total(terms)


def dream_scores(program: LatentProgram, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the mass of each dream of the model, a constant, and the guide's log-density of its latents: `(S, N)`."""
    noise = table({**program.latents, **program.observed}, nodes=program.nodes, like=x)
    values, masses, scores = {}, [], []

    def dream(name: str, law: Law) -> Tensor:
        values[name] = fixed(law, noise.entries[name])
        if isinstance(law, Bits):
            masses.append(law.log_prob(values[name]).detach())
        return values[name]

    def explain(name: str, law: Law) -> Tensor:
        scores.append(law.log_prob(values[name]))
        return values[name]

    program.generate(dream, context)
    program.infer(program.event_of(values), explain, context)
    mass, score = torch.broadcast_tensors(noise.masses * _total(masses).exp(), _total(scores))
    return mass.expand(-1, len(x)), score.expand(-1, len(x))


def tuples(outcomes: Outcomes, count: int) -> tuple[Tensor, Tensor]:
    """Return all multisets of `count` rows, `(T, count)`, and how probable each is for each example, `(T, N)`.

    Raises:
        NotEnumerable: they are too many.
    """
    rows = len(outcomes.weights)
    total = torch.tensor([(rows + step) / (step + 1) for step in range(count)], dtype=torch.float64).prod()
    if total > _LARGEST:
        raise NotEnumerable(f"{total:.1e} sets of {count} of {rows} outcomes")
    chosen = torch.combinations(torch.arange(rows), r=count, with_replacement=True)
    orders = torch.ones(len(chosen), dtype=outcomes.mass.dtype)
    run = torch.ones_like(orders)
    for place in range(1, count):  # count! / (the factorial of each row's multiplicity)
        run = torch.where(chosen[:, place] == chosen[:, place - 1], run + 1, 1.0)
        orders = orders * (place + 1) / run
    return chosen, orders[:, None] * outcomes.mass[chosen].prod(1)


def scored(
    program: LatentProgram, x: Tensor, context: Tensor | None, noise: Table, value: Callable[[str, Law], Tensor]
) -> Outcomes:
    """Return all draws and their scores.

    Args:
        program: The model and its guide.
        x: The examples.
        context: What they are conditioned on.
        noise: What draws are made of, an outcome a row.
        value: Makes a latent's value of its name and its law.
    """
    values: dict[str, Tensor] = {}
    guided: dict[str, Law] = {}
    modelled: dict[str, Law] = {}
    seen = program.sites_of(x)

    def infer(name: str, law: Law) -> Tensor:
        guided[name], values[name] = law, value(name, law)
        return values[name]

    def generate(name: str, law: Law) -> Tensor:
        modelled[name] = law
        return seen[name] if name in seen else values[name]

    program.infer(x, infer, context)
    program.generate(generate, context)
    terms = {
        "log_bits": [law.log_prob(noise.entries[name]) for name, law in guided.items() if isinstance(law, Bits)],
        "log_q": [law.log_prob(values[name]) for name, law in guided.items()],
        "log_prior": [law.log_prob(values[name]) for name, law in modelled.items() if name in guided],
        "log_likelihood": [law.log_prob(seen[name]) for name, law in modelled.items() if name in seen],
        "divergence": [_divergence(law, modelled[name]) for name, law in guided.items()],
    }
    shape = (len(noise.masses), len(x))
    return Outcomes(values, guided, noise.masses, **{name: _total(parts).expand(shape) for name, parts in terms.items()})


def _divergence(law: Law, other: Any) -> Tensor:
    """Return KL(law ‖ other); the two are of one kind."""
    return law.divergence(other)


def soft(law: Law, noise: Tensor, temperature: Tensor) -> Tensor:
    """Return the relaxed bits of logistic noise."""
    return ((_logits(law) + noise) / temperature).sigmoid()


def _logits(law: Law) -> Tensor:
    if not isinstance(law, Bits):
        raise NotEnumerable("a relaxation of a site that has no bits")
    return law.logits


def _total(terms: Iterable[Tensor]) -> Tensor:
    total = torch.zeros(())
    for term in terms:
        total = total + term
    return total

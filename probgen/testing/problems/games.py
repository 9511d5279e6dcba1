"""Games between a generator of two outcomes and a critic: what adversarial training is held against."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from probgen.batch import Batch
from probgen.capabilities import Reparameterized
from probgen.testing.problem import Oracle, Problem, Situation
from probgen.testing.problems.slopes import expected_penalty
from probgen.testing.weights import generic_weights

__all__ = ["PROBLEMS", "TinyCritic", "TwoPoints", "game_problem"]


class TwoPoints(nn.Module, Reparameterized):
    """Draws of one of two events, which are its parameters.

    Args:
        first: `(D,)`.
        step: What leads from the first event to the second, `(D,)`.
        chance: Probability of the second.
    """

    def __init__(self, first: Tensor, step: Tensor, *, chance: float) -> None:
        super().__init__()
        self.event_shape, self.context_shape = first.shape, None
        self.support = constraints.real
        self.first, self.step = nn.Parameter(first.clone()), nn.Parameter(step.clone())
        self.chance = chance

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        second = torch.bernoulli(self.first.new_full((n, 1), self.chance))
        return self.first + second * self.step

    def law(self) -> tuple[Tensor, Tensor]:
        """Return the two events, `(2, D)`, and their probabilities, `(2,)`."""
        return torch.stack([self.first, self.first + self.step]), self.first.new_tensor([1 - self.chance, self.chance])


class TinyCritic(nn.Module):
    """Three smooth units with fixed weights, the same each time.

    Args:
        features: Entries of an event.
    """

    def __init__(self, features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(generic_weights(3, features, seed=1))
        self.bias = nn.Parameter(generic_weights(3, seed=2))
        self.mix = nn.Parameter(generic_weights(3, seed=3, scale=2.0))

    def forward(self, x: Tensor) -> Tensor:
        """Return the score of each event, `(N, features) -> (N,)`."""
        return torch.tanh(x @ self.weight.T + self.bias) @ self.mix


@dataclasses.dataclass(frozen=True)
class _Game:
    """What is at stake, by the critic's scores of an event from the data and of a draw.

    Args:
        value: The value of a pair.
        generator: What the generator makes small.
        maximised: Whether the critic makes the value large.
        reconstructs: Whether the critic is an autoencoder, whose score is the mean absolute error.
    """

    value: Callable[[Tensor, Tensor, Situation], Tensor]
    generator: Callable[[Tensor, Situation], Tensor]
    maximised: bool
    reconstructs: bool = False


def _loss_options(situation: Situation) -> Any:
    """Return the game as the estimator holds it, for the numbers in it."""
    estimator: Any = situation.estimator
    return estimator.loss


def _classifier(real: Tensor, fake: Tensor, situation: Situation) -> Tensor:
    return torch.sigmoid(real).log() + (1 - torch.sigmoid(fake)).log()


_GAMES = {
    "minimax": _Game(_classifier, lambda fake, _: (1 - torch.sigmoid(fake)).log(), maximised=True),
    "wasserstein": _Game(lambda real, fake, _: real - fake, lambda fake, _: -fake, maximised=True),
    "least-squares": _Game(
        lambda real, fake, at: ((real - _loss_options(at).real) ** 2 + (fake - _loss_options(at).fake) ** 2) / 2,
        lambda fake, at: (fake - _loss_options(at).target) ** 2 / 2,
        maximised=False,
    ),
    "hinge": _Game(
        lambda real, fake, _: (real - 1).clamp(max=0) + (-fake - 1).clamp(max=0), lambda fake, _: -fake, maximised=True
    ),
    "began": _Game(
        lambda real, fake, at: real - at.state["balance"] * fake, lambda fake, _: fake, maximised=False, reconstructs=True
    ),
}


def game_problem(first: Tensor, step: Tensor, chance: float, x: Tensor, *, name: str, penalised: bool = False) -> Problem:
    r"""Return the games between a `TwoPoints` and the critic of the estimator that is looked at, `learned`.

    Quantities, each the expectation over the draws at the batch as it is: for each of `minimax`, `wasserstein`,
    `least-squares`, `hinge` and `began` its value for each example; with `[gradient-penalty]` behind it, the value and what
    the critic pays; with `-generator`, what the generator makes small, as `non-saturating` is too. Bounds on the mean value:
    `minimax-optimum`, $2\,\mathrm{JSD} - \log 4$, and `hinge-optimum`, $2\,\mathrm{TV} - 2$, between the batch and the
    generator's law.

    Args:
        first: The generator's first event, `(D,)`.
        step: What leads from it to the second.
        chance: Probability of the second.
        x: The batch, `(N, D)`.
        name: What to call it.
        penalised: Whether it knows what has a penalty, and nothing else; draws then decide, as places on a segment cannot
            be listed.
    """
    brackets = ("gradient-penalty",) if penalised else ("",)
    oracles = {
        base: Oracle(lambda at, game=game: _value(game, at), maximised=game.maximised, arguments=brackets)
        for base, game in _GAMES.items()
    }
    if not penalised:
        oracles |= {f"{base}-generator": Oracle(lambda at, game=game: _generator(game, at)) for base, game in _GAMES.items()}
        oracles |= {
            "non-saturating": Oracle(_non_saturating),
            "minimax-optimum": Oracle(_minimax_optimum),
            "hinge-optimum": Oracle(_hinge_optimum),
        }

    def make(dtype: torch.dtype) -> tuple[TwoPoints, Batch]:
        return TwoPoints(first.to(dtype), step.to(dtype), chance=chance), Batch(x.to(dtype))

    return Problem(name, make, oracles, statistical=penalised)


def _score(situation: Situation, x: Tensor, *, reconstructs: bool = False) -> Tensor:
    """Return what the critic says of events, `(N, D) -> (N,)`."""
    critic: Any = situation.estimator.learned
    return (critic(x) - x).abs().mean(1) if reconstructs else critic(x).reshape(len(x))


def _expected(values: Tensor, situation: Situation) -> Tensor:
    """Return the mean over the generator's two events, which lie along the last axis."""
    return values @ situation.model.law()[1]


def _value(game: _Game, situation: Situation) -> Tensor:
    score = functools.partial(_score, situation, reconstructs=game.reconstructs)
    real, fake = score(situation.batch.x), score(situation.model.law()[0])
    value = _expected(game.value(real[:, None], fake[None, :], situation), situation)
    if not situation.argument:
        return value
    penalty = expected_penalty(score, situation)
    return value - penalty if game.maximised else value + penalty


def _generator(game: _Game, situation: Situation) -> Tensor:
    fake = _score(situation, situation.model.law()[0], reconstructs=game.reconstructs)
    return _expected(game.generator(fake, situation), situation)


def _non_saturating(situation: Situation) -> Tensor:
    fake = _score(situation, situation.model.law()[0])
    return _expected(-torch.sigmoid(fake).log(), situation)


def _laws(situation: Situation) -> tuple[Tensor, Tensor]:
    """Return the masses of the batch's law and the generator's on all events of either."""
    events, masses = situation.model.law()
    x = situation.batch.x
    everything = torch.cat([x, events]).unique(dim=0)

    def law(of: Tensor, weights: Tensor) -> Tensor:
        return (everything[:, None] == of[None, :]).all(2).to(weights.dtype) @ weights

    return law(x, x.new_full((len(x),), 1 / len(x))), law(events, masses)


def _minimax_optimum(situation: Situation) -> Tensor:
    p, q = _laws(situation)
    middle = (p + q) / 2
    divergence = (torch.xlogy(p, p / middle) + torch.xlogy(q, q / middle)).sum() / 2
    return 2 * divergence - math.log(4)


def _hinge_optimum(situation: Situation) -> Tensor:
    p, q = _laws(situation)
    return (p - q).abs().sum() - 2


_FIRST, _STEP = torch.tensor([0.5, -0.25]), torch.tensor([1.0, 0.75])
"""Few binary digits, so that a draw and an example that coincide do so in every precision."""

_X = torch.stack([_FIRST + _STEP, torch.tensor([-0.5, 1.25])])

PROBLEMS = (
    game_problem(_FIRST, _STEP, 0.25, _X, name="two-point-game"),
    game_problem(_FIRST, _STEP, 0.25, _X, name="penalised-game", penalised=True),
)

r"""The games that a generator and a critic play, as functions of the critic's scores.

Write $f(x)$ for the score of an event from the data and $f(g)$ for that of one from the generator. A game has a value, which
the critic improves in the direction that the game says, and a loss, which the generator makes small.
"""

from __future__ import annotations

import abc
import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Literal

import torch.nn.functional as F
from torch import Tensor, nn

from probgen.claims import Claim, LowerBound
from probgen.errors import ConfigurationError, ShapeError
from probgen.estimator import State
from probgen.estimators.critics import AutoencodingCritic, Critic
from probgen.estimators.numbers import require_numbers

__all__ = ["BEGAN", "GameLoss", "Hinge", "LeastSquares", "Minimax", "NonSaturating", "Wasserstein"]


class GameLoss(abc.ABC):
    """A game between a generator and a critic.

    Attributes:
        name: The name of its value, as in claims and metrics.
        unit: The value's unit.
        critic_direction: Whether the critic makes the value large or small.
        generator_name: The name of what the generator makes small.
        bounds: What else is known of the value at any critic.
        batch_coupled: Whether examples share more than being averaged.
    """

    name: ClassVar[str]
    unit: ClassVar[str]
    critic_direction: ClassVar[Literal["maximise", "minimise"]] = "maximise"
    generator_name: ClassVar[str]
    bounds: ClassVar[tuple[Claim, ...]] = ()
    batch_coupled: ClassVar[bool] = False

    @abc.abstractmethod
    def value(self, real: Tensor, fake: Tensor, state: State) -> Tensor:
        """Return the game's value for each pair of scores, `(N,), (N,) -> (N,)`."""

    @abc.abstractmethod
    def generator(self, fake: Tensor) -> Tensor:
        """Return what the generator makes small, `(N,) -> (N,)`."""

    def score(self, critic: nn.Module, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the critic's score of each event, `(N,)`.

        Raises:
            ShapeError: the critic returns something else than one number for each event.
        """
        scores = _asked(critic, x, context)
        if scores.numel() != len(x):
            raise ShapeError(
                f"{type(self).__name__}.score: expected a critic that returns one score for each event, ({len(x)},); got "
                f"{tuple(scores.shape)}. End it in a layer of one unit."
            )
        return scores.reshape(len(x))

    def default_critic(
        self, event_shape: Sequence[int], context_shape: Sequence[int] | None, hidden: Sequence[int] | None = None
    ) -> nn.Module:
        """Return a critic that fits the game and events of a shape: a perceptron of `hidden` layers, if they are given."""
        return Critic(event_shape, context_shape=context_shape, hidden=hidden)

    def constraint(self, critic: nn.Module) -> Callable[[], None] | None:
        """Return what is done to the critic after each of its steps, or None."""
        return None

    def initial_state(self, like: Tensor) -> State:
        """Return what the game remembers between steps, on the device of `like`; most games nothing."""
        return {}

    def next_state(self, real: Callable[[], Tensor], fake: Tensor, state: State) -> State:
        """Return what it remembers after the generator's step, given the scores of draws and, if asked for, of the data."""
        return state


@dataclasses.dataclass(frozen=True)
class Minimax(GameLoss):
    r"""The original game, $V = \mathbb{E} \log D(x) + \mathbb{E} \log(1 - D(g))$ with $D = \mathrm{sigmoid}(f)$.

    The generator minimises the second term, whose gradient vanishes where the critic is sure. Against the best critic
    $V = 2\,\mathrm{JSD} - \log 4$, and no critic gives more.

    References:
        Goodfellow et al. (2014), arXiv:1406.2661.
    """

    name = "minimax"
    unit = "nats"
    generator_name = "minimax-generator"
    bounds = (LowerBound("minimax-optimum"),)

    def value(self, real: Tensor, fake: Tensor, state: State) -> Tensor:
        """Return log D(x) + log(1 - D(g))."""
        return F.logsigmoid(real) + F.logsigmoid(-fake)

    def generator(self, fake: Tensor) -> Tensor:
        """Return log(1 - D(g))."""
        return F.logsigmoid(-fake)


@dataclasses.dataclass(frozen=True)
class NonSaturating(GameLoss):
    r"""The original game's value for the critic; the generator minimises $-\mathbb{E} \log D(g)$ instead.

    Its gradient is strong where the critic is sure. Against the best critic it is that of
    $\mathrm{KL}(p_g \,\|\, p) - 2\,\mathrm{JSD}$.

    References:
        Goodfellow et al. (2014), arXiv:1406.2661.
    """

    name = "minimax"
    unit = "nats"
    generator_name = "non-saturating"
    bounds = (LowerBound("minimax-optimum"),)

    def value(self, real: Tensor, fake: Tensor, state: State) -> Tensor:
        """Return log D(x) + log(1 - D(g))."""
        return F.logsigmoid(real) + F.logsigmoid(-fake)

    def generator(self, fake: Tensor) -> Tensor:
        """Return -log D(g)."""
        return -F.logsigmoid(fake)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Wasserstein(GameLoss):
    r"""$V = \mathbb{E} f(x) - \mathbb{E} f(g)$, the Wasserstein distance where $f$ is the best critic of slope at most 1.

    Args:
        clip: Largest absolute value of a critic's parameter, enforced after each of its steps: it keeps the slope bounded,
            by a constant that nobody knows, so the value is the distance up to a factor at best. None where a gradient
            penalty does that (WGAN-GP: `Adversarial(loss=Wasserstein(clip=None), penalty=GradientPenalty())`).

    Raises:
        ConfigurationError: `clip` is not positive.

    References:
        Arjovsky, Chintala & Bottou (2017), arXiv:1701.07875.
    """

    clip: float | None = 0.01

    name = "wasserstein"
    unit = "units of the critic"
    generator_name = "wasserstein-generator"

    def __post_init__(self) -> None:
        if self.clip is not None and not (self.clip > 0 and math.isfinite(self.clip)):
            raise ConfigurationError(f"Wasserstein: expected a positive clip; got {self.clip}. Use None for no clipping.")

    def value(self, real: Tensor, fake: Tensor, state: State) -> Tensor:
        """Return f(x) - f(g)."""
        return real - fake

    def generator(self, fake: Tensor) -> Tensor:
        """Return -f(g)."""
        return -fake

    def constraint(self, critic: nn.Module) -> Callable[[], None] | None:
        """Return the clipping of the critic's parameters."""
        limit = self.clip
        if limit is None:
            return None

        def clip() -> None:
            for parameter in critic.parameters():
                parameter.clamp_(-limit, limit)

        return clip


@dataclasses.dataclass(frozen=True, kw_only=True)
class LeastSquares(GameLoss):
    r"""$V = \frac{1}{2} \mathbb{E} (f(x) - b)^2 + \frac{1}{2} \mathbb{E} (f(g) - a)^2$, which the critic makes small.

    The generator minimises $\frac{1}{2} \mathbb{E} (f(g) - c)^2$.

    Args:
        real: $b$, the critic's target for data.
        fake: $a$, its target for draws.
        target: $c$, the score that the generator aims at.

    References:
        Mao et al. (2017), arXiv:1611.04076.
    """

    real: float = 1.0
    fake: float = 0.0
    target: float = 1.0

    name = "least-squares"
    unit = "squared units of the critic"
    critic_direction = "minimise"
    generator_name = "least-squares-generator"

    def value(self, real: Tensor, fake: Tensor, state: State) -> Tensor:
        """Return half the squared errors."""
        return 0.5 * (real - self.real).square() + 0.5 * (fake - self.fake).square()

    def generator(self, fake: Tensor) -> Tensor:
        """Return half the squared error from the generator's target."""
        return 0.5 * (fake - self.target).square()


@dataclasses.dataclass(frozen=True)
class Hinge(GameLoss):
    r"""$V = \mathbb{E} \min(0, f(x) - 1) + \mathbb{E} \min(0, -f(g) - 1)$; the generator minimises $-\mathbb{E} f(g)$.

    Against the best critic $V = 2\,\mathrm{TV} - 2$, and no critic gives more.

    References:
        Lim & Ye (2017), arXiv:1705.02894. Miyato et al. (2018), arXiv:1802.05957.
    """

    name = "hinge"
    unit = "units of the critic"
    generator_name = "hinge-generator"
    bounds = (LowerBound("hinge-optimum"),)

    def value(self, real: Tensor, fake: Tensor, state: State) -> Tensor:
        """Return what is missing to the margins, with a minus."""
        return -F.relu(1 - real) - F.relu(1 + fake)

    def generator(self, fake: Tensor) -> Tensor:
        """Return -f(g)."""
        return -fake


@dataclasses.dataclass(frozen=True, kw_only=True)
class BEGAN(GameLoss):
    r"""Boundary equilibrium: the critic is an autoencoder, and the score its mean absolute error $L$.

    $$V = \mathbb{E} L(x) - \kappa\, \mathbb{E} L(g), \qquad
      \kappa \leftarrow \mathrm{clamp}\left(\kappa + \lambda (\gamma\, \mathbb{E} L(x) - \mathbb{E} L(g)), 0, 1\right)$$

    The critic makes $V$ small, the generator $\mathbb{E} L(g)$. The balance $\kappa$ is the state; it moves with the
    generator's step.

    Args:
        diversity: $\gamma$, the ratio of the two errors at equilibrium: lower for fidelity, higher for diversity.
        rate: $\lambda$, how fast the balance moves.

    Raises:
        ConfigurationError: an option is not positive.

    References:
        Berthelot, Schumm & Metz (2017), arXiv:1703.10717.
    """

    diversity: float = 0.5
    rate: float = 0.001

    name = "began"
    unit = "units of the data"
    critic_direction = "minimise"
    generator_name = "began-generator"
    batch_coupled = True

    def __post_init__(self) -> None:
        for name in ("diversity", "rate"):
            require_numbers("BEGAN", **{name: getattr(self, name)})
            if not getattr(self, name) > 0:
                raise ConfigurationError(f"BEGAN: expected a positive {name}; got {getattr(self, name)}.")

    def value(self, real: Tensor, fake: Tensor, state: State) -> Tensor:
        """Return the error on data minus the balanced error on draws."""
        return real - state["balance"] * fake

    def generator(self, fake: Tensor) -> Tensor:
        """Return the error on draws."""
        return fake

    def score(self, critic: nn.Module, x: Tensor, context: Tensor | None) -> Tensor:
        """Return the autoencoder's mean absolute error on each event.

        Raises:
            ShapeError: the critic's output is not shaped as its input.
        """
        reconstruction = _asked(critic, x, context)
        if reconstruction.shape != x.shape:
            raise ShapeError(
                f"BEGAN.score: expected a critic that reconstructs events of shape {tuple(x.shape)}; got "
                f"{tuple(reconstruction.shape)}. Use an autoencoder."
            )
        return (x - reconstruction).abs().reshape(len(x), -1).mean(1)

    def default_critic(
        self, event_shape: Sequence[int], context_shape: Sequence[int] | None, hidden: Sequence[int] | None = None
    ) -> nn.Module:
        """Return an autoencoder."""
        return AutoencodingCritic(event_shape, context_shape=context_shape, hidden=hidden)

    def initial_state(self, like: Tensor) -> State:
        """Return the balance at 0: the critic learns the data first."""
        return {"balance": like.new_zeros(())}

    def next_state(self, real: Callable[[], Tensor], fake: Tensor, state: State) -> State:
        """Return the balance moved towards equilibrium."""
        moved = state["balance"] + self.rate * (self.diversity * real().mean() - fake.mean())
        return {"balance": moved.detach().clamp(0, 1)}


def _asked(critic: nn.Module, x: Tensor, context: Tensor | None) -> Tensor:
    """Return the critic's answer; one for a model without context need not take a second argument."""
    return critic(x) if context is None else critic(x, context)

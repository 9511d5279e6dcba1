"""Adversarial training: a critic tells draws from data, and the model learns from what it says."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, Self

import torch
from torch import Tensor, nn

from probgen.batch import Batch
from probgen.capabilities import Reparameterized
from probgen.claims import Claims, Unbiased
from probgen.errors import ConfigurationError
from probgen.estimator import Estimate, Estimator, Objective, Phase, State, parameters_of
from probgen.estimators.adversarial_losses import (
    BEGAN,
    GameLoss,
    Hinge,
    LeastSquares,
    Minimax,
    NonSaturating,
    Wasserstein,
)
from probgen.estimators.adversarial_penalties import AroundData, Between, GradientPenalty
from probgen.estimators.numbers import require_whole
from probgen.shapes import device_of

__all__ = ["Adversarial"]

_BATCH_STATISTICS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Adversarial(Estimator):
    r"""A game between the model and a critic that it trains along with it.

    A step has two phases: `critic`, which improves the critic on the game's value (less a penalty) at draws from the model
    as it is, and `generator`, which trains the model on the game's loss by draws with gradients, at the critic as it is.
    Each pairs every example with one draw of its own; a conditional model draws at the example's context, and the critic
    sees it. The generator does not use the critic's draws again, which would be faster: the critic has just learned from
    them, and at that critic they are no longer draws like any others.

    Use it with any model whose draws carry gradients, also one without a density: a generator, or a flow.

    | game | `loss` | `penalty` |
    |---|---|---|
    | GAN | `Minimax()` or `NonSaturating()` | |
    | WGAN | `Wasserstein()` | |
    | WGAN-GP | `Wasserstein(clip=None)` | `GradientPenalty()` |
    | LSGAN | `LeastSquares()` | |
    | DRAGAN | `NonSaturating()` | `GradientPenalty(where=AroundData())` |
    | hinge | `Hinge()` | |
    | BEGAN | `BEGAN()` | |

    Args:
        loss: The game; `NonSaturating()` by default.
        critic: `(N, *event_shape) -> (N,)`, with the context as a second argument for a conditional model; an autoencoder
            for `BEGAN`. None for one that `initialize` builds for the model's events: a perceptron, or small convolutions
            for images.
        critic_hidden: Width of each hidden layer of the critic that is built, which then is a perceptron for images too;
            None for three of 128, and convolutions for images.
        critic_steps: How often the critic's phase runs in a step.
        penalty: A penalty on the critic's slope, or None.

    Raises:
        ConfigurationError: `critic_steps` is below 1, the critic is no module, there are hidden layers for a critic that is
            given, or none, or one without units; or (from `phases`) there is no critic yet.
        ShapeError: (while estimating) the critic's output has another shape.

    Estimates:
        In `critic` the game's value at the critic as it is, of each pair, `(N,)`, and the penalty in `info`; in `generator`
        what the generator makes small, of each draw, `(N,)`.

    Claims:
        value: unbiased for the game's value at the given critic (which bounds a divergence in the games that say so), and
            for the generator's loss there.
        gradient: unbiased for that of the game's value less the penalty, for the critic (`critic.*`), and of the generator's
            loss at the given critic, for the model. No claim is made of the divergence that a perfect critic would show.

    Example:
        >>> game = Adversarial(loss=Wasserstein(clip=None), penalty=GradientPenalty(weight=1.0), critic_steps=5)
        >>> print(game.claims.for_parameter("critic.head.weight"))
        unbiased for grad:wasserstein[gradient-penalty]

    References:
        Goodfellow et al. (2014), arXiv:1406.2661. Arjovsky, Chintala & Bottou (2017), arXiv:1701.07875. Lucic et al. (2018),
        arXiv:1711.10337, for a comparison.
    """

    requires = (Reparameterized,)

    def __init__(
        self,
        *,
        loss: GameLoss | None = None,
        critic: nn.Module | None = None,
        critic_hidden: Sequence[int] | None = None,
        critic_steps: int = 1,
        penalty: GradientPenalty | None = None,
    ) -> None:
        require_whole("Adversarial", critic_steps=critic_steps)
        if critic_steps < 1:
            raise ConfigurationError(f"Adversarial: expected critic_steps of at least 1; got {critic_steps}.")
        if critic is not None and not isinstance(critic, nn.Module):
            raise ConfigurationError(
                f"Adversarial: expected a critic that is a torch.nn.Module; got {type(critic).__name__}. Wrap it in one."
            )
        if critic_hidden is not None and (critic is not None or not critic_hidden or min(critic_hidden) < 1):
            raise ConfigurationError(
                f"Adversarial: expected critic_hidden of at least one layer of at least one unit, and no critic beside it; "
                f"got {tuple(critic_hidden)}{'' if critic is None else ' and a critic'}. Give one of the two."
            )
        if loss is not None and not isinstance(loss, GameLoss):
            raise ConfigurationError(
                f"Adversarial: expected a loss object; got {loss!r}. Names of losses are for Adversarial.build(loss=…)."
            )
        self.loss = NonSaturating() if loss is None else loss
        self.critic_steps = critic_steps
        self.penalty = penalty
        self._given_critic = critic
        self._critic_hidden = critic_hidden
        self._critic = critic
        self.objective = Objective(self.loss.name, self.loss.unit, None)
        self.batch_coupled = (
            self.loss.batch_coupled
            or (penalty is not None and penalty.batch_coupled)
            or (critic is not None and any(isinstance(module, _BATCH_STATISTICS) for module in critic.modules()))
        )

    @classmethod
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]  # the spec lists the options
        cls,
        *,
        loss: Literal[
            "minimax", "non-saturating", "wasserstein", "wasserstein-gp", "least-squares", "hinge", "dragan", "began"
        ] = "non-saturating",
        critic_steps: int = 1,
        critic_hidden: Sequence[int] | None = None,
        clip: float = 0.01,
        penalty_weight: float | None = None,
    ) -> Self:
        """Return the estimator for options of a shell.

        `clip` is for `wasserstein` alone. With a `penalty_weight` the critic's slope is penalised between data and draws,
        and around the data for `dragan`; None is 10 for the games that need a penalty, and none for the others.
        """
        losses: dict[str, Callable[[], GameLoss]] = {
            "minimax": Minimax,
            "non-saturating": NonSaturating,
            "wasserstein": lambda: Wasserstein(clip=clip),
            "wasserstein-gp": lambda: Wasserstein(clip=None),
            "least-squares": LeastSquares,
            "hinge": Hinge,
            "dragan": NonSaturating,
            "began": BEGAN,
        }
        if penalty_weight is None and loss in ("wasserstein-gp", "dragan"):
            penalty_weight = 10.0
        place = AroundData() if loss == "dragan" else Between()
        penalty = GradientPenalty(weight=penalty_weight, where=place) if penalty_weight else None
        return cls(loss=losses[loss](), critic_hidden=critic_hidden, critic_steps=critic_steps, penalty=penalty)

    @property
    def claims(self) -> Claims:
        """Unbiased for the game at the given critic."""
        penalty = "" if self.penalty is None else "[gradient-penalty]"
        return Claims(
            value={
                "critic": [Unbiased(self.loss.name), *self.loss.bounds],
                "generator": Unbiased(self.loss.generator_name),
            },
            gradient={
                "critic.*": Unbiased(f"grad:{self.loss.name}{penalty}"),
                "*": Unbiased(f"grad:{self.loss.generator_name}"),
            },
        )

    @property
    def learned(self) -> nn.Module | None:
        """The critic; None before a default one is built."""
        return self._critic

    def initialize(self, model: Any, batch: Batch) -> None:
        """Build the default critic for the model's events, anew each time; keep one that was given."""
        if self._given_critic is None:
            critic = self.loss.default_critic(model.event_shape, model.context_shape, self._critic_hidden)
            dtype = batch.x.dtype if batch.x.is_floating_point() else None
            self._critic = critic.to(device=device_of(model), dtype=dtype)

    def initial_state(self, model: Any, batch: Batch) -> State:
        """Return what the game remembers: BEGAN's balance."""
        return self.loss.initial_state(batch.x)

    def phases(self, model: Reparameterized) -> Sequence[Phase]:
        """Return the critic's phase and the generator's."""
        critic = self._critic
        if critic is None:
            raise ConfigurationError(
                "Adversarial.phases: expected a critic; got none, and no model to build one for. Call initialize first."
            )
        return [
            Phase(
                "critic",
                {f"critic.{name}": parameter for name, parameter in parameters_of(critic).items()},
                estimate=functools.partial(self._critic_estimate, critic),
                repeats=self.critic_steps,
                after_step=self.loss.constraint(critic),
            ),
            Phase("generator", parameters_of(model), estimate=functools.partial(self._generator_estimate, critic)),
        ]

    def _critic_estimate(self, critic: nn.Module, model: Reparameterized, batch: Batch, state: State) -> Estimate:
        with torch.no_grad():
            fake = _draws(model, batch)
        score = functools.partial(self.loss.score, critic, context=batch.context)
        value = self.loss.value(score(batch.x), score(fake), state)
        surrogate = value.mean() if self.loss.critic_direction == "minimise" else -value.mean()
        info = {}
        if self.penalty is not None:
            penalty = self.penalty(score, batch.x, fake).mean()
            surrogate = surrogate + penalty
            info["penalty"] = penalty.detach()
        return Estimate(surrogate, value.detach(), state=state, info=info)

    def _generator_estimate(self, critic: nn.Module, model: Reparameterized, batch: Batch, state: State) -> Estimate:
        fake = self.loss.score(critic, _draws(model, batch), batch.context)
        loss = self.loss.generator(fake)
        with torch.no_grad():
            real = functools.partial(self.loss.score, critic, batch.x, batch.context)
            next_state = self.loss.next_state(real, fake, state)
        return Estimate(loss.mean(), loss.detach(), state=next_state)


def _draws(model: Reparameterized, batch: Batch) -> Tensor:
    """Return one draw for each example, at its context, in the data's precision (mixed precision may lower the model's)."""
    draws = model.rsample((len(batch),)) if batch.context is None else model.rsample((), batch.context)
    return draws.to(batch.x.dtype)

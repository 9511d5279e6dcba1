"""Games between a convolutional generator and a convolutional critic on pictures of 28 by 28."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from benchmarks.support.contest import Contestant, Goal, Row
from benchmarks.support.data import images
from benchmarks.support.loops import fit_step
from benchmarks.support.setting import Setting
from probgen import Adversarial, Estimator, Reparameterized
from probgen.estimators.adversarial_losses import NonSaturating, Wasserstein
from probgen.estimators.adversarial_penalties import GradientPenalty
from probgen.training import OptimizerSettings

__all__ = ["ConvolutionalGenerator", "convolutional_critic", "rows"]

NOISE, BATCH, RATE, BETAS, PENALTY = 64, 64, 2e-4, (0.5, 0.999), 10.0


def rows(setting: Setting) -> Iterator[Row]:
    """Yield the non-saturating game, and Wasserstein's with a penalty on the slope."""
    yield _row("gan", "GAN 28x28, convolutions", _game, _by_hand, Goal(0.80, 0.85), setting)
    yield _row("wgan-gp", "WGAN-GP 28x28, convolutions", _penalised, _penalised_by_hand, Goal(1.0, 1.05), setting)


def _row(
    name: str,
    what: str,
    estimator: Callable[[], Estimator],
    hand: Callable[..., Contestant],
    goal: Goal,
    setting: Setting,
) -> Row:
    def probgen(execution: str) -> Contestant:
        adam = OptimizerSettings(learning_rate=RATE, betas=BETAS)
        generator = _seeded(ConvolutionalGenerator)
        return fit_step(generator, images(BATCH), estimator(), setting, execution=execution, optimizer=adam)

    makers = {
        "torch": partial(hand, setting, fused=False),
        "torch fused": partial(hand, setting, fused=True),
        "probgen": partial(probgen, "eager"),
        "probgen graph": partial(probgen, "graph"),
    }
    title = f"{what}, batch {BATCH}: a step of the critic and one of the generator"
    return Row(name, title, makers, goals={"probgen": goal, "probgen graph": goal}, learning_steps=3)


class ConvolutionalGenerator(nn.Module, Reparameterized):
    """Noise through transposed convolutions: a model of a user's own."""

    support = constraints.real
    context_shape = None
    event_shape = torch.Size((1, 28, 28))

    def __init__(self) -> None:
        super().__init__()
        self.network = nn.Sequential(
            nn.Linear(NOISE, 128 * 7 * 7),
            nn.ReLU(),
            nn.Unflatten(1, (128, 7, 7)),
            nn.ConvTranspose2d(128, 64, 4, stride=2, padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(64, 1, 4, stride=2, padding=1),
            nn.Tanh(),
        )

    def forward(self, noise: Tensor) -> Tensor:
        """Return the pictures of noise."""
        return self.network(noise)

    def _rsample(self, n: int, context: Tensor | None) -> Tensor:
        return self(torch.randn(n, NOISE, device=next(self.parameters()).device))


def convolutional_critic() -> nn.Module:
    """Return a critic, `(N, 1, 28, 28) -> (N,)`."""
    return nn.Sequential(
        nn.Conv2d(1, 64, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, stride=2, padding=1),
        nn.LeakyReLU(0.2),
        nn.Flatten(),
        nn.Linear(128 * 7 * 7, 1, bias=False),  # in Wasserstein's game a constant makes no difference
        nn.Flatten(0),
    )


def _seeded(make: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return make()


def _game() -> Adversarial:
    return Adversarial(loss=NonSaturating(), critic=_seeded(convolutional_critic))


def _penalised() -> Adversarial:
    return Adversarial(
        loss=Wasserstein(clip=None), critic=_seeded(convolutional_critic), penalty=GradientPenalty(weight=PENALTY)
    )


def _players(setting: Setting, *, fused: bool) -> tuple[nn.Module, nn.Module, Tensor, Callable[..., None]]:
    """Return generator, critic, pictures, and what takes a player's step along a loss."""
    generator, critic = setting.place(_seeded(ConvolutionalGenerator)), setting.place(_seeded(convolutional_critic))
    optimizers = {
        player: torch.optim.Adam(player.parameters(), lr=RATE, betas=BETAS, fused=True if fused else None)
        for player in (generator, critic)
    }

    def descend(player: nn.Module, loss: Tensor) -> None:
        optimizers[player].zero_grad(set_to_none=True)
        loss.backward()
        optimizers[player].step()

    return generator, critic, setting.place(images(BATCH)), descend


def _contestant(step: Callable[[], None], *players: nn.Module) -> Contestant:
    return Contestant(step, lambda: [parameter for player in players for parameter in player.parameters()])


def _by_hand(setting: Setting, *, fused: bool) -> Contestant:
    generator, critic, real, descend = _players(setting, fused=fused)

    def step() -> None:
        with setting.autocast():
            fake = generator(torch.randn(BATCH, NOISE, device=setting.device)).detach()
            loss = F.softplus(-critic(real)).mean() + F.softplus(critic(fake)).mean()
        descend(critic, loss)
        with setting.autocast():
            fooled = critic(generator(torch.randn(BATCH, NOISE, device=setting.device)))
            loss = F.softplus(-fooled).mean()
        descend(generator, loss)

    return _contestant(step, generator, critic)


def _penalised_by_hand(setting: Setting, *, fused: bool) -> Contestant:
    generator, critic, real, descend = _players(setting, fused=fused)

    def penalty(fake: Tensor) -> Tensor:
        mix = torch.rand(BATCH, 1, 1, 1, device=setting.device)
        between = (mix * real + (1 - mix) * fake).requires_grad_()
        (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
        return PENALTY * (slope.flatten(1).norm(dim=1) - 1).square().mean()

    def step() -> None:
        with setting.autocast():
            fake = generator(torch.randn(BATCH, NOISE, device=setting.device)).detach()
            loss = critic(fake).mean() - critic(real).mean() + penalty(fake)
        descend(critic, loss)
        with setting.autocast():
            loss = -critic(generator(torch.randn(BATCH, NOISE, device=setting.device))).mean()
        descend(generator, loss)

    return _contestant(step, generator, critic)

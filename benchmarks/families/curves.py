"""The curves of `--scaling`: a training step of every family against batch, particles, dimension and depth, and draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import constraints

from benchmarks.families.adversarial import ConvolutionalGenerator, convolutional_critic
from benchmarks.families.mmd import generator
from benchmarks.support.contest import Contestant
from benchmarks.support.data import bits, images
from benchmarks.support.data import rows as table_rows
from benchmarks.support.loops import fit_step
from benchmarks.support.scaling import Claim, Curve
from benchmarks.support.setting import Setting
from probgen import ELBO, IWAE, MMD, VIMCO, Adversarial, ContrastiveDivergence, DenoisingScoreMatching, MaximumLikelihood
from probgen.evaluation.importance import log_evidence
from probgen_autoregressive.made import MADE
from probgen_autoregressive.nade import NADE
from probgen_boltzmann.rbm import RBM
from probgen_diffusion.ddpm import DDPM
from probgen_flows.maf import MAF
from probgen_flows.realnvp import RealNVP
from probgen_latent.sbn import SigmoidBeliefNet
from probgen_latent.vae import VAE

__all__ = ["curves"]

_BATCHES, _DIMENSIONS, _DEPTHS, _PARTICLES = (32, 128, 512), (64, 256, 1024), (1, 2, 4, 8), (1, 5, 25)

Step = Callable[..., Contestant]


def curves(setting: Setting) -> Iterator[Curve]:
    """Yield every family's curves."""
    vae, sbn = partial(_vae, setting), partial(_sbn, setting)
    yield from _axes("VAE", vae, batch=_BATCHES, dimension=_DIMENSIONS, depth=_DEPTHS)
    yield from _axes("IWAE", vae, particles=_PARTICLES)
    yield from _axes("sigmoid belief net", sbn, batch=_BATCHES, dimension=_DIMENSIONS, depth=_DEPTHS, particles=(2, 5, 25))
    for kind in (RealNVP, MAF):
        step = partial(_flow, setting, kind)
        yield from _axes(kind.__name__, step, batch=_BATCHES, dimension=_DIMENSIONS, depth=_DEPTHS)
    for kind in (MADE, NADE):
        step = partial(_autoregressive, setting, kind)
        yield from _axes(kind.__name__, step, batch=_BATCHES, dimension=_DIMENSIONS)
    yield from _axes("RBM", partial(_rbm, setting), batch=_BATCHES, dimension=_DIMENSIONS, depth=_DEPTHS)
    yield from _axes("GAN", partial(_gan, setting), batch=(16, 32, 64))
    yield from _axes("DDPM", partial(_ddpm, setting), batch=(8, 16, 32), depth=(1, 2, 4))
    yield from _claimed(setting)


def _claimed(setting: Setting) -> Iterator[Curve]:
    """Yield the curves of which something is claimed."""
    yield Curve(
        "importance sampling",
        "particles",
        partial(_evidence, setting),
        (50, 200, 800, 3200),
        Claim("bytes", since=200, per_size=False),
    )
    yield Curve(
        "MMD", "batch", partial(_mmd, setting), (512, 1024, 2048, 4096, 8192), Claim("bytes", since=1024, per_size=True)
    )
    yield Curve(
        "NADE draws",
        "dimension",
        partial(_nade_draws, setting),
        (64, 256, 1024, 4096),
        Claim("seconds", since=64, per_size=True),
    )


def _axes(name: str, step: Step, **sizes: Sequence[int]) -> Iterator[Curve]:
    """Yield a curve for each axis, the other sizes as they are by default."""
    for axis, values in sizes.items():
        yield Curve(name, axis, lambda size, axis=axis: step(**{axis: size}), values)


def _vae(setting: Setting, *, batch: int = 128, dimension: int = 256, depth: int = 2, particles: int = 1) -> Contestant:
    model = VAE.build((dimension,), None, constraints.boolean, latent=20, hidden=(200,) * depth)
    estimator = ELBO() if particles == 1 else IWAE(num_particles=particles)
    return fit_step(model, bits(batch, dimension), estimator, setting, kind="binary")


def _sbn(setting: Setting, *, batch: int = 128, dimension: int = 256, depth: int = 1, particles: int = 5) -> Contestant:
    model = SigmoidBeliefNet(event_shape=(dimension,), hidden=(100,) * depth)
    return fit_step(model, bits(batch, dimension), VIMCO(num_particles=particles), setting, kind="binary")


def _flow(
    setting: Setting, kind: type[RealNVP | MAF], *, batch: int = 128, dimension: int = 64, depth: int = 4
) -> Contestant:
    model = kind(event_shape=(dimension,), transforms=depth, hidden=(128, 128))
    return fit_step(model, table_rows(batch, dimension), MaximumLikelihood(), setting, rate=1e-4)


def _autoregressive(setting: Setting, kind: type[MADE | NADE], *, batch: int = 128, dimension: int = 256) -> Contestant:
    hidden = (200,) if kind is MADE else 200
    model = kind(event_shape=(dimension,), context_shape=None, support=constraints.boolean, hidden=hidden)
    return fit_step(model, bits(batch, dimension), MaximumLikelihood(), setting, kind="binary")


def _rbm(setting: Setting, *, batch: int = 128, dimension: int = 256, depth: int = 1) -> Contestant:
    """A machine has one hidden layer; its depth is the length of the chain."""
    model = RBM(event_shape=(dimension,), hidden=200)
    return fit_step(model, bits(batch, dimension), ContrastiveDivergence(k=depth), setting, kind="binary")


def _gan(setting: Setting, *, batch: int) -> Contestant:
    game = Adversarial(critic=convolutional_critic())
    return fit_step(ConvolutionalGenerator(), images(batch), game, setting)


def _ddpm(setting: Setting, *, batch: int = 8, depth: int = 1) -> Contestant:
    model = DDPM.build((1, 28, 28), None, constraints.real, width=16, depth=depth)
    return fit_step(model, images(batch), DenoisingScoreMatching(), setting)


def _mmd(setting: Setting, size: int) -> Contestant:
    x = table_rows(size, generator().event_shape.numel())
    return fit_step(generator(), x, MMD(), setting, copies=1)


def _evidence(setting: Setting, particles: int) -> Contestant:
    model = setting.place(VAE.build((784,), None, constraints.boolean, latent=20, hidden=(200, 200)))
    x = setting.place(bits(50, 784))
    return _drawing(model, lambda: log_evidence(model, x, num_particles=particles))


def _nade_draws(setting: Setting, dimension: int) -> Contestant:
    model = NADE(event_shape=(dimension,), context_shape=None, support=constraints.boolean, hidden=200)
    setting.place(model)
    return _drawing(model, lambda: model.sample((100,)))


def _drawing(model: nn.Module, draw: Callable[[], Tensor]) -> Contestant:
    model.eval()
    return Contestant(torch.no_grad()(draw))

"""Denoising diffusion on pictures of 28 by 28: training, and draws by DDIM; with probgen's U-Net, and with diffusers'."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import constraints

from benchmarks.support.contest import Contestant, Goal, Row
from benchmarks.support.data import images
from benchmarks.support.loops import fit_step, torch_step
from benchmarks.support.setting import Setting
from probgen import DenoisingScoreMatching
from probgen_diffusion.ddpm import DDPM

__all__ = ["rows"]

SHAPE, WIDTH, BATCH, STEPS, JUMPS, DRAWS = (1, 28, 28), 32, 32, 1000, 50, 4

Network = Callable[[], nn.Module]


def rows(setting: Setting) -> Iterator[Row]:
    """Yield training and draws for each of the two networks."""
    for suffix, whose, network in (("", "probgen's", _own_network), ("-diffusers", "diffusers'", DiffusersNetwork)):
        yield _training(f"ddpm{suffix}", whose, network, setting)
        yield _draws(f"ddim{suffix}", whose, network, setting)


def _own_network() -> nn.Module:
    return DDPM.build(SHAPE, None, constraints.real, width=WIDTH, attention=True).network


class DiffusersNetwork(nn.Module):
    """The U-Net of diffusers, called as probgen calls one."""

    def __init__(self) -> None:
        from diffusers import UNet2DModel

        super().__init__()
        widths = (WIDTH, 2 * WIDTH, 2 * WIDTH)
        self.unet = UNet2DModel(
            sample_size=SHAPE[-1],
            in_channels=1,
            out_channels=1,
            layers_per_block=1,
            block_out_channels=widths,
            down_block_types=("DownBlock2D",) * len(widths),
            up_block_types=("UpBlock2D",) * len(widths),
            norm_num_groups=8,
        )

    def forward(self, z: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """Return the prediction at times from 0 to 1."""
        return self.unet(z, STEPS * t, return_dict=False)[0]


def _model(network: Network) -> DDPM:
    torch.manual_seed(0)
    return DDPM(
        network=network(),
        event_shape=SHAPE,
        support=constraints.real,
        num_steps=STEPS,
        sampler="ddim",
        sampling_steps=JUMPS,
    )


# ------------------------------------------------------------------------------------------------------------- training


def _training(name: str, whose: str, network: Network, setting: Setting) -> Row:
    def probgen(execution: str) -> Contestant:
        return fit_step(_model(network), images(BATCH), DenoisingScoreMatching(), setting, execution=execution)

    makers = {
        "torch": partial(_by_hand, network, setting, fused=False),
        "torch fused": partial(_by_hand, network, setting, fused=True),
        "probgen": partial(probgen, "eager"),
        "probgen graph": partial(probgen, "graph"),
    }
    if network is DiffusersNetwork:
        makers["diffusers"] = partial(_diffusers, setting)
    title = f"DDPM 28x28, {whose} U-Net of width {WIDTH}, batch {BATCH}: a training step"
    goal = Goal(0.92, 1.0)
    return Row(name, title, makers, goals={"probgen": goal, "probgen graph": goal}, learning_steps=10)


def _by_hand(network: Network, setting: Setting, *, fused: bool) -> Contestant:
    model, x = setting.place(_model(network)), setting.place(images(BATCH))
    times = torch.arange(1, STEPS + 1, device=setting.device) / STEPS
    alphas, sigmas = model.schedule(times)

    def loss() -> Tensor:
        step = torch.randint(STEPS, (len(x),), device=setting.device)
        alpha, sigma = (each[step].view(-1, 1, 1, 1) for each in (alphas, sigmas))
        noise = torch.randn_like(x)
        z = alpha * x + sigma * noise
        return F.mse_loss(sigma * z + model.network(z, times[step]), noise)

    return torch_step(loss, model.parameters(), setting, fused=fused)


def _diffusers(setting: Setting) -> Contestant:
    """The loop of diffusers' tutorial: its scheduler adds the noise."""
    from diffusers import DDPMScheduler

    unet, x = setting.place(_model(DiffusersNetwork)).network.unet, setting.place(images(BATCH))
    scheduler = DDPMScheduler(num_train_timesteps=STEPS)

    def loss() -> Tensor:
        noise = torch.randn_like(x)
        step = torch.randint(STEPS, (len(x),), device=setting.device)
        return F.mse_loss(unet(scheduler.add_noise(x, noise, step), step).sample, noise)

    return torch_step(loss, unet.parameters(), setting)


# ---------------------------------------------------------------------------------------------------------------- draws


def _draws(name: str, whose: str, network: Network, setting: Setting) -> Row:
    def probgen() -> Contestant:
        model = setting.place(_model(network)).eval()
        return Contestant(lambda: model.sample((DRAWS,)))

    def by_hand() -> Contestant:
        model = setting.place(_model(network)).eval()
        return Contestant(partial(_ddim_by_hand, model))

    def same_draws(_: Any) -> None:
        model, draws = _model(network).eval(), []
        for draw in (lambda: model.sample((DRAWS,)), partial(_ddim_by_hand, model)):
            torch.manual_seed(0)
            draws.append(draw())
        torch.testing.assert_close(draws[0], draws[1], rtol=1e-3, atol=1e-3)

    makers = {"torch": by_hand, "probgen": probgen}
    if network is DiffusersNetwork:
        makers["diffusers"] = partial(_ddim_of_diffusers, setting)
    title = f"DDIM, {JUMPS} steps, 28x28, {whose} U-Net of width {WIDTH}: {DRAWS} draws"
    agree = None if setting.device != "cpu" else same_draws
    return Row(name, title, makers, goals={"probgen": Goal(0.90, 1.0)}, agree=agree, trains=False)


@torch.no_grad()
def _ddim_by_hand(model: DDPM) -> Tensor:
    place = next(model.parameters()).device
    z = torch.randn(DRAWS, *SHAPE, device=place)
    times = torch.linspace(1, 0, JUMPS + 1, device=place)
    alphas, sigmas = model.schedule(times)
    for number in range(JUMPS):
        noise = sigmas[number] * z + model.network(z, times[number].expand(DRAWS))
        event = (z - sigmas[number] * noise) / alphas[number]
        z = alphas[number + 1] * event + sigmas[number + 1] * noise
    return z


def _ddim_of_diffusers(setting: Setting) -> Contestant:
    """The loop of diffusers' pipeline, without its progress bar."""
    from diffusers import DDIMScheduler

    unet = setting.place(_model(DiffusersNetwork)).eval().network.unet
    scheduler = DDIMScheduler(num_train_timesteps=STEPS)

    @torch.no_grad()
    def draw() -> Tensor:
        scheduler.set_timesteps(JUMPS)
        z = torch.randn(DRAWS, *SHAPE, device=setting.device)
        for step in scheduler.timesteps:
            z = scheduler.step(unet(z, step).sample, step, z, eta=0.0).prev_sample
        return z

    return Contestant(draw)

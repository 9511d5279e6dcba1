"""Twenty-five narrow Gaussians on a grid by a game: how many does the generator reach, and how many draws are near one?

The modes stand at {-4, -2, 0, 2, 4}², each with a standard deviation of 0.05. Of 2500 draws those count that lie within
three standard deviations of a mode; a mode is covered when one of them is its. Uniform noise covers 20 modes or so, with
under 2 % of its draws near one.

    python examples/gan_modes.py                        # the non-saturating game: a minute on one core
    python examples/gan_modes.py --loss wasserstein-gp  # the penalised Wasserstein game: two minutes

References:
    Lin, Khetan, Fanti & Oh (2018), "PacGAN: The power of two samples in generative adversarial networks", arXiv:1712.04086,
    for the measure.
"""

from __future__ import annotations

import argparse
import sys
import time
from types import MappingProxyType

import torch
from torch import Tensor

import probgen
from probgen import Recipe, Stage
from probgen.data import as_source
from probgen.training.recipe import OptimizerSettings
from probgen_gan.generator import DenseGenerator

DRAWS, SPREAD = 2500, 0.05

GAMES = {
    "non-saturating": {"steps": 10_000, "betas": (0.5, 0.999), "critic_steps": 1, "penalty_weight": None},
    "wasserstein-gp": {"steps": 8_000, "betas": (0.5, 0.9), "critic_steps": 2, "penalty_weight": 0.1},
}
"""What each game is played by. A slope near 1 is far too gentle for modes this narrow: the penalty must be weak."""


def recipe(loss: str) -> Recipe:
    """Return how the game called `loss` is played."""
    game = dict(GAMES[loss])
    adam = OptimizerSettings(name="adam", learning_rate=1e-3, betas=game.pop("betas"), schedule="linear")
    steps = game.pop("steps")
    estimator = probgen.build_estimator("adversarial", loss=loss, **game)
    return Recipe((Stage(estimator, steps=steps, batch_size=128, optimizers=MappingProxyType({"*": adam})),))


def modes_and_share(x: Tensor) -> tuple[int, float]:
    """Return how many modes events in data units, `(N, 2)`, cover, and the share of events near a mode."""
    grid = torch.tensor([-4.0, -2.0, 0.0, 2.0, 4.0])
    distances, nearest = torch.cdist(x, torch.cartesian_prod(grid, grid)).min(1)
    near = distances < 3 * SPREAD
    return len(nearest[near].unique()), near.double().mean().item()


def main() -> int:
    """Train, then print the two numbers."""
    parser = argparse.ArgumentParser(description="Twenty-five Gaussians by an adversarial game.")
    parser.add_argument("--loss", choices=list(GAMES), default="non-saturating", help="the game")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and draws")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the networks are too small for more
    torch.manual_seed(arguments.seed)
    source = as_source("twenty-five-gaussians")
    view = source.view("real")
    model = DenseGenerator(event_shape=(2,), noise_size=2, hidden=(128, 128, 128))
    start = time.perf_counter()
    probgen.fit(model, source, view="real", recipe=recipe(arguments.loss), ema=0.999, seed=arguments.seed, progress=False)
    seconds = time.perf_counter() - start
    covered, share = modes_and_share(view.to_units(model.sample((DRAWS,))))
    print(f"{arguments.loss}: {covered} of 25 modes, {share:.1%} of {DRAWS} draws near one, {seconds:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())

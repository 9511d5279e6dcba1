"""Red wine by ten-fold cross-validation: a Gaussian, Real NVP and a masked autoregressive flow.

The folds are RNADE's. In each, the features are standardised by the other nine folds, a tenth of which, at random, is held
out to stop training early. What is printed is the mean over the folds of the mean log-density of the fold that was left out,
in nats: of the standardised features, and of the features in their own units, which differs by the logarithms of the scales.

    PROBGEN_DATA=… python examples/red_wine.py             # ten folds, three models: a few minutes on one core
    PROBGEN_DATA=… python examples/red_wine.py --folds 1   # a first look

References:
    Uria, Murray & Larochelle (2013), "RNADE: the real-valued neural autoregressive density-estimator", arXiv:1306.0186.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor

import probgen
from probgen import MaximumLikelihood, Recipe, Stage
from probgen.data import Source
from probgen.training.recipe import OptimizerSettings

FILE = "uci-continuous/red_wine_rnade_folds.npz"

FLOWS = {
    "flows/realnvp": {"transforms": 8, "hidden": (64,), "activation": "tanh"},
    "flows/maf": {"transforms": 5, "hidden": (64,), "activation": "tanh"},
}
"""The flows and their options."""


@dataclasses.dataclass(frozen=True)
class Fold:
    """What is trained on and what is judged, standardised by the training fold.

    Args:
        number: The fold that is left out.
        train: The nine other folds, `(N, 11)`.
        test: The fold, `(M, 11)`.
        log_scale: Sum of the logarithms of the scales: a log-density in own units is smaller by it.
    """

    number: int
    train: Tensor
    test: Tensor
    log_scale: float

    def source(self) -> Source:
        """Return the fold as data with a tenth of the training rows for validation."""
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(self.number))
        valid, train = (self.train[rows].float() for rows in order.tensor_split([len(order) // 10]))
        splits = {"train": train, "valid": valid, "test": self.test.float()}
        return Source(name=f"red-wine-{self.number}", splits=splits, kind="real")


def folds(file: Path, count: int) -> Iterator[Fold]:
    """Yield the first `count` folds."""
    with np.load(file, allow_pickle=False) as arrays:
        data, fold = torch.from_numpy(arrays["data"]).double(), torch.from_numpy(arrays["fold"])
    for number in range(count):
        train, test = data[fold != number], data[fold == number]
        mean, scale = train.mean(0), train.std(0, correction=0)
        yield Fold(number, (train - mean) / scale, (test - mean) / scale, float(scale.log().sum()))


def gaussian(fold: Fold, seed: int) -> float:
    """Return the test score of the Gaussian with the moments of the training fold; `seed` plays no part."""
    covariance = fold.train.T.cov(correction=0)
    return float(torch.distributions.MultivariateNormal(fold.train.mean(0), covariance).log_prob(fold.test).mean())


def flow(name: str) -> Callable[[Fold, int], float]:
    """Return a function that trains the flow called `name` on a fold and returns its test score."""

    def score(fold: Fold, seed: int) -> float:
        source = fold.source()
        torch.manual_seed(seed)
        model = probgen.build(name, source, view="raw", **FLOWS[name])
        probgen.fit(model, source, recipe=recipe(), ema=0.99, patience=10, validate_every=50, seed=seed, progress=False)
        return probgen.evaluate(model, source, metrics=["likelihood"])["log_likelihood"].value

    return score


def recipe() -> Recipe:
    """Return how the flows are trained: 4000 steps at most, of 100 rows."""
    adam = OptimizerSettings(name="adam", learning_rate=1e-3, clip_norm=5.0)
    return Recipe((Stage(MaximumLikelihood(), steps=4000, batch_size=100, optimizers=MappingProxyType({"*": adam})),))


def main() -> int:
    """Print a line for each model; return 2 when the data are not there."""
    parser = argparse.ArgumentParser(description="Red wine by ten-fold cross-validation, in nats.")
    parser.add_argument("--folds", type=int, default=10, choices=range(1, 11), help="how many of the ten folds")
    parser.add_argument("--seed", type=int, default=0, help="of weights and batches")
    arguments = parser.parse_args()
    file = Path(os.environ.get("PROBGEN_DATA", "")) / FILE
    if not file.exists():
        print(f"red_wine.py: expected {FILE} in the folder that PROBGEN_DATA names; got none.", file=sys.stderr)
        return 2
    torch.set_num_threads(1)  # the networks are too small for more
    print(
        f"{'model':<14} {'standardised':>12} {'own units':>10} {'std. error':>10} {'seconds':>8}   each fold, standardised"
    )
    for name, judge in {"gaussian": gaussian, **{name: flow(name) for name in FLOWS}}.items():
        start, scores, own = time.perf_counter(), [], []
        for fold in folds(file, arguments.folds):
            scores.append(judge(fold, arguments.seed))
            own.append(scores[-1] - fold.log_scale)
        error = statistics.stdev(scores) / len(scores) ** 0.5 if len(scores) > 1 else float("nan")
        each = " ".join(f"{score:.2f}" for score in scores)
        seconds = time.perf_counter() - start
        means = statistics.fmean(scores), statistics.fmean(own)
        print(f"{name:<14} {means[0]:>12.3f} {means[1]:>10.3f} {error:>10.3f} {seconds:>8.1f}   {each}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""A generative moment matching net on digits, before and after training: does a two-sample test tell it from data?

In each repeat the test compares 500 fresh draws with 500 of the 600 digits that were not trained on, by the maximum mean
discrepancy in four bandwidths, and rejects where its p-value, that of 999 relabellings, is at most 1 %. Beside it stands
what the test says of 500 training digits, which are as good as draws can be.

    python examples/gmmn_two_sample.py             # half a minute on one core
    python examples/gmmn_two_sample.py --seed 1

References:
    Li, Swersky & Zemel (2015), "Generative Moment Matching Networks", arXiv:1502.02761.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import constraints

import probgen
from probgen.data import View, as_source
from probgen.evaluation import median_distance, mmd_test
from probgen_gan.generator import DenseGenerator
from probgen_gan.recipes import moment_matching

EVENTS, LEVEL = 500, 0.01


def rows(view: View, *splits: str) -> Tensor:
    """Return the events of splits as vectors, `(N, D)`."""
    parts = [view.split(name).batch(torch.arange(len(view.split(name)))).x for name in splits]
    return torch.cat(parts).flatten(1)


def rejections(draw: Callable[[], Tensor], held_out: Tensor, *, repeats: int, seed: int) -> int:
    """Return in how many repeats the test tells `draw()`, `(500, D)`, from as many of the events held out."""
    stream = torch.Generator().manual_seed(seed)
    bandwidth = median_distance(held_out, generator=stream)
    rejected = 0
    for _ in range(repeats):
        data = held_out[torch.randperm(len(held_out), generator=stream)[:EVENTS]]
        rejected += mmd_test(draw(), data, bandwidth=bandwidth, generator=stream).p_value <= LEVEL
    return rejected


def main() -> int:
    """Print in how many repeats the test rejects, before and after training."""
    parser = argparse.ArgumentParser(description="A moment matching net on digits by a two-sample test.")
    parser.add_argument("--repeats", type=int, default=20, help="how often the test is made")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches, draws and relabellings")
    arguments = parser.parse_args()
    torch.set_num_threads(1)  # the network is too small for more
    torch.manual_seed(arguments.seed)
    source = as_source("digits")
    model = DenseGenerator(event_shape=(1, 8, 8), support=constraints.unit_interval)
    view = source.view("unit-interval")
    train, held_out = rows(view, "train"), rows(view, "valid", "test")

    def drawn() -> Tensor:
        return model.sample((EVENTS,)).flatten(1)

    def trained_on() -> Tensor:
        return train[torch.randperm(len(train))[:EVENTS]]

    def report(what: str, draw: Callable[[], Tensor]) -> None:
        count = rejections(draw, held_out, repeats=arguments.repeats, seed=arguments.seed)
        print(f"{what:<18} rejected in {count} of {arguments.repeats}", flush=True)

    report("before training", drawn)
    start = time.perf_counter()
    probgen.fit(model, source, recipe=moment_matching(model), ema=0.99, seed=arguments.seed, progress=False)
    print(f"{'training':<18} {time.perf_counter() - start:.0f} s", flush=True)
    report("after training", drawn)
    report("training digits", trained_on)
    return 0


if __name__ == "__main__":
    sys.exit(main())

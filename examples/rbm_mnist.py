"""Sixteen hidden units on MNIST: plain and centred gradients, on digits and on their negatives, by exact likelihood.

    PROBGEN_DATA=… python examples/rbm_mnist.py [--centered] [--flipped] [--seeds 0 1 2] [--recipe]

The set-up is that of the authors' own program for Melchior, Fischer & Wiskott (2016): all 60000 training images cut at half
the full intensity, in the order of the file; persistent contrastive divergence, one step of 100 chains for each batch of
100, rate 0.01, 50 epochs; chains that start nearly black, visible biases at the log-odds of the training means (these
clipped to [0.001, 0.999]), offsets at the training means and one half. `--recipe` trains instead as `probgen train` does:
batches drawn anew in each epoch, and chains, biases and offsets by the first batch.

A machine of 16 hidden units has an exact log-partition, so the figures can be held against the published ones, which are of
one run each (nats, test set):

| gradient | digits | flipped |
|---|---|---|
| plain | -149.05 | -183.36 |
| centred | -142.56 | -142.09 |

The rate stays at 0.01 to the end, and the likelihood of one machine goes up and down by a nat or more from epoch to epoch.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import probgen
from probgen import Batch, ContrastiveDivergence, Estimator, Phase, Recipe
from probgen.data import Source
from probgen_boltzmann.ais import bracket
from probgen_boltzmann.centering import CenteredContrastiveDivergence
from probgen_boltzmann.recipes import persistent


class StartedAt(Estimator):
    """An estimator that starts from a state of the caller's."""

    def __init__(self, inner: Estimator, state: dict[str, Tensor]) -> None:
        self._inner, self._state = inner, state
        self.requires, self.objective, self.batch_coupled = inner.requires, inner.objective, inner.batch_coupled

    @property
    def claims(self) -> Any:
        """What the estimator claims: its start is no part of it."""
        return self._inner.claims

    def initial_state(self, model: Any, batch: Batch) -> dict[str, Tensor]:
        """Return the state given, under the estimator's own names."""
        return {name: self._state[name] for name in self._inner.initial_state(model, batch)}

    def phases(self, model: Any) -> Sequence[Phase]:
        """Return the estimator's phases."""
        return self._inner.phases(model)


def thresholded(folder: Path, *, flipped: bool) -> Source:
    """Return MNIST as bits: all 60000 training images, no validation set, and the 10000 test images."""
    images = probgen.as_source(folder).view("binary")
    bits = {name: images.split(name).all().x.to(torch.uint8) for name in ("train", "valid", "test")}
    splits = {"train": torch.cat([bits["train"], bits["valid"]]), "test": bits["test"]}
    if flipped:
        splits = {name: 1 - values for name, values in splits.items()}
    name = "mnist-flipped" if flipped else "mnist"
    return Source(name=name, splits=splits, kind="binary", is_image=True)


@torch.no_grad()
def as_published(machine: Any, x: Tensor) -> Estimator:
    """Set the biases of a new machine, and return an estimator with the chains and offsets, that the authors start from."""
    means = x.flatten(1).mean(0)
    machine.base_bias.copy_(torch.logit(means.clamp(0.001, 0.999)))
    machine.visible_bias.copy_(machine.base_bias)
    halves = torch.full_like(machine.hidden_bias, 0.5)
    if machine.centered:
        machine.visible_bias -= halves @ machine.weight
        machine.hidden_bias -= machine.weight @ means
    black = 0.01 * torch.randn(100, *machine.event_shape)
    chains = torch.lt(torch.rand_like(black), black).float()
    kind = CenteredContrastiveDivergence if machine.centered else ContrastiveDivergence
    state = {"chains.x": chains, "offsets.visible_bias": means, "offsets.hidden_bias": halves}
    return StartedAt(kind(persistent=True, num_chains=100), state)


def trained(data: Source, seed: int, options: argparse.Namespace) -> tuple[Any, float]:
    """Train one machine; return it with its exact log-likelihood on the test images, in nats."""
    torch.manual_seed(seed)
    machine: Any = probgen.build("boltzmann/rbm", data, hidden=16, centered=options.centered)
    everything = data.view("binary").split("train").all()
    [stage] = persistent(machine).stages
    if not options.recipe:
        stage = dataclasses.replace(stage, estimator=as_published(machine, everything.x), shuffle=False)
    recipe, budget = Recipe((stage,)), {"epochs": options.epochs, "batch_size": 100, "learning_rate": 0.01}
    started = time.perf_counter()
    probgen.fit(machine, data, recipe=recipe, **budget, seed=seed, progress=False)
    seconds = time.perf_counter() - started
    metric = probgen.evaluate(machine, data, metrics=["likelihood"])["log_likelihood"]
    print(f"  seed {seed}: {metric.value:.2f} nats ({metric.kind}), trained in {seconds:.0f} s", flush=True)
    return machine, metric.value


def compare_partitions(machine: Any, *, chains: int, steps: int) -> None:
    """Print the log-partition, exact and by annealing from both sides."""
    both = bracket(machine.annealing_path(), machine.sample((chains,)).flatten(1), num_steps=steps)
    for found in (machine.log_partition(), both.lower, both.upper):
        print(f"  log-partition {float(found.value):.3f} ± {float(found.stderr):.3f} nats, {found.claim}: {found.method}")
    print(f"  the two sides {'agree' if both.closed() else 'do not agree'}", flush=True)


def main() -> None:
    """Train a machine for each seed; print exact log-likelihoods, and log-partitions exact and estimated."""
    parser = argparse.ArgumentParser(description="An RBM of 16 hidden units on thresholded MNIST.")
    parser.add_argument("--centered", action="store_true", help="follow the centred gradient")
    parser.add_argument("--flipped", action="store_true", help="swap black and white")
    parser.add_argument("--recipe", action="store_true", help="start as `probgen train` does")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--chains", type=int, default=500, help="of annealed importance sampling; 0 for none")
    parser.add_argument("--steps", type=int, default=5000, help="of annealed importance sampling")
    options = parser.parse_args()

    data = thresholded(Path(os.environ["PROBGEN_DATA"]) / "mnist", flipped=options.flipped)
    print(f"{'centred' if options.centered else 'plain'} gradient, {data.name}", flush=True)
    values = []
    for seed in options.seeds:
        machine, value = trained(data, seed, options)
        values.append(value)
        if options.chains:
            compare_partitions(machine, chains=options.chains, steps=options.steps)
    if len(values) > 1:
        print(f"  {statistics.mean(values):.2f} ± {statistics.stdev(values):.2f} nats (mean, standard deviation of runs)")


if __name__ == "__main__":
    main()

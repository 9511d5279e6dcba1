"""Sixteen hidden units on MNIST: plain and centred gradients, on digits and on their negatives, by exact likelihood.

    PROBGEN_DATA=… python examples/rbm_mnist.py [--centered] [--flipped] [--epochs 50] [--seed 0]

The set-up of Melchior, Fischer & Wiskott (2016): all 60000 training images cut at half the full intensity, persistent
contrastive divergence with one step of 100 chains for each batch of 100, rate 0.01, which is the recipe. A machine of 16
hidden units has an exact log-partition, so the figures can be held against the published ones (nats, test set):

| gradient | digits | flipped |
|---|---|---|
| plain | -149.05 | -183.36 |
| centred | -142.56 | -142.09 |
"""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

import torch

import probgen
from probgen.data import Source
from probgen_boltzmann.ais import anneal, anneal_backward


def thresholded(folder: Path, *, flipped: bool) -> Source:
    """Return MNIST as bits: all 60000 training images, no validation set, and the 10000 test images."""
    images = probgen.as_source(folder).view("binary")
    bits = {name: images.split(name).all().x.to(torch.uint8) for name in ("train", "valid", "test")}
    splits = {"train": torch.cat([bits["train"], bits["valid"]]), "test": bits["test"]}
    if flipped:
        splits = {name: 1 - values for name, values in splits.items()}
    name = "mnist-flipped" if flipped else "mnist"
    return Source(name=name, splits=splits, kind="binary", is_image=True)


def main() -> None:
    """Train one machine; print its log-partition, exact and estimated from both sides, and its exact log-likelihood."""
    parser = argparse.ArgumentParser(description="An RBM of 16 hidden units on thresholded MNIST.")
    parser.add_argument("--centered", action="store_true", help="follow the centred gradient")
    parser.add_argument("--flipped", action="store_true", help="swap black and white")
    parser.add_argument("--epochs", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    data = thresholded(Path(os.environ["PROBGEN_DATA"]) / "mnist", flipped=options.flipped)
    torch.manual_seed(options.seed)
    machine: Any = probgen.build("boltzmann/rbm", data, hidden=16, centered=options.centered)
    machine.initialize(data.view("binary").split("train").all())  # by all of them, where `fit` would take a batch
    started = time.perf_counter()
    probgen.fit(machine, data, epochs=options.epochs, seed=options.seed)
    seconds = time.perf_counter() - started
    result = probgen.evaluate(machine, data, metrics=["likelihood"])
    name = f"{'centred' if options.centered else 'plain'} gradient, {data.name}, seed {options.seed}"
    print(f"{name}: trained in {seconds:.0f} s")
    path = machine.annealing_path()
    for found in (machine.log_partition(), anneal(path), anneal_backward(path, machine.sample((500,)).flatten(1))):
        print(f"log-partition {float(found.value):.3f} ± {float(found.stderr):.3f} nats, {found.claim}: {found.method}")
    print(result.table())


if __name__ == "__main__":
    main()

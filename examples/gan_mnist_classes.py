"""A game on MNIST: which digits does the generator draw, in the eyes of a classifier?

The classifier is a small net trained on the labels of the training images; its accuracy on the test images stands beside
the answer. A generator that has lost modes leaves classes empty; the entropy of the classes is at most ln 10 = 2.303.

    PROBGEN_DATA=… python examples/gan_mnist_classes.py            # some minutes on one core
    PROBGEN_DATA=… python examples/gan_mnist_classes.py --seed 1
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.distributions import constraints

import probgen
from probgen import Recipe, Stage
from probgen.data import View, as_source
from probgen.nn import MLP
from probgen.training.recipe import OptimizerSettings
from probgen_gan.generator import DenseGenerator

DRAWS, CLASSES = 10_000, 10


def labelled(view: View, split: str) -> tuple[Tensor, Tensor]:
    """Return the images of a split as vectors, `(N, 784)`, and their labels, `(N,)`."""
    part = view.split(split)
    batch = part.batch(torch.arange(len(part)))
    return batch.x.flatten(1), batch.context.argmax(-1)


def trained_classifier(x: Tensor, labels: Tensor, *, seed: int) -> nn.Module:
    """Return a net of one hidden layer that has seen every example five times, by Adam."""
    torch.manual_seed(seed)
    network = MLP((x.shape[1], 256, CLASSES), activation="relu")
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3, fused=True)
    for _ in range(5):
        for rows in torch.randperm(len(x)).split(128):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(x[rows]), labels[rows]).backward()
            optimizer.step()
    return network


def recipe(steps: int) -> Recipe:
    """Return how the game is played: the penalised Wasserstein loss, five steps of the critic to one of the generator."""
    adam = OptimizerSettings(name="adam", learning_rate=5e-4, betas=(0.5, 0.9), schedule="linear")
    game = {"loss": "wasserstein-gp", "critic_steps": 5, "critic_hidden": (256, 256)}
    estimator = probgen.build_estimator("adversarial", **game)
    return Recipe((Stage(estimator, steps=steps, batch_size=64, optimizers=MappingProxyType({"*": adam})),))


def main() -> int:
    """Train the classifier and the generator, then print how often each class is drawn."""
    parser = argparse.ArgumentParser(description="The classes of MNIST that a generator draws.")
    parser.add_argument("--data", default=os.environ.get("PROBGEN_DATA"), help="folder that holds mnist/")
    parser.add_argument("--steps", type=int, default=3000, help="of the game")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and draws")
    parser.add_argument("--threads", type=int, default=2, help="of torch")
    arguments = parser.parse_args()
    if arguments.data is None:
        parser.error("expected --data or PROBGEN_DATA to name the folder that holds mnist/; got neither. Set one.")
    torch.set_num_threads(arguments.threads)
    source = as_source(str(Path(arguments.data) / "mnist"))
    labels = source.view("unit-interval", context="label")
    classifier = trained_classifier(*labelled(labels, "train"), seed=arguments.seed)
    x, truth = labelled(labels, "test")
    with torch.no_grad():
        accuracy = (classifier(x).argmax(-1) == truth).double().mean().item()

    torch.manual_seed(arguments.seed)
    shape = {"event_shape": (1, 28, 28), "support": constraints.unit_interval}
    model = DenseGenerator(**shape, noise_size=64, hidden=(256, 256), activation="leaky-relu")
    start = time.perf_counter()
    rules = recipe(arguments.steps)
    settings = {"view": "unit-interval", "ema": 0.999, "seed": arguments.seed, "progress": False}
    probgen.fit(model, source, recipe=rules, **settings)
    seconds = time.perf_counter() - start
    with torch.no_grad():
        counts = classifier(model.sample((DRAWS,)).flatten(1)).argmax(-1).bincount(minlength=CLASSES)
    shares = counts.double() / DRAWS
    entropy = torch.special.entr(shares).sum().item()
    print(f"classifier: {accuracy:.1%} of test images right; training of the game: {seconds:.0f} s")
    print("digit " + " ".join(f"{digit:>6}" for digit in range(CLASSES)))
    print("share " + " ".join(f"{share:>6.1%}" for share in shares.tolist()))
    print(
        f"{int((counts > 0).sum())} of {CLASSES} classes drawn; least share {shares.min():.1%}; entropy {entropy:.3f} nats"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())

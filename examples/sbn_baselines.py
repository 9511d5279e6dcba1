"""What a baseline is worth: one sigmoid belief net on binarised MNIST, by six rules for discrete latents, at equal steps.

Two hundred units under a recognition net, trained by score functions with no baseline, a moving average, neural variational
inference and learning (a moving average after a learned baseline, variance normalised) and the mean of the other particles;
by VIMCO; and by reweighted wake-sleep. Every rule takes the same batches of 100 in the same order, five draws of the guide
for each example, and Adam at the rate of the recipe of `latent/sbn`; REINFORCE climbs the evidence lower bound, VIMCO the
importance-weighted one of five draws, and reweighted wake-sleep the likelihood itself. Figures are nats an example of the
test set, the larger the better.

    PROBGEN_DATA=… python examples/sbn_baselines.py                # six rules, ten epochs: 20 minutes on one core
    PROBGEN_DATA=… python examples/sbn_baselines.py --epochs 1 none vimco

References:
    Mnih & Gregor (2014), "Neural variational inference and learning in belief networks", arXiv:1402.0030.
    Mnih & Rezende (2016), "Variational inference for Monte Carlo objectives", arXiv:1602.06725.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

import probgen
from probgen import REINFORCE, VIMCO, ReweightedWakeSleep
from probgen.estimator import Estimator
from probgen.estimators.baselines import Learned, LeaveOneOut, MovingAverage, NoBaseline

FILE = "binarized-mnist/binarized_mnist.npz"
PARTICLES = 5

RULES: dict[str, Callable[[], Estimator]] = {
    "none": lambda: REINFORCE(num_particles=PARTICLES, baseline=NoBaseline()),
    "moving-average": lambda: REINFORCE(num_particles=PARTICLES, baseline=MovingAverage()),
    "nvil": lambda: REINFORCE(num_particles=PARTICLES, baseline=MovingAverage(after=Learned()), normalise_variance=True),
    "leave-one-out": lambda: REINFORCE(num_particles=PARTICLES, baseline=LeaveOneOut()),
    "vimco": lambda: VIMCO(num_particles=PARTICLES),
    "rws": lambda: ReweightedWakeSleep(num_particles=PARTICLES),
}
"""The rules by the names that the shell gives them here; each run has an estimator of its own, for some learn."""


def main() -> int:
    """Train one net by each rule; print bound and importance-sampled log-likelihood, each with its standard error."""
    parser = argparse.ArgumentParser(description="A sigmoid belief net on binarised MNIST by six rules.")
    parser.add_argument("rules", nargs="*", metavar="RULE", help=f"among {', '.join(RULES)}; all when left out")
    parser.add_argument("--epochs", type=int, default=10, help="passes through the 50000 training images")
    parser.add_argument("--examples", type=int, default=None, help="test images to judge on; all 10000 when left out")
    parser.add_argument("--particles", type=int, default=500, help="draws of the guide in importance sampling")
    parser.add_argument("--seed", type=int, default=0, help="of weights, batches and draws")
    arguments = parser.parse_args()
    if unknown := set(arguments.rules) - set(RULES):
        parser.error(f"expected rules among {', '.join(RULES)}; got {', '.join(sorted(unknown))}")
    torch.set_num_threads(1)
    data = probgen.as_source(Path(os.environ["PROBGEN_DATA"]) / FILE)
    print(f"{'rule':<16}{'steps':>6}{'bound':>18}{f'IS-{arguments.particles}':>18}{'training':>10}", flush=True)
    for name in arguments.rules or RULES:
        torch.manual_seed(arguments.seed)
        net = probgen.build("latent/sbn", data, hidden=(200,))
        started = time.perf_counter()
        trained = probgen.fit(net, data, RULES[name](), epochs=arguments.epochs, seed=arguments.seed, progress=False)
        seconds = time.perf_counter() - started
        judged = probgen.evaluate(
            net, data, metrics=["likelihood"], num_particles=arguments.particles, max_examples=arguments.examples
        )
        figures = (judged["elbo"], judged["importance_sampled_log_likelihood"])
        written = "".join(f"{f'{figure.value:.2f} ± {figure.stderr:.2f}':>18}" for figure in figures)
        print(f"{name:<16}{trained.steps['main']:>6}{written}{seconds:>8.0f} s", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Step time of persistent contrastive divergence on one RBM: probgen, hand-written loops without autograd, scikit-learn.

    python benchmarks/rbm_step.py --hidden 500 --rounds 30 --threads 2

The cases take turns within a round, so that a busy neighbour hits all of them; the ratios printed are medians over rounds of
ratios within a round. Absolute times mean little. A step is one Gibbs step of 100 chains, and a batch of 100 images. `bare`
is the loop as it is usually written, with `torch.bernoulli`; `tuned` draws by `rand < p` and adds to the weights in place.
"""

from __future__ import annotations

import argparse
import copy
import itertools

import torch
from sklearn.neural_network import BernoulliRBM
from support.rounds import Step, measured, ratio, step_times
from torch import Tensor

from probgen import as_source
from probgen.pyro_bridge import without_validation
from probgen.training.settings import Settings
from probgen.training.stage_run import StageRun
from probgen.training.world import World
from probgen_boltzmann.rbm import RBM
from probgen_boltzmann.recipes import persistent

VISIBLE, BATCH, RATE = 784, 100, 0.01


def probgen_step(machine: RBM, x: Tensor) -> Step:
    """A step of `fit`, all of it: the batch gathered from the data, streams seeded, estimate, gradient, checks, metrics."""
    source = as_source({"train": x.repeat(20, 1).to(torch.uint8)}, kind="binary", name="noise")
    (stage,) = persistent(machine).stages
    run = StageRun(machine, stage, source.view("binary"), Settings(), device=torch.device("cpu"), world=World())
    numbers = itertools.count()
    return lambda: run.step(next(numbers))


def bare_step(machine: RBM, x: Tensor) -> Step:
    """The loop as it is usually written."""
    weight, b, c = machine.weight.data, machine.visible_bias.data, machine.hidden_bias.data
    v = x.clone()

    def step() -> None:
        nonlocal v
        h_data = torch.sigmoid(x @ weight.T + c)
        h = torch.bernoulli(torch.sigmoid(v @ weight.T + c))
        v = torch.bernoulli(torch.sigmoid(h @ weight + b))
        h_model = torch.sigmoid(v @ weight.T + c)
        weight.add_((h_data.T @ x - h_model.T @ v) / BATCH, alpha=RATE)
        b.add_((x - v).mean(0), alpha=RATE)
        c.add_((h_data - h_model).mean(0), alpha=RATE)

    return step


def tuned_step(machine: RBM, x: Tensor) -> Step:
    """The same with cheaper draws, and as little memory as can be."""
    weight, b, c = machine.weight.data, machine.visible_bias.data, machine.hidden_bias.data
    v = x.clone()

    def draw(probabilities: Tensor) -> Tensor:
        return torch.rand_like(probabilities).lt_(probabilities)

    def step() -> None:
        nonlocal v
        h_data = torch.addmm(c, x, weight.T).sigmoid_()
        h = draw(torch.addmm(c, v, weight.T).sigmoid_())
        v = draw(torch.addmm(b, h, weight).sigmoid_())
        h_model = torch.addmm(c, v, weight.T).sigmoid_()
        weight.addmm_(h_data.T, x, alpha=RATE / BATCH)
        weight.addmm_(h_model.T, v, alpha=-RATE / BATCH)
        b.add_(x.sum(0) - v.sum(0), alpha=RATE / BATCH)
        c.add_(h_data.sum(0) - h_model.sum(0), alpha=RATE / BATCH)

    return step


def sklearn_step(machine: RBM, x: Tensor) -> Step:
    """A batch given to scikit-learn's, which trains by the same algorithm."""
    rows = x.numpy()
    peer = BernoulliRBM(n_components=machine.weight.shape[0], learning_rate=RATE, batch_size=BATCH, random_state=0)
    peer.partial_fit(rows)
    peer.components_ = machine.weight.data.numpy()  # the same memory: what it learns shows in the machine
    return lambda: peer.partial_fit(rows)


CASES = {"probgen": probgen_step, "bare": bare_step, "tuned": tuned_step, "sklearn": sklearn_step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hidden", type=int, default=500)
    parser.add_argument("--centered", action="store_true", help="of probgen's machine alone")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=20, help="steps of each case in a round")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x = (torch.rand(BATCH, VISIBLE) < 0.2).float()
    template = RBM(event_shape=(VISIBLE,), hidden=options.hidden, centered=options.centered)
    machines = {name: copy.deepcopy(template) for name in CASES}
    steps = {name: make(machines[name], x) for name, make in CASES.items()}
    with without_validation():
        times = measured(steps, rounds=options.rounds, repeats=options.repeats)
    for name, machine in machines.items():
        if torch.equal(machine.weight, template.weight):
            raise SystemExit(f"{name}: the weights did not change")
    for other in ("bare", "tuned", "sklearn"):
        print(ratio(times, "probgen", other))
    print(step_times(times))


if __name__ == "__main__":
    main()

"""Step time of one NADE (123 entries, 500 hidden units, batch 100): probgen against the loop over entries under autograd.

The cases take turns within a round, so that a busy neighbour hits all of them; the ratios printed are medians over rounds of
ratios within a round. Absolute times mean little.

    python benchmarks/nade_step.py --rounds 30 --threads 2
"""

from __future__ import annotations

import argparse
import copy
import itertools

import torch
import torch.nn.functional as F
from support.rounds import Step, measured, ratio, step_times
from torch import Tensor
from torch.distributions import constraints

from probgen import MaximumLikelihood, Stage, as_source
from probgen.training.settings import Settings
from probgen.training.stage_run import StageRun
from probgen.training.world import World
from probgen_autoregressive.nade import NADE

ENTRIES, HIDDEN, BATCH = 123, 500, 100


def probgen_step(nade: NADE, x: Tensor) -> Step:
    """A step of `fit`, all of it: batch gathered, streams seeded, estimate, gradient, checks, metrics."""
    source = as_source({"train": x.repeat(20, 1)}, kind="binary", name="noise")
    stage = Stage(MaximumLikelihood(), batch_size=BATCH)
    run = StageRun(nade, stage, source.view("binary"), Settings(), device=torch.device("cpu"), world=World())
    numbers = itertools.count()
    return lambda: run.step(next(numbers))


def loop_step(nade: NADE, x: Tensor) -> Step:
    """The same weights in a hand-written loop, its gradient by autograd."""
    optimizer = torch.optim.Adam(nade.parameters(), lr=1e-3, fused=True)

    def step() -> Tensor:
        loss = loop_loss(nade, x)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss

    return step


def loop_loss(nade: NADE, x: Tensor) -> Tensor:
    """The negative log-likelihood by its definition, entry by entry."""
    running, logits = nade.hidden_bias.expand(len(x), -1), []
    for d in range(ENTRIES):
        logits.append(torch.sigmoid(running) @ nade.outward[d, 0] + nade.bias[d, 0])
        running = running + x[:, d : d + 1] * nade.inward[d]
    return F.binary_cross_entropy_with_logits(torch.stack(logits, 1), x, reduction="sum") / len(x)


def check(nade: NADE, x: Tensor) -> None:
    """Stop unless both ways give the same gradient."""
    ours, theirs = (
        torch.autograd.grad(loss, list(nade.parameters())) for loss in (-nade.log_prob(x).mean(), loop_loss(nade, x))
    )
    for mine, plain in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, plain, rtol=1e-4, atol=1e-6)


CASES = {"probgen": probgen_step, "loop": loop_step}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--repeats", type=int, default=5, help="steps of each case in a round")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    x = (torch.rand(BATCH, ENTRIES) < 0.2).float()
    template = NADE(event_shape=(ENTRIES,), context_shape=None, support=constraints.boolean, hidden=HIDDEN)
    check(template, x)
    models = {name: copy.deepcopy(template) for name in CASES}
    steps = {name: make(models[name], x) for name, make in CASES.items()}
    times = measured(steps, rounds=options.rounds, repeats=options.repeats)
    print(ratio(times, "probgen", "loop"))
    print(step_times(times))


if __name__ == "__main__":
    main()

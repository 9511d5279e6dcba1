"""Train one toy, here or in a process of its own: `run_toy.py NAME FOLDER KILL_AT`.

The process kills itself with SIGKILL inside the estimator's call number KILL_AT, so every moment of a step can be hit.
"""

import dataclasses
import os
import signal
import sys
from pathlib import Path

import torch

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import toys
from probgen import fit

OPTIONS = {
    "ema": 0.9,
    "checkpoint_every": 7,
    "validate_every": 9,
    "execution": "eager",  # a graph would not call the estimator
    "progress": False,
}


def deadly(estimator, calls, kill_at):
    """Make the estimator's phases kill the process at a given call."""
    original = estimator.phases

    def phases(model):
        return [dataclasses.replace(phase, estimate=counted(phase.estimate)) for phase in original(model)]

    def counted(estimate):
        def run(model, batch, state):
            calls[0] += 1
            if calls[0] == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return estimate(model, batch, state)

        return run

    estimator.phases = phases


def train(name, folder, kill_at=-1):
    """Train to the end, from the newest checkpoint if there is one; or die at the estimator's call number `kill_at`."""
    model, recipe = toys.make(name)
    calls = [0]
    for stage in recipe.stages:
        deadly(stage.estimator, calls, kill_at)
    fit(model, toys.data(name), recipe=recipe, run_dir=folder, resume=True, **OPTIONS)


if __name__ == "__main__":
    torch.set_num_threads(1)
    train(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))

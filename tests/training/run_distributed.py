"""Fit a small Gaussian, by `torchrun` or alone: `run_distributed.py OUT`.

Of its 82 training examples the last batch has one, so that the second process has none.
"""

import os
import sys
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

from helpers import toys
from probgen import MaximumLikelihood, fit


def main(out):
    torch.set_num_threads(1)
    data = torch.randn(103, 2, generator=torch.Generator().manual_seed(0)) * 2 + 1
    model = toys.DiagonalGaussian(2)
    if os.environ.get("RANK") == "1":
        with torch.no_grad():
            model.loc += 1  # process 0's weights must win
    fit(model, data, MaximumLikelihood(), steps=30, batch_size=9, learning_rate=0.05, clip_norm=0.5, run_dir=out)


if __name__ == "__main__":
    main(Path(sys.argv[1]))

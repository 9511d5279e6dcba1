"""Two processes at the same global batch do what one does."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from probgen.training.checkpoint import load_tensors

SCRIPT = str(Path(__file__).with_name("run_distributed.py"))


def test_two_processes_train_as_one(tmp_path):
    subprocess.run([sys.executable, SCRIPT, str(tmp_path / "one")], check=True)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", SCRIPT]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*launch, str(tmp_path / "two")], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    one, two = (load_tensors(tmp_path / name / "model.safetensors") for name in ("one", "two"))
    for name, tensor in one.items():
        torch.testing.assert_close(tensor, two[name], atol=1e-6, rtol=0)

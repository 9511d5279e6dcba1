"""A game from the shell, killed with SIGKILL and resumed, ends with bitwise the same weights.

Shuffling, renewed dequantisation, fresh noise, a penalised critic, an average of the weights and a schedule are all on.
"""

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import torch

from probgen.training.checkpoint import load_tensors

OPTIONS = [
    *("train", "gan/mlp", "--data", "digits", "-o", "hidden=16", "-o", "noise_size=4", "--batch-size", "32"),
    *("-e", "loss=wasserstein-gp", "-e", "critic_steps=2", "-e", "critic_hidden=16"),
    *("--steps", "120", "--ema", "0.95", "--schedule", "cosine", "--checkpoint-every", "9", "--validate-every", "40"),
]


def start(*arguments):
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "probgen", *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(process):
    output, _ = process.communicate()
    assert process.returncode == 0, output


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    finish(start(*OPTIONS, "--run-dir", str(folder)))
    return load_tensors(folder / "model.safetensors")


def kill_and_resume(folder, times, chance):
    process = start(*OPTIONS, "--run-dir", str(folder))
    for _ in range(times):
        while process.poll() is None and not (folder / "metrics.csv").exists():
            time.sleep(0.01)
        time.sleep(chance.random() * 0.7)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        process = start("train", "--resume", str(folder))
    finish(process)
    return load_tensors(folder / "model.safetensors")


def assert_same(weights, reference):
    assert weights.keys() == reference.keys()
    for name, tensor in weights.items():
        assert torch.equal(tensor, reference[name]), name


def test_killed_once_and_resumed(tmp_path, reference):
    assert_same(kill_and_resume(tmp_path / "run", 1, random.Random(0)), reference)


@pytest.mark.slow
def test_killed_ten_times_and_resumed(tmp_path, reference):
    assert_same(kill_and_resume(tmp_path / "run", 10, random.Random(1)), reference)

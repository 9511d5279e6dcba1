"""Several processes that train together make one run; one that is killed can be resumed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
WORDS = "train toy/gaussian --data moons -d n=400 --batch-size 40 --checkpoint-every 20 --threads 1"


@pytest.fixture
def environment():
    paths = [str(ROOT), str(Path(__file__).parent / "installed"), os.environ.get("PYTHONPATH", "")]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}


@pytest.mark.slow
def test_two_processes_make_one_run(environment, tmp_path):
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words = [*torchrun, "-m", "probgen", *WORDS.split(), "--steps", "10"]
    run = subprocess.run(words, capture_output=True, text=True, check=False, env=environment, cwd=tmp_path, timeout=120)
    assert run.returncode == 0, run.stderr
    assert run.stdout.count("log_likelihood") == 1
    assert len(list((tmp_path / "runs").iterdir())) == 1


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(environment, tmp_path):
    def start(folder, *more):
        words = [sys.executable, "-m", "probgen", *(more or (*WORDS.split(), "--steps", "1500", "--run-dir", folder))]
        return subprocess.Popen(words, env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    assert start("whole").wait() == 0
    killed = start("killed")
    while not list((tmp_path / "killed").glob("checkpoints/stage-00-*")):
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (tmp_path / "killed" / "model.safetensors").exists()
    assert start("killed", "train", "--resume", "killed").wait() == 0
    whole, resumed = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "killed"))
    assert whole == resumed

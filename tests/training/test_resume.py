"""A run that was killed at any moment and resumed ends with the same weights, bit for bit."""

import os
import random
import resource
import signal
import subprocess
import sys
import time

import pytest
import torch
from torch import nn
from torch.distributions import constraints

from helpers import run_toy, toys
from probgen import CheckpointError, ConfigurationError, Density, MaximumLikelihood, fit
from probgen.errors import InterruptedRunError, RunError
from probgen.training.checkpoint import load_tensors
from probgen.training.metrics import read_metrics

CALLS = {"gan": 360, "rbm": 60, "stages": 60}
"""How often each toy's estimators are called in a whole run, validation left out."""


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Train here as the processes that are killed do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def command(name, folder, kill_at=-1):
    return [sys.executable, run_toy.__file__, name, str(folder), str(kill_at)]


def run_and_die(name, folder, kill_at):
    return subprocess.run(command(name, folder, kill_at), check=False).returncode


def finished(name, folder):
    run_toy.train(name, folder)
    return load_tensors(folder / "model.safetensors"), read_metrics(folder / "metrics.csv")


def assert_same_end(name, folder, reference):
    weights, metrics = finished(name, folder)
    assert weights.keys() == reference[0].keys()
    for key, tensor in weights.items():
        assert torch.equal(tensor, reference[0][key]), key
    # A window of training metrics may be cut in two by the kill; validation is the same to the last digit.
    assert [row for row in metrics if row.split == "valid"] == [row for row in reference[1] if row.split == "valid"]


@pytest.fixture(scope="module")
def references(tmp_path_factory):
    root = tmp_path_factory.mktemp("references")
    return {name: finished(name, root / name) for name in toys.NAMES}


@pytest.mark.parametrize("name", toys.NAMES)
def test_killed_once_and_resumed(name, tmp_path, references):
    assert run_and_die(name, tmp_path / "run", CALLS[name] // 2) == -signal.SIGKILL
    assert_same_end(name, tmp_path / "run", references[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", toys.NAMES)
def test_killed_ten_times_at_random_steps(name, tmp_path, references):
    chance = random.Random(name)
    for _ in range(10):
        folder = tmp_path / "run"
        assert run_and_die(name, folder, chance.randint(1, CALLS[name] // 8)) in (-signal.SIGKILL, 0)
    assert_same_end(name, folder, references[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", toys.NAMES)
def test_killed_from_outside_at_random_times(name, tmp_path, references):
    chance = random.Random(name)
    folder = tmp_path / "run"
    for _ in range(10):
        process = subprocess.Popen(command(name, folder), stderr=subprocess.DEVNULL)
        while process.poll() is None and not (folder / "metrics.csv").exists():
            time.sleep(0.005)
        time.sleep(chance.random() * 0.4)
        process.kill()
        process.wait()
    assert_same_end(name, folder, references[name])


def test_without_the_chains_the_end_differs(tmp_path, references, monkeypatch):
    """The wrong twin: a checkpoint that forgets the estimator's state does not resume exactly."""
    from probgen.training.stage_run import StageRun

    assert run_and_die("rbm", tmp_path / "run", 40) == -signal.SIGKILL
    restore = StageRun.restore

    def forgetful(self, tensors):
        fresh = self.state
        restore(self, tensors)
        self.state = fresh

    monkeypatch.setattr(StageRun, "restore", forgetful)
    model, recipe = toys.make("rbm")
    fit(model, toys.data("rbm"), recipe=recipe, run_dir=tmp_path / "run", resume=True, **run_toy.OPTIONS)
    assert not torch.equal(model.weight, references["rbm"][0]["weight"])


def short_run(folder, **changes):
    model, recipe = toys.make("rbm")
    options = {"run_dir": folder, "steps": 20, "checkpoint_every": 5, "progress": False, **changes}
    return fit(model, toys.data("rbm"), recipe=recipe, **options)


def test_a_finished_run_resumes_to_itself(tmp_path):
    first = short_run(tmp_path / "run")
    again = short_run(tmp_path / "run", resume=True)
    assert again.steps == {}
    assert torch.equal(first.model.weight, again.model.weight)
    assert len(again.history) == len(first.history)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    short_run(tmp_path / "run")
    with pytest.raises(ConfigurationError, match="expected a run folder without a run in it"):
        short_run(tmp_path / "run")


def test_other_options_are_refused(tmp_path):
    short_run(tmp_path / "run")
    with pytest.raises(CheckpointError, match=r"made with seed 1; got one made with 0"):
        short_run(tmp_path / "run", resume=True, seed=1)


@pytest.mark.parametrize("damage", ["truncate", "alter", "tensors", "no file"])
def test_a_damaged_checkpoint_is_named_and_nothing_is_lost(tmp_path, damage):
    short_run(tmp_path / "run")
    newest = max((tmp_path / "run" / "checkpoints").iterdir())
    tensors, values = newest / "tensors.safetensors", newest / "checkpoint.json"
    if damage == "truncate":
        tensors.write_bytes(tensors.read_bytes()[:-10])
    elif damage == "alter":
        values.write_text(values.read_text().replace('"step": 0', '"step": 1'))
    elif damage == "tensors":
        content = bytearray(tensors.read_bytes())
        content[-1] ^= 1
        tensors.write_bytes(bytes(content))
    else:
        tensors.unlink()
    before = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    with pytest.raises(CheckpointError, match=f"whole checkpoint at .*{newest.name}"):
        short_run(tmp_path / "run", resume=True)
    assert before == sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())


def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    whole = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill_the_disk(event):
        if event.kind == "checkpoint" and event.step == 10:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1500, whole[1]))

    try:
        with pytest.raises(RunError, match="File too large"):
            short_run(tmp_path / "run", callbacks=[fill_the_disk], log_every=20)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, whole)
    kept = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert kept == ["stage-00-step-000000005", "stage-00-step-000000010"]
    resumed = short_run(tmp_path / "run", resume=True)
    assert torch.equal(resumed.model.weight, short_run(tmp_path / "other").model.weight)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_says_so(tmp_path, number):
    def interrupt(event):
        if event.kind == "log" and event.step == 8:
            os.kill(os.getpid(), number)

    with pytest.raises(InterruptedRunError, match=f"stopped by signal {int(number)} after step 8 of 20") as caught:
        short_run(tmp_path / "run", callbacks=[interrupt], log_every=4)
    assert caught.value.exit_code == 128 + number
    resumed = short_run(tmp_path / "run", resume=True)
    assert torch.equal(resumed.model.weight, short_run(tmp_path / "other").model.weight)


def test_a_signal_at_the_last_step_finishes_and_saves_first(tmp_path):
    def interrupt(event):
        if event.kind == "log" and event.step == 20:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError, match="after stage 'main'; everything is saved") as caught:
        short_run(tmp_path / "run", callbacks=[interrupt], log_every=20)
    assert caught.value.exit_code == 143
    resumed = short_run(tmp_path / "run", resume=True)
    assert torch.equal(resumed.model.weight, short_run(tmp_path / "other").model.weight)


class Turned(nn.Module, Density):
    """A Gaussian whose parameter and gradient are laid out differently in memory, with buffers and dropout around it."""

    def __init__(self):
        super().__init__()
        self.event_shape, self.context_shape, self.support = torch.Size([6]), None, constraints.real
        self.weight = nn.Parameter(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)).t())
        self.norm, self.dropout = nn.BatchNorm1d(6), nn.Dropout(0.2)

    def _log_prob(self, x, context):
        code = self.dropout(self.norm(x)) @ self.weight.permute(1, 0)
        return -(x - code @ self.weight).square().sum(-1)


def test_parameters_of_any_layout_resume_exactly(tmp_path):
    def run(folder, **changes):
        data = torch.randn(60, 6, generator=torch.Generator().manual_seed(1))
        options = {"steps": 24, "batch_size": 10, "checkpoint_every": 5, "ema": 0.9, "patience": 50, **changes}
        return fit(Turned(), data, MaximumLikelihood(), run_dir=folder, **options).model.state_dict()

    def interrupt(event):
        if event.kind == "checkpoint" and event.step == 10:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(InterruptedRunError):
        run(tmp_path / "run", callbacks=[interrupt])
    resumed, whole = run(tmp_path / "run", resume=True), run(tmp_path / "whole")
    for name, tensor in whole.items():
        assert torch.equal(tensor, resumed[name]), name


def test_a_run_killed_before_its_description_is_written_resumes(tmp_path):
    short_run(tmp_path / "run")
    for name in ("model.safetensors", "model.json"):
        (tmp_path / "run" / name).unlink()
    short_run(tmp_path / "run", resume=True)
    assert (tmp_path / "run" / "model.json").exists()
    assert (tmp_path / "run" / "model.safetensors").exists()

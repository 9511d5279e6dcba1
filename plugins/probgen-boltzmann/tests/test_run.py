"""A machine too large to be exact through training, a crash and resuming, evaluation, and the shell."""

from __future__ import annotations

import csv

import numpy as np
import pytest
import torch

import probgen
from probgen.cli import main


class Crashed(Exception):
    """What stops a run in these tests."""


def train(folder, **options):
    torch.manual_seed(1)
    model = probgen.build("boltzmann/rbm", "digits", hidden=21, centered=True, temperatures=40, burn_in=20)
    probgen.fit(model, "digits", steps=30, checkpoint_every=10, run_dir=folder, progress=False, **options)
    return model


def crash(event):
    if event.kind == "checkpoint" and event.step == 20:
        raise Crashed


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    return folder, train(folder)


def test_crashed_and_resumed_it_is_bitwise_the_same(tmp_path, run):
    """Chains and offsets are in the checkpoint: the weights would differ without either."""
    with pytest.raises(Crashed):
        train(tmp_path / "run", callbacks=[crash])
    resumed, whole = train(tmp_path / "run", resume=True).state_dict(), run[1].state_dict()
    assert resumed.keys() == whole.keys() == {"weight", "visible_bias", "hidden_bias", "base_bias"}
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)


def test_it_is_loaded_by_name(run):
    loaded = probgen.load(run[0])
    assert loaded.centered
    assert torch.equal(loaded.weight, run[1].weight)


def test_its_likelihood_is_an_estimate_with_an_error(run):
    model = run[1]
    evaluation = probgen.evaluate(model, "digits", metrics=["likelihood"], num_particles=100)
    metric = evaluation["log_likelihood"]
    assert (metric.kind, evaluation["bits_per_dim"].kind) == ("estimate", "estimate")
    assert "annealed importance sampling, 100 chains of 40 steps" in metric.note
    assert "errs upwards" in metric.note
    assert (
        evaluation.to_json()["metrics"]
        == (probgen.evaluate(model, "digits", metrics=["likelihood"], num_particles=100).to_json()["metrics"])
    )


def test_a_small_one_is_exact():
    model = probgen.build("boltzmann/rbm", "digits", hidden=6)
    metric = probgen.evaluate(model, "digits", metrics=["likelihood"], max_examples=20)["log_likelihood"]
    assert metric.kind == "exact"


def test_the_shell(tmp_path, capsys):
    data, folder = tmp_path / "bits.npy", tmp_path / "run"
    np.save(data, (np.random.default_rng(0).random((120, 24)) < 0.3).astype(np.uint8))
    options = ["-o", "hidden=21", "-o", "temperatures=40", "-o", "burn_in=20", "--steps", "20"]
    assert main(["train", "boltzmann/rbm", "--data", str(data), *options, "--run-dir", str(folder)]) == 0
    assert main(["sample", str(folder), "-n", "3", "--out", str(tmp_path / "draws.npz")]) == 0
    assert main(["evaluate", str(folder), "--num-particles", "50"]) == 0
    assert "annealed importance sampling, 50 chains of 40 steps" in capsys.readouterr().out

    scores = tmp_path / "scores.csv"
    assert main(["score", str(folder), "--data", str(data), "--out", str(scores)]) == 0
    with scores.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120
    assert {row["kind"] for row in rows} == {"estimate"}
    assert all(float(row["log_likelihood_estimate"]) < 0 for row in rows)

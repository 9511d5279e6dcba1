"""The parts of the trainer by themselves: streams, schedules, averages, metrics, checkpoints, atomic files, saved models."""

import math
import os

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from probgen import CheckpointError, ConfigurationError
from probgen.files import write_atomically
from probgen.streams import epoch_order, preserved_streams, seeded_streams, stream_seed
from probgen.training.averaging import WeightAverage
from probgen.training.checkpoint import Checkpoint, load_tensors, read_latest, save_tensors, write_checkpoint
from probgen.training.metrics import MetricRow, MetricsLog, read_metrics
from probgen.training.optimizers import make_optimizer, schedule_factor
from probgen.training.recipe import OptimizerSettings
from probgen.training.saving import load, save

# ---------------------------------------------------------------------------------------------------------------- streams


def test_streams_differ_by_seed_purpose_and_counter():
    seeds = {stream_seed(s, purpose, c) for s in range(5) for purpose in ("noise", "order") for c in range(50)}
    assert len(seeds) == 500


@given(size=st.integers(1, 50), epoch=st.integers(0, 5))
def test_an_epoch_visits_every_example_once(size, epoch):
    assert sorted(epoch_order(0, "order", epoch, size).tolist()) == list(range(size))


def test_streams_are_put_back():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    with seeded_streams(0, "validation", 3):
        first = torch.rand(4)
    with preserved_streams():
        torch.rand(7)
    assert torch.equal(before, torch.get_rng_state())
    with seeded_streams(0, "validation", 3):
        assert torch.equal(first, torch.rand(4))


# ------------------------------------------------------------------------------------------------------------- optimisers


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd", "rmsprop"])
def test_each_optimizer_descends(name):
    parameter = nn.Parameter(torch.tensor([3.0]))
    optimizer = make_optimizer([parameter], OptimizerSettings(name=name, learning_rate=0.01))
    for _ in range(20):
        parameter.grad = 2 * parameter.detach()
        optimizer.step()
    assert abs(parameter.item()) < 3.0


def test_iwae_staircase_spends_three_times_longer_on_each_rate():
    factors = [schedule_factor("steps", step, 3280) for step in range(3280)]
    lengths = [factors.count(10 ** (-i / 7)) for i in range(8)]
    assert lengths == [3**i for i in range(8)]


@pytest.mark.parametrize("schedule", ["linear", "cosine"])
def test_schedules_go_from_one_to_zero(schedule):
    factors = [schedule_factor(schedule, step, 100) for step in range(101)]
    assert factors[0] == 1
    assert factors[-1] == pytest.approx(0, abs=1e-12)
    assert factors == sorted(factors, reverse=True)


def test_an_unknown_optimizer_or_schedule():
    with pytest.raises(ConfigurationError, match="adam, adamw, sgd or rmsprop"):
        make_optimizer([nn.Parameter(torch.zeros(1))], OptimizerSettings(name="lion"))
    with pytest.raises(ConfigurationError, match="constant, cosine"):
        schedule_factor("zigzag", 0, 1)


def test_the_average_follows_its_formula():
    parameter = nn.Parameter(torch.tensor([0.0]))
    average = WeightAverage({"a": parameter}, 0.5)
    expected = 0.0
    for step in range(5):
        with torch.no_grad():
            parameter += 1
        average.update(step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * parameter.item()
    assert average.state()["a"].item() == pytest.approx(expected)
    with average.applied():
        assert parameter.item() == pytest.approx(expected)
    assert parameter.item() == 5


# ---------------------------------------------------------------------------------------------------------------- metrics


def row(step, stage="main", value=0.5):
    return MetricRow(stage, step, step / 10, "train", "main", "loss", value)


def test_metrics_are_kept_and_rewound(tmp_path):
    log = MetricsLog(tmp_path / "metrics.csv")
    log.append([row(1), row(2, value=math.inf)])
    log.append([row(1, stage="second")])
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("second,2,0.2,train,main,lo")
    assert read_metrics(tmp_path / "metrics.csv") == log.rows
    again = MetricsLog(tmp_path / "metrics.csv")
    again.rewind(["main", "second"], 0, 1)
    assert again.rows == read_metrics(tmp_path / "metrics.csv") == [row(1)]


# ------------------------------------------------------------------------------------------------------------ checkpoints


def test_tied_and_non_contiguous_tensors_survive(tmp_path):
    base = torch.arange(12.0).reshape(3, 4)
    tensors = {
        "a": base,
        "tied": base,
        "turned": base.T,
        "part": base[1:],
        "empty": torch.zeros(0),
        "scalar": torch.tensor(3),
    }
    save_tensors(tmp_path / "t.safetensors", tensors)
    loaded = load_tensors(tmp_path / "t.safetensors")
    assert loaded.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert torch.equal(loaded[name], tensor), name
    assert (tmp_path / "t.safetensors").stat().st_size < 4 * 12 * 4 + 1000


def test_only_the_newest_checkpoints_stay(tmp_path):
    for step in (1, 20, 3):
        write_checkpoint(tmp_path, Checkpoint(0, step, {"model.a": torch.tensor(step)}, {}))
    newest = read_latest(tmp_path)
    assert (newest.step, newest.tensors["model.a"].item()) == (20, 20)
    write_checkpoint(tmp_path, Checkpoint(1, 0, {}, {}))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["stage-00-step-000000020", "stage-01-step-000000000"]


def test_what_a_killed_process_left_is_swept_away(tmp_path):
    (tmp_path / ".stage-00-step-000000007.123").mkdir()
    assert read_latest(tmp_path) is None
    write_checkpoint(tmp_path, Checkpoint(0, 1, {}, {}))
    assert [path.name for path in tmp_path.iterdir()] == ["stage-00-step-000000001"]


def test_writing_is_all_or_nothing(tmp_path):
    path = tmp_path / "file.txt"
    write_atomically(path, "old")

    def fail(temporary):
        temporary.write_text("half")
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_atomically(path, fail)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file.txt"]


# ----------------------------------------------------------------------------------------------------------- saved models


def test_a_model_made_by_hand_needs_one_like_it(tmp_path):
    save(nn.Linear(2, 3), tmp_path)
    with pytest.raises(CheckpointError, match="made by hand"):
        load(tmp_path)
    with pytest.raises(CheckpointError, match="size mismatch"):
        load(tmp_path, nn.Linear(2, 4))
    assert not load(tmp_path, nn.Linear(2, 3)).training


def test_loading_nothing_and_a_damaged_file(tmp_path):
    with pytest.raises(CheckpointError, match=r"no model.safetensors there. Check the path"):
        load(tmp_path)
    save(nn.Linear(2, 3), tmp_path)
    weights = tmp_path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:20])
    with pytest.raises(CheckpointError, match="whole safetensors file"):
        load(tmp_path, nn.Linear(2, 3))
    (tmp_path / "model.json").write_text("{")
    with pytest.raises(CheckpointError, match=r"whole model.json"):
        load(tmp_path)

"""An evaluation can be looked up, printed, and written so that a crash never leaves half of it."""

from __future__ import annotations

import json

import pytest

from probgen.errors import DataError, UnknownNameError
from probgen.evaluation import Evaluation, Metric


@pytest.fixture
def evaluation() -> Evaluation:
    metrics = (
        Metric("elbo", -93.21834, "lower bound", "nats", 0.2345, 1000, "with 5 draws"),
        Metric("mmd_p_value", 0.25, "estimate", "probability", None, 20),
    )
    return Evaluation(metrics, "latent/vae", "digits", "binary", "test", 3, 1.5, notes=("c2st is left out: no reason",))


def test_json_holds_each_metric_with_all_that_it_carries(evaluation):
    fields = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert set(fields) == {"metrics", "model", "data", "view", "split", "seed", "seconds", "notes"}
    assert all(set(metric) == {"name", "value", "kind", "unit", "stderr", "n", "note"} for metric in fields["metrics"])


def test_metrics_are_found_by_name(evaluation):
    assert evaluation["elbo"].n == 1000
    assert "elbo" in evaluation
    assert [metric.name for metric in evaluation] == ["elbo", "mmd_p_value"]
    assert len(evaluation) == 2
    with pytest.raises(UnknownNameError, match="Did you mean 'elbo'"):
        evaluation["elbow"]


def test_table_shows_errors_to_two_digits_and_says_the_notes(evaluation):
    lines = evaluation.table().splitlines()
    assert lines[0].split() == ["name", "value", "unit", "kind", "n"]
    assert lines[1].split() == ["elbo", "-93.22", "±", "0.23", "nats", "lower", "bound", "1000"]
    assert lines[2].split() == ["mmd_p_value", "0.25", "probability", "estimate", "20"]
    assert lines[4:] == ["elbo: with 5 draws.", "c2st is left out: no reason."]
    assert str(evaluation) == evaluation.table()


def test_saved_evaluation_comes_back(evaluation, tmp_path):
    path = tmp_path / "evaluation.json"
    evaluation.save(path)
    assert Evaluation.load(path) == evaluation
    assert [file.name for file in tmp_path.iterdir()] == ["evaluation.json"]


def test_failed_save_leaves_the_old_file_and_nothing_else(evaluation, tmp_path, monkeypatch):
    path = tmp_path / "evaluation.json"
    path.write_text("old", encoding="utf-8")

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        evaluation.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["evaluation.json"]
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"metrics": [{"name": "x"}], "notes": []}'])
def test_other_files_are_refused(content, tmp_path):
    path = tmp_path / "evaluation.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="expected the JSON of an evaluation"):
        Evaluation.load(path)

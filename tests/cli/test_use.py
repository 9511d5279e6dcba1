"""`sample`, `score`, `evaluate` and `compare`: what one does with a finished run."""

from __future__ import annotations

import csv
import io
import json
import shutil

import numpy as np
import pytest
import torch

from probgen import as_source, build, evaluate, fit, load


def table_of(text):
    return list(csv.reader(io.StringIO(text)))


class TestSample:
    def test_a_table_on_standard_output(self, probgen, finished):
        code, output, errors = probgen(f"sample {finished} -n 5")
        rows = table_of(output)
        assert (code, errors) == (0, "")
        assert rows[0] == ["x", "y"]
        assert len(rows) == 6
        assert all(np.isfinite(float(cell)) for row in rows[1:] for cell in row)

    def test_it_has_the_datas_headings_and_units(self, probgen, labelled, table, tmp_path):
        assert probgen(f"sample {labelled} -n 200 --context a --out draws.csv")[0] == 0
        rows = table_of((tmp_path / "draws.csv").read_text())
        assert rows[0] == ["length [m]", "speed", "label"]
        assert {row[2] for row in rows[1:]} == {"a"}
        # After a dozen steps the model is about where it began: at the mean and with the spread of all lengths.
        lengths = np.array([float(row[0]) for row in rows[1:]])
        data = as_source(table, label="kind").splits["train"][:, 0]
        assert abs(lengths.mean() - float(data.mean())) < float(data.std())
        assert 0.5 < lengths.std() / float(data.std()) < 2

    def test_an_archive(self, probgen, labelled, tmp_path):
        assert probgen(f"sample {labelled} -n 4 --context 2,0 --out draws.npz")[0] == 0
        with np.load(tmp_path / "draws.npz", allow_pickle=False) as archive:
            assert archive["samples"].shape == (8, 2)
            assert archive["labels"].tolist() == [2] * 4 + [0] * 4

    def test_a_picture(self, probgen, finished, tmp_path):
        assert probgen(f"sample {finished} -n 30 --out draws.png")[0] == 0
        assert (tmp_path / "draws.png").read_bytes().startswith(b"\x89PNG")

    def test_the_data_may_be_gone(self, probgen, labelled, table, tmp_path):
        run = tmp_path / "run"
        shutil.copytree(labelled, run)
        expected = probgen(f"sample {run} -n 5 --context a")[1]
        config = json.loads((run / "config.json").read_text())
        (run / "config.json").write_text(json.dumps({**config, "data": str(tmp_path / "gone.csv")}))
        assert probgen(f"sample {run} -n 5 --context a") == (0, expected, "")
        assert "labels from 0 to 2 or a, b, c" in probgen(f"sample {run} -n 5")[2]
        code, _, errors = probgen(f"sample {run} -n 5 --context a --out draws.png")
        assert code == 2
        assert "gone.csv" in errors
        (run / "view.json").write_text("{}")
        code, _, errors = probgen(f"sample {run} -n 5 --context a")
        assert code == 2
        assert "view.json" in errors

    def test_the_seed_decides(self, probgen, finished):
        first, again, other = (probgen(f"sample {finished} -n 3 --seed {seed}")[1] for seed in (1, 1, 2))
        assert first == again != other

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("--out draws.pdf", ".npz or .png or .csv"),
            ("--out nowhere/draws.csv", "nowhere"),
            ("--out /proc/self/draws.csv", "expected --out in a folder that can be written; got /proc/self/draws.csv"),
            ("--context 0", "not conditional"),
            ("-n 0", "-n"),
        ],
    )
    def test_refusals(self, probgen, finished, tmp_path, words, said):
        code, _, errors = probgen(f"sample {finished} {words}")
        assert code == 2
        assert said in errors
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("words", ["", "--context d", "--context 3", "--context -1"])
    def test_labels_out_of_range(self, probgen, labelled, words):
        code, _, errors = probgen(f"sample {labelled} {words}")
        assert code == 2
        assert "labels from 0 to 2 or a, b, c" in errors or "No such option" in errors


class TestWriting:
    """What is there stays unless --force says otherwise, whatever writes it."""

    @pytest.mark.parametrize(
        ("words", "name"),
        [
            ("sample {run} -n 3 --out", "draws.csv"),
            ("sample {run} -n 3 --out", "draws.npz"),
            ("sample {run} -n 3 --out", "draws.png"),
            ("score {run} --data moons --split test --out", "scores.csv"),
            ("check maximum-likelihood --only pure --card", "card.md"),
        ],
    )
    def test_a_file_is_replaced_only_by_force(self, probgen, finished, tmp_path, words, name):
        path = tmp_path / name
        path.write_text("years of work")
        line = f"{words.format(run=finished)} {name}"
        code, _, errors = probgen(line)
        assert code == 2
        assert f"to be a new file; got {name}, which exists. Add --force to replace it." in errors
        assert path.read_text() == "years of work"
        assert probgen(f"{line} --force")[0] == 0
        assert path.read_bytes() != b"years of work"

    def test_a_folder_is_no_file(self, probgen, finished, tmp_path):
        (tmp_path / "draws.csv").mkdir()
        code, _, errors = probgen(f"sample {finished} --out draws.csv --force")
        assert code == 2
        assert "got draws.csv, a folder" in errors


class TestScore:
    def test_every_row_in_order_and_in_the_datas_units(self, probgen, labelled, table, tmp_path):
        code, _, errors = probgen(f"score {labelled} --data {table} --out scores.csv")
        assert code == 0, errors
        heading, *rows = table_of((tmp_path / "scores.csv").read_text())
        assert heading == ["index", "log_likelihood", "kind", "split"]
        assert [int(row[0]) for row in rows] == list(range(300))
        assert {row[2] for row in rows} == {"exact"}
        model, view = load(labelled), as_source(table, label="kind").view("real", context="label")
        batch = view.split("test").all()
        expected = model.log_prob(batch.x, batch.context) + view.log_abs_det(batch.x)
        scored = [float(row[1]) for row in rows if row[3] == "test"]
        assert torch.allclose(expected, torch.tensor(scored), atol=1e-5)

    def test_other_data_keep_the_scales_of_the_runs_own(self, probgen, finished, tmp_path):
        points = as_source("moons", n=300).splits["test"]
        lines = ["x,y", *(f"{x:.9g},{y:.9g}" for x, y in (100 * points).tolist()[:20] + points.tolist()[:20])]
        (tmp_path / "points.csv").write_text("\n".join(lines))
        assert probgen(f"score {finished} --data points.csv --out scores.csv")[0] == 0
        scores = np.array([float(row[1]) for row in table_of((tmp_path / "scores.csv").read_text())[1:]])
        view = as_source("moons", n=300).view("real")
        batch = view.split("test").batch(torch.arange(20))
        expected = load(finished).log_prob(batch.x) + view.log_abs_det(batch.x)
        np.testing.assert_allclose(scores[20:], expected.detach().numpy(), atol=1e-4)
        assert scores[:20].mean() < scores[20:].mean() - 1000

    def test_a_split(self, probgen, finished, tmp_path):
        assert probgen(f"score {finished} --data moons --split valid --out scores.csv")[0] == 0
        assert {row[3] for row in table_of((tmp_path / "scores.csv").read_text())[1:]} == {"valid"}

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("--data moons --out scores.txt", ".csv"),
            ("--data digits --out scores.csv", "shape"),
            ("--data moons --out scores.csv --split tset", "test"),
            ("--data moons --out /proc/self/scores.csv", "a folder that can be written"),
            ("--data ./nowhere.csv --out scores.csv", "nowhere.csv"),
        ],
    )
    def test_refusals(self, probgen, finished, tmp_path, words, said):
        code, _, errors = probgen(f"score {finished} {words}")
        assert code == 2
        assert said in errors
        assert list(tmp_path.iterdir()) == []


class TestEvaluate:
    def test_as_json(self, probgen, finished):
        code, output, _ = probgen(f"evaluate {finished} --json")
        metrics = {metric["name"]: metric for metric in json.loads(output)["metrics"]}
        assert code == 0
        assert metrics["log_likelihood"]["kind"] == "exact"
        assert metrics["log_likelihood"]["unit"] == "nats"
        assert metrics["log_likelihood"]["n"] == 30
        assert json.loads((finished / "evaluation.json").read_text())["metrics"] == json.loads(output)["metrics"]

    def test_in_words_on_another_split(self, probgen, finished):
        code, output, _ = probgen(f"evaluate {finished} --split valid")
        assert code == 0
        assert "log_likelihood" in output

    def test_other_data(self, probgen, finished):
        own = json.loads(probgen(f"evaluate {finished} --json")[1])
        other = json.loads(probgen(f"evaluate {finished} --data circles -d n=200 --json")[1])
        assert other["data"] == "circles"
        assert other["metrics"][0]["value"] != own["metrics"][0]["value"]

    def test_runs_that_are_none(self, probgen, tmp_path):
        (tmp_path / "empty").mkdir()
        for folder in ("nowhere", "empty"):
            for command in (f"evaluate {folder}", f"sample {folder}", f"score {folder} --data moons --out s.csv"):
                code, _, errors = probgen(command)
                assert code == 2
                assert folder in errors

    def test_an_unfinished_run(self, probgen, finished, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "config.json").write_bytes((finished / "config.json").read_bytes())
        code, _, errors = probgen("evaluate run")
        assert code == 2
        assert "Resume" in errors


class TestCompare:
    def test_side_by_side(self, probgen, finished):
        code, output, _ = probgen(f"compare {finished} {finished}")
        assert code == 0
        assert "log_likelihood [nats]" in output
        assert "not comparable" not in output

    def test_runs_on_other_data_are_marked(self, probgen, finished, labelled):
        code, output, _ = probgen(f"compare {finished} {labelled}")
        assert code == 0
        assert "boats *" in output
        assert "not comparable" in output

    def test_as_json(self, probgen, finished, labelled):
        found = json.loads(probgen(f"compare {finished} {labelled} --json")[1])
        assert found["comparable"] is False
        assert [run["comparable"] for run in found["runs"]] == [True, False]
        assert found["runs"][0]["metrics"][0]["name"] == "log_likelihood"
        assert [run["context"] for run in found["runs"]] == [None, "label"]
        assert found["runs"][0]["stages"][0]["estimator"] == "maximum-likelihood"

    def test_what_each_run_used(self, probgen, finished, labelled):
        rows = {line.split("  ")[0]: line for line in probgen(f"compare {finished} {labelled}")[1].splitlines()}
        assert rows["context"].split() == ["context", "none", "label"]
        assert rows["estimator"].split() == ["estimator"] + 2 * ["maximum-likelihood"]
        assert rows["batch size"].split() == ["batch", "size", "50", "50"]
        assert rows["learning rate"].split() == ["learning", "rate"] + 2 * ["0.001,", "adam"]
        assert rows["seed"].split() == ["seed", "0", "0"]
        (chosen,) = {json.loads((run / "config.json").read_text())["training"]["execution"] for run in (finished, labelled)}
        assert rows["execution"].split() == ["execution", chosen, chosen]
        assert rows["budget"].split() == ["budget", "12", "steps", "12", "steps"]

    def test_likelihoods_come_first(self, probgen, finished, tmp_path):
        evaluation = json.loads((finished / "evaluation.json").read_text())
        metrics = [metric for metric in evaluation["metrics"] if metric["unit"] != "nats"]
        extra = {
            "kind": "estimate",
            "unit": "share",
            "stderr": None,
            "n": 9,
            "note": "",
            "value": 0.5,
            "name": "c2st_accuracy",
        }
        (tmp_path / "draws-only").mkdir()
        (tmp_path / "draws-only" / "evaluation.json").write_text(json.dumps({**evaluation, "metrics": [*metrics, extra]}))
        output = probgen(f"compare draws-only {finished}")[1]
        assert output.index("log_likelihood [nats]") < output.index("c2st_accuracy")

    def test_another_context_makes_figures_of_something_else(self, probgen, labelled, tmp_path):
        copy = tmp_path / "marginal"
        copy.mkdir()
        config = json.loads((labelled / "config.json").read_text())
        (copy / "config.json").write_text(json.dumps({**config, "context": None}))
        (copy / "evaluation.json").write_bytes((labelled / "evaluation.json").read_bytes())
        assert "marginal *" in probgen(f"compare {labelled} {copy}")[1]

    def test_runs_that_noted_nothing(self, probgen, finished, tmp_path):
        for name, config in (("older", {"stages": ()}), ("made-by-hand", None)):
            (tmp_path / name).mkdir()
            (tmp_path / name / "evaluation.json").write_bytes((finished / "evaluation.json").read_bytes())
            if config is not None:
                kept = {**json.loads((finished / "config.json").read_text()), **config}
                (tmp_path / name / "config.json").write_text(json.dumps(kept))
        code, output, _ = probgen("compare older made-by-hand")
        assert code == 0
        assert "estimator" not in output

    def test_refusals(self, probgen, tmp_path):
        (tmp_path / "run").mkdir()
        assert "does not exist" in probgen("compare nowhere")[2]
        assert "`probgen train` makes runs" in probgen("compare run")[2]
        (tmp_path / "run" / "config.json").write_text("{}")
        assert "--resume run" in probgen("compare run")[2]
        (tmp_path / "run" / "config.json").unlink()
        (tmp_path / "run" / "evaluation.json").write_text("{}")
        assert probgen("compare run")[0] == 2


class TestGallery:
    def test_a_page_and_its_picture(self, probgen, finished, tmp_path):
        code, output, errors = probgen(f"gallery {finished} {finished} --out both.html")
        assert (code, errors.strip()) == (0, "2 models in both.html, samples in both.png")
        assert output.count(f"toy/gaussian, {finished}") == 2
        code, _, errors = probgen(f"gallery {finished} --out both.html")
        assert code == 2
        assert "both.html, which exists. Add --force" in errors
        assert probgen(f"gallery {finished} --out both.html --force")[0] == 0
        assert (tmp_path / "both.png").read_bytes().startswith(b"\x89PNG")
        assert "toy/gaussian" in (tmp_path / "both.html").read_text()

    def test_runs_of_one_model_are_called_by_their_folders(self, probgen, finished, tmp_path):
        shutil.copytree(finished, tmp_path / "again")
        code, output, _ = probgen(f"gallery {finished} again --out deep/below/both.html")
        assert code == 0
        page = (tmp_path / "deep" / "below" / "both.html").read_text()
        for name in (f"toy/gaussian, {finished.name}", "toy/gaussian, again"):
            assert name in output
            assert name in page

    def test_figures_of_different_things_stand_in_tables_of_their_own(self, probgen, labelled, table, tmp_path):
        words = f"train toy/gaussian --data {table} -d label=kind --steps 12 --run-dir marginal --threads 1"
        assert probgen(words)[0] == 0
        code, output, _ = probgen(f"gallery {labelled} marginal --out both.html")
        assert code == 0
        tables = output.split("Of the data in their own units")
        assert len(tables) == 3
        assert [" marginal " in each for each in tables[1:]] == ["given the label" not in each for each in tables[1:]]
        assert (tmp_path / "both.html").read_text().count("<strong>held-out data</strong>") == 1

    def test_a_run_that_python_made(self, probgen, finished, tmp_path):
        model = build("toy/gaussian", "moons")
        fit(model, "moons", steps=2, run_dir="mine")
        for command in ("gallery mine --out page.html", "compare mine"):
            code, _, errors = probgen(command)
            assert code == 2
            assert "probgen.fit made it in Python: judge it there, probgen.evaluate(model, data).save('mine/ev" in errors
        evaluate(model, "moons", metrics=["likelihood"]).save("mine/evaluation.json")
        assert probgen(f"compare mine {finished}")[0] == 0
        for command in ("gallery mine --out page.html", "sample mine", "train --resume mine"):
            code, _, errors = probgen(command)
            assert code == 2
            assert "probgen.fit made in Python and which has no config.json" in errors
        assert "--resume" not in probgen("train toy/gaussian --data moons --run-dir mine")[2]

    def test_conditional_models_show_every_label(self, probgen, labelled):
        assert probgen(f"gallery {labelled} --out one.html")[0] == 0

    def test_refusals(self, probgen, finished, labelled, tmp_path):
        assert "one data set" in probgen(f"gallery {finished} {labelled} --out both.html")[2]
        assert probgen(f"gallery {finished} --out page.pdf")[0] == 2
        assert probgen("gallery nowhere --out page.html")[0] == 2
        assert not list(tmp_path.glob("*.html"))

"""`probgen train`: what a run leaves, how it is described, and how it is refused."""

from __future__ import annotations

import json

import pytest

from probgen import load
from probgen.cli import main, running
from probgen.files import only_one

QUICK = "--data moons -d n=200 --steps 8 --batch-size 40 --threads 1"


class TestRunFolder:
    def test_it_holds_everything(self, finished):
        names = {path.name for path in finished.iterdir()}
        assert {"config.json", "metrics.csv", "model.safetensors", "evaluation.json", "report.html"} <= names
        assert {"samples.png", "curves.png"} <= names
        assert not [name for name in names if name.startswith(".")]

    def test_its_configuration(self, finished):
        config = json.loads((finished / "config.json").read_text())
        assert (config["model"], config["data"], config["data_options"]) == ("toy/gaussian", "moons", {"n": 300})
        assert config["model_options"] == {"scale": 1.0, "fault": "none"}
        assert (config["training"]["steps"], config["training"]["threads"]) == (12, 1)
        assert config["versions"]["probgen-toys"] == "0.3"
        assert {"python", "probgen", "torch"} <= set(config["versions"])
        assert config["command"].startswith("probgen train toy/gaussian --data moons")

    def test_it_says_what_was_really_used(self, finished):
        (stage,) = json.loads((finished / "config.json").read_text())["stages"]
        assert (stage["name"], stage["estimator"], stage["estimator_options"]) == ("main", "maximum-likelihood", {})
        assert (stage["steps"], stage["epochs"], stage["batch_size"]) == (12, None, 50)
        assert stage["optimizers"]["*"]["learning_rate"] == 0.001

    def test_no_batch_is_larger_than_the_data(self, probgen, tmp_path):
        words = "train toy/gaussian --data moons -d n=50 --steps 2 --batch-size 1000 --lr 0.01 --threads 1 --run-dir run"
        assert probgen(words)[0] == 0
        (stage,) = json.loads((tmp_path / "run" / "config.json").read_text())["stages"]
        assert stage["batch_size"] == 40
        assert stage["optimizers"]["*"]["learning_rate"] == 0.01

    def test_curves_say_whose_nats_they_are_in(self, finished):
        assert "log_prob [nats of view &#x27;real&#x27;]" in (finished / "report.html").read_text()

    def test_each_phase_is_drawn_as_what_it_estimates(self, probgen, monkeypatch):
        drawn = []
        monkeypatch.setattr(running, "draw_pictures", lambda *given, **_: drawn.append(given[4]))
        assert probgen(f"train flows/realnvp --estimator adversarial {QUICK}")[0] == 0
        (values,) = drawn
        assert values == {("main", "critic"): "minimax [nats]", ("main", "generator"): "non-saturating [nats]"}

    def test_its_model_loads(self, finished):
        assert load(finished).event_shape == (2,)

    def test_each_number_says_what_it_is(self, finished):
        for metric in json.loads((finished / "evaluation.json").read_text())["metrics"]:
            assert {"name", "value", "kind", "unit", "stderr", "n"} <= set(metric)

    def test_by_default_it_is_named_by_day_model_and_data(self, probgen, tmp_path):
        for ending in ("", "-2"):
            code, output, _ = probgen(f"train toy/gaussian {QUICK}")
            assert code == 0
            (folder,) = tmp_path.glob(f"runs/20*-toy-gaussian-moons{ending}")
            assert str(folder.relative_to(tmp_path)) in output

    def test_a_table_is_found_again_from_elsewhere(self, labelled, table):
        config = json.loads((labelled / "config.json").read_text())
        assert config["data"] == str(table.resolve())
        assert config["context"] == "label"

    def test_the_figures_are_printed(self, probgen):
        code, output, errors = probgen(f"train toy/gaussian {QUICK} --run-dir run")
        assert code == 0
        assert "log_likelihood" in output
        assert "nats" in output
        assert "exact" in output
        assert "view 'real'" in errors

    def test_an_autoencoder_has_more_pictures(self, probgen, tmp_path):
        assert probgen(f"train toy/coder {QUICK} --run-dir run")[0] == 0
        assert (tmp_path / "run" / "reconstructions.png").exists()
        assert (tmp_path / "run" / "interpolation.png").exists()


class TestDescribedRun:
    FILE = """
        [model]
        name = "toy/gaussian"
        scale = 2.0
        [data]
        source = "moons"
        n = 200
        view = "raw"
        [training]
        epochs = 1
        batch_size = 40
        learning_rate = 0.01
        threads = 1
    """

    @pytest.fixture
    def described(self, tmp_path):
        path = tmp_path / "run.toml"
        path.write_text(self.FILE)
        return path

    def test_the_command_line_wins(self, probgen, described, tmp_path):
        code, _, errors = probgen("train --config run.toml --steps 3 -o scale=3 --run-dir out")
        assert code == 0, errors
        config = json.loads((tmp_path / "out" / "config.json").read_text())
        assert config["model_options"]["scale"] == 3.0
        assert (config["training"]["steps"], config["training"]["epochs"]) == (3, None)
        assert config["training"]["learning_rate"] == 0.01
        assert (config["view"], config["data_options"]) == ("raw", {"n": 200})

    def test_options_belong_to_the_model_that_they_were_written_for(self, probgen, described, tmp_path):
        assert probgen("train toy/coder --config run.toml --run-dir out")[0] == 0
        assert json.loads((tmp_path / "out" / "config.json").read_text())["model_options"] == {}

    @pytest.mark.parametrize(
        ("old", "new", "said"),
        [
            ("[training]", "[trainig]", "Did you mean 'training'?"),
            ("batch_size", "batchsize", "Did you mean 'batch_size'?"),
            ("scale =", "scales =", "Did you mean 'scale'?"),
            ("epochs = 1", "epochs = 'many'", "epochs to be a float"),
            ("epochs = 1", "epochs = 1\nsteps = 4", "steps or epochs"),
            ("epochs = 1", "epochs = = 1", "TOML"),
            ("[model]", "model = 3\n[other]", "[model]"),
            ('name = "toy/gaussian"', "", "a model"),
        ],
    )
    def test_a_wrong_file(self, probgen, described, tmp_path, old, new, said):
        described.write_text(self.FILE.replace(old, new))
        code, _, errors = probgen("train --config run.toml")
        assert code == 2
        assert said in errors
        assert [path.name for path in tmp_path.iterdir()] == ["run.toml"]

    def test_no_file(self, probgen):
        code, _, errors = probgen("train --config nowhere.toml")
        assert code == 2
        assert "nowhere.toml" in errors


class TestEstimator:
    def test_by_name(self, probgen, tmp_path):
        assert probgen(f"train toy/gaussian {QUICK} --estimator maximum-likelihood --run-dir run")[0] == 0
        assert json.loads((tmp_path / "run" / "config.json").read_text())["estimator"] == "maximum-likelihood"

    def test_for_a_stage(self, probgen):
        assert probgen(f"train toy/gaussian {QUICK} --estimator main=maximum-likelihood")[0] == 0
        code, _, errors = probgen(f"train toy/gaussian {QUICK} --estimator prior=maximum-likelihood")
        assert code == 2
        assert "'prior'" in errors

    def test_options_without_a_name_are_those_of_the_recipes_own(self, probgen):
        code, _, errors = probgen(f"train toy/gaussian {QUICK} -e beta=2")
        assert code == 2
        assert "maximum-likelihood" in errors

    def test_a_model_without_a_recipe_needs_one(self, probgen, tmp_path):
        code, _, errors = probgen(f"train toy/mute {QUICK}")
        assert code == 2
        assert "estimator" in errors
        assert list(tmp_path.iterdir()) == []


class TestRefusal:
    """Bad input is one message, exit code 2, and nothing left behind."""

    @pytest.mark.parametrize(
        ("line", "said"),
        [
            ("train", "a model"),
            ("train toy/gaussian", "--data"),
            ("train toy/gausian --data moons", "Did you mean 'toy/gaussian'"),
            ("train toy/gaussian --data mons", "Did you mean 'moons'"),
            ("train toy/gaussian --data ./nowhere.csv", "nowhere.csv"),
            ("train toy/gaussian --data moons -o scal=2", "Did you mean 'scale'?"),
            ("train toy/gaussian --data moons -o scale=big", "a float of at least 0.01"),
            ("train toy/gaussian --data moons -o scale=0", "a float of at least 0.01"),
            ("train toy/gaussian --data moons -o scale", "key=value"),
            ("train toy/gaussian --data moons -d m=3", "'m'"),
            ("train toy/gaussian --data moons -d n=few", "n to be an int"),
            ("train toy/gaussian --data ./nowhere.csv -d lable=kind", "Did you mean 'label'?"),
            ("train toy/gaussian --data moons --view binary", "Choose the view 'real'"),
            ("train toy/gaussian --data moons --view realy", "Did you mean 'real'?"),
            ("train toy/gaussian --data moons --context colour", "label"),
            ("train toy/gaussian --data moons --estimator maximum-likelyhood", "Did you mean 'maximum-likelihood'"),
            ("train toy/mute --data moons --estimator maximum-likelihood", "Density"),
            ("train toy/gaussian --data moons --steps 3 --epochs 1", "steps or epochs"),
            ("train toy/gaussian --data moons --steps 0", "steps"),
            ("train toy/gaussian --data moons --lr -1", "learning_rate"),
            ("train toy/gaussian --data moons --lr 0", "learning_rate to be a float above 0"),
            ("train toy/gaussian --data moons --epochs -1", "epochs to be a float above 0, or none; got -1.0"),
            ("train toy/gaussian --data moons --epochs 0", "epochs to be a float above 0, or none; got 0.0"),
            ("train toy/gaussian --data moons --clip-norm 0", "clip_norm to be a float above 0"),
            ("train toy/gaussian --data moons --ema 1", "ema to be a float of at least 0 and below 1"),
            ("train toy/gaussian --data moons --ema 1.5", "ema to be a float of at least 0 and below 1"),
            ("train toy/gaussian --data moons --run-dir /proc/self", "a run folder that can be written"),
            ("train toy/gaussian --data moons --schedule cosin", "Did you mean 'cosine'?"),
            ("train toy/gaussian --data moons --precision half", "precision"),
            ("train toy/gaussian --data moons --device abacus", "abacus"),
        ],
    )
    def test_it(self, probgen, tmp_path, line, said):
        code, output, errors = probgen(line)
        assert code == 2
        assert said in errors
        assert errors.rstrip().splitlines()[-1].startswith("error: ")
        assert "Traceback" not in errors
        assert output == ""
        assert list(tmp_path.iterdir()) == []

    def test_labels_that_are_not_there(self, probgen, tmp_path):
        (tmp_path / "plain.csv").write_text("a,b\n" + "\n".join(f"{i / 7:.3f},{i / 3:.3f}" for i in range(30)))
        code, _, errors = probgen("train toy/gaussian --data plain.csv --context label")
        assert code == 2
        assert "label" in errors
        assert [path.name for path in tmp_path.iterdir()] == ["plain.csv"]

    def test_a_table_with_a_column_of_words(self, probgen, table, tmp_path):
        code, _, errors = probgen(f"train toy/gaussian --data {table}")
        assert code == 2
        assert "kind" in errors
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_with_something_in_it(self, probgen, tmp_path):
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "thesis.tex").write_text("years of work")
        code, _, errors = probgen(f"train toy/gaussian {QUICK} --run-dir run")
        assert code == 2
        assert "thesis.tex" in errors
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["thesis.tex"]

    def test_an_empty_folder_of_the_users_stays(self, probgen, tmp_path):
        (tmp_path / "run").mkdir()
        assert probgen("train toy/gaussian --data moons --view binary --run-dir run")[0] == 2
        assert list(tmp_path.iterdir()) == [tmp_path / "run"]
        assert list((tmp_path / "run").iterdir()) == []

    def test_a_folder_that_cannot_be_made(self, probgen, tmp_path):
        (tmp_path / "file").write_text("")
        code, _, errors = probgen(f"train toy/gaussian {QUICK} --run-dir file/run")
        assert code == 2
        assert "file/run" in errors


class TestFailure:
    """A run that breaks on the way exits with 1 and keeps what it has."""

    def test_not_a_number(self, probgen, tmp_path):
        code, _, errors = probgen(f"train toy/gaussian {QUICK} -o fault=nan --run-dir run")
        assert code == 1
        assert "step" in errors
        assert "Traceback" not in errors
        assert (tmp_path / "run" / "config.json").exists()

    def test_divergence_to_huge_finite_numbers_is_said(self, probgen, tmp_path):
        code, _, errors = probgen(f"train toy/gaussian {QUICK} -o fault=far --run-dir run")
        assert code == 0
        warning = "log_prob of stage 'main' got worse in training, from -"
        assert f"warning: {warning}" in errors
        assert "-1e+09 nats: it diverged. Lower --lr, or set --clip-norm." in errors
        assert "Warning: log_prob of stage" in (tmp_path / "run" / "report.html").read_text()
        assert "diverged" in probgen("train --resume run")[2]

    def test_patience_keeps_the_best_weights_and_nothing_is_said(self, probgen):
        code, _, errors = probgen(f"train toy/gaussian {QUICK} -o fault=far --patience 100 --run-dir run")
        assert code == 0
        assert "warning" not in errors

    def test_a_mistake_in_the_model(self, probgen):
        code, _, errors = probgen(f"train toy/gaussian {QUICK} -o fault=bug --run-dir run")
        assert code == 1
        assert "ZeroDivisionError: a mistake of the model's author" in errors
        assert "--traceback" in errors

    def test_a_full_disk_after_training(self, probgen, monkeypatch, tmp_path):
        def full(*_):
            raise OSError(28, "No space left on device", "report.html")

        with monkeypatch.context() as patch:
            patch.setattr("probgen.cli.running.write_page", full)
            code, _, errors = probgen(f"train toy/gaussian {QUICK} --run-dir run")
        assert code == 1
        assert "No space left on device" in errors
        assert main(["train", "--resume", "run"]) == 0
        assert (tmp_path / "run" / "report.html").exists()


class TestResume:
    def test_nothing_to_resume(self, probgen):
        code, _, errors = probgen("train --resume nowhere")
        assert code == 2
        assert "nothing to resume" in errors

    @pytest.mark.parametrize(
        "content", [None, "{", "[]", '{"model": "toy/gaussian"}', '{"modle": 1}', '{"model": 1, "data": 2}']
    )
    def test_no_run(self, probgen, tmp_path, content):
        (tmp_path / "run").mkdir()
        if content is not None:
            (tmp_path / "run" / "config.json").write_text(content)
        code, _, errors = probgen("train --resume run")
        assert code == 2
        assert "config.json" in errors

    def test_an_altered_setting(self, probgen, tmp_path, finished):
        (tmp_path / "run").mkdir()
        config = json.loads((finished / "config.json").read_text())
        (tmp_path / "run" / "config.json").write_text(json.dumps({**config, "training": {"steps": "some"}}))
        code, _, errors = probgen("train --resume run")
        assert code == 2
        assert "steps" in errors

    def test_alone(self, probgen, finished):
        code, _, errors = probgen(f"train toy/gaussian --resume {finished}")
        assert code == 2
        assert "MODEL" in errors
        assert "--steps" in probgen(f"train --steps 3 --resume {finished}")[2]

    def test_a_finished_run_gets_what_it_lacks(self, probgen, tmp_path):
        assert probgen(f"train toy/gaussian {QUICK} --run-dir run")[0] == 0
        before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
        for name in ("report.html", "samples.png", "evaluation.json"):
            (tmp_path / "run" / name).unlink()
        code, output, _ = probgen("train --resume run")
        assert code == 0
        assert "report.html" in output
        after = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.is_file()}
        assert set(after) == set(before)
        assert after["model.safetensors"] == before["model.safetensors"]
        assert after["samples.png"] == before["samples.png"]

    def test_an_interrupted_run_goes_on_to_the_same_weights(self, probgen, tmp_path):
        assert probgen(f"train toy/gaussian {QUICK} --run-dir whole")[0] == 0
        code, _, errors = probgen(f"train toy/gaussian {QUICK} -o fault=interrupt --run-dir part")
        assert code == 143
        assert "probgen train --resume part" in errors
        assert not (tmp_path / "part" / "model.safetensors").exists()
        config = (tmp_path / "part" / "config.json").read_text()
        (tmp_path / "part" / "config.json").write_text(config.replace('"interrupt"', '"none"'))
        assert probgen("train --resume part")[0] == 0
        whole, part = (tmp_path / name / "model.safetensors" for name in ("whole", "part"))
        assert whole.read_bytes() == part.read_bytes()

    def test_a_run_without_a_checkpoint_starts_over(self, probgen, tmp_path):
        assert probgen(f"train toy/gaussian {QUICK} --run-dir whole")[0] == 0
        (tmp_path / "begun").mkdir()
        (tmp_path / "begun" / "config.json").write_bytes((tmp_path / "whole" / "config.json").read_bytes())
        assert probgen("train --resume begun")[0] == 0
        whole, begun = (tmp_path / name / "model.safetensors" for name in ("whole", "begun"))
        assert whole.read_bytes() == begun.read_bytes()

    def test_data_that_changed_meanwhile(self, probgen, tmp_path):
        rows = [f"{i % 7},{i % 5}" for i in range(60)]
        (tmp_path / "mine.csv").write_text("\n".join(["a,b", *rows]))
        assert probgen("train toy/gaussian --data mine.csv --steps 2 --run-dir run")[0] == 0
        assert probgen("sample run -n 2")[0] == 0
        (tmp_path / "mine.csv").write_text("\n".join(["a,b", *rows[:-1], "100,3"]))
        for command in ("evaluate run", "train --resume run"):
            code, _, errors = probgen(command)
            assert code == 2
            assert "Put the old data back" in errors
        assert probgen("sample run -n 2")[0] == 0  # it goes by what the run noted, and reads no data

    def test_an_older_folder_that_does_not_say_what_it_used(self, probgen, tmp_path):
        assert probgen(f"train toy/gaussian {QUICK} --run-dir run")[0] == 0
        path = tmp_path / "run" / "config.json"
        config = json.loads(path.read_text())
        noted = config.pop("stages")
        path.write_text(json.dumps(config))
        assert probgen("train --resume run")[0] == 0
        assert json.loads(path.read_text())["stages"] == noted

    def test_what_a_killed_process_left_half_written_is_swept(self, probgen, tmp_path):
        assert probgen(f"train toy/gaussian {QUICK} --run-dir run")[0] == 0
        for name in (".report.html.x3k_f81q.html", ".metrics.csv.aaaaaaaa.csv", ".mine", ".notes.html"):
            (tmp_path / "run" / name).write_text("half")
        assert probgen("train --resume run")[0] == 0
        assert {path.name for path in (tmp_path / "run").glob(".*")} == {".mine", ".notes.html"}

    def test_a_folder_that_takes_no_files(self, probgen, tmp_path, monkeypatch):
        assert probgen(f"train toy/gaussian {QUICK} --run-dir run")[0] == 0
        monkeypatch.setattr("probgen.cli.train.takes_files", lambda folder: False)
        code, _, errors = probgen("train --resume run")
        assert code == 2
        assert "expected a run folder that can be written; got run" in errors

    def test_one_process_at_a_time(self, probgen, finished):
        with only_one(finished) as free:
            assert free
            code, _, errors = probgen(f"train --resume {finished}")
        assert code == 1
        assert "another process" in errors

    def test_bad_input_on_resume_removes_nothing(self, probgen, tmp_path):
        assert probgen(f"train toy/gaussian {QUICK} --run-dir run")[0] == 0
        (tmp_path / "run" / "model.safetensors").write_bytes(b"not this")
        names = {path.name for path in (tmp_path / "run").iterdir()}
        code, _, errors = probgen("train --resume run")
        assert code == 2
        assert "model.safetensors" in errors
        assert names == {path.name for path in (tmp_path / "run").iterdir()}

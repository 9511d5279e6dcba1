"""`list`, `info`, help and version: without torch, in words and as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from probgen import __version__
from probgen.cli import main
from probgen.plugin import registry

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("words", [["--help"], ["list"], ["list", "models", "--json"], ["train", "--help"]])
def test_torch_is_not_imported(words):
    program = (
        "import sys; from probgen.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(code or 100 * any(name in sys.modules for name in ('torch', 'numpy', 'matplotlib', 'pyro')))"
    )
    run = subprocess.run([sys.executable, "-c", program, *words], capture_output=True, text=True, check=False, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    assert run.stdout


def test_the_module_is_the_command():
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, "-m", "probgen", "list", "nothing"], capture_output=True, text=True, check=False, env=environment
    )
    assert run.returncode == 2
    assert "Traceback" not in run.stderr


def test_version(probgen):
    assert probgen("--version") == (0, f"probgen {__version__}\n", "")


@pytest.mark.parametrize("command", ["train", "sample", "score", "evaluate", "compare", "list", "info"])
def test_every_command_has_help(probgen, command):
    code, output, _ = probgen(f"{command} --help")
    assert code == 0
    assert "Usage" in output


class TestList:
    def test_models_as_json(self, probgen):
        code, output, _ = probgen("list models --json")
        found = {entry["name"]: entry for entry in json.loads(output)}
        assert code == 0
        assert found["toy/gaussian"] == {
            "name": "toy/gaussian",
            "summary": "Independent Gaussians, shifted by the context.",
            "plugin": "probgen-toys",
            "version": "0.3",
        }

    @pytest.mark.parametrize(
        ("kind", "name"), [("estimators", "maximum-likelihood"), ("data", "digits"), ("plugins", "toys")]
    )
    def test_each_kind(self, probgen, kind, name):
        code, output, _ = probgen(f"list {kind}")
        assert code == 0
        assert name in output
        assert name in [entry["name"] for entry in json.loads(probgen(f"list {kind} --json")[1])]

    def test_everything(self, probgen):
        assert list(json.loads(probgen("list --json")[1])) == ["models", "estimators", "data", "plugins"]
        assert "toy/gaussian" in probgen("list")[1]

    def test_a_broken_plugin_is_reported_and_stops_nothing(self, probgen, tmp_path, monkeypatch):
        (tmp_path / "probgen_sad-1.5.dist-info").mkdir()
        (tmp_path / "probgen_sad-1.5.dist-info" / "METADATA").write_text(
            "Metadata-Version: 2.1\nName: probgen-sad\nVersion: 1.5\n"
        )
        (tmp_path / "probgen_sad-1.5.dist-info" / "entry_points.txt").write_text(
            "[probgen]\nsad = no_such_module_anywhere\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        registry.cache_clear()
        try:
            code, output, errors = probgen("list plugins --json")
            sad = next(entry for entry in json.loads(output) if entry["name"] == "sad")
            assert (code, sad["plugin"], sad["version"]) == (0, "probgen-sad", "1.5")
            assert "no_such_module_anywhere" in sad["problems"][0]
            assert "probgen-sad 1.5" in probgen("list")[2]
            code, _, errors = probgen("train toy/gausian --data moons")
            assert code == 2
            assert "'toy/gaussian'" in errors
            assert "probgen-sad 1.5" in errors
        finally:
            registry.cache_clear()


class TestInfo:
    def test_a_model(self, probgen):
        described = json.loads(probgen("info toy/gaussian --json")[1])
        assert described["options"][0] == {
            "name": "scale",
            "type": "float",
            "default": 1.0,
            "help": "Initial standard deviation.",
            "choices": None,
            "minimum": 0.01,
            "above": None,
            "maximum": None,
            "below": None,
            "words": "a float of at least 0.01",
        }
        assert (described["kind"], described["reference"]) == ("model", "Gauss (1809).")
        assert "maximum-likelihood" in described["estimators"]

    def test_in_words(self, probgen):
        code, output, _ = probgen("info toy/gaussian")
        assert code == 0
        assert all(word in output for word in ("scale", "1.0", "Gauss (1809).", "maximum-likelihood", "probgen-toys 0.3"))

    def test_an_estimator_says_what_it_claims(self, probgen):
        described = json.loads(probgen("info maximum-likelihood --json")[1])
        assert described["requires"] == ["Density"]
        assert "value: exactly log_prob" in described["claims"]

    def test_data(self, probgen):
        assert "seed" in probgen("info digits")[1]

    def test_an_unknown_name(self, probgen):
        code, _, errors = probgen("info digitz")
        assert code == 2
        assert "Did you mean 'digits'?" in errors


class TestCommandsOfPlugins:
    def test_they_are_listed_with_their_summary(self, probgen):
        assert "Greet somebody." in probgen("--help")[1]

    def test_they_run_with_their_own_options(self, probgen):
        assert probgen("greet world --loud") == (0, "HELLO WORLD\n", "")

    def test_one_that_cannot_be_imported_says_so_when_it_is_meant(self, probgen):
        assert probgen("broken")[0] == 2
        assert "probgen-toys 0.3" in probgen("broken")[2]
        assert probgen("list models")[0] == 0


class TestEnds:
    def test_usage_errors_exit_with_2(self, probgen):
        for line in ("trian", "train --stepz 3", "sample", "list --jsn", "train toy/gaussian --data moons --steps many"):
            code, _, errors = probgen(line)
            assert code == 2, line
            assert "Traceback" not in errors

    def test_nothing_shows_the_help(self, probgen):
        assert "Usage" in "".join(map(str, probgen("")[1:]))

    @pytest.mark.parametrize("line", ["--traceback info digitz", "info digitz --traceback"])
    def test_traceback_may_stand_anywhere(self, probgen, line):
        code, _, errors = probgen(line)
        assert code == 2
        assert "Traceback (most recent call last)" in errors
        assert "error: info: expected" in errors

    def test_a_mistake_of_the_program_is_one_line_and_exits_with_1(self, capsys, monkeypatch):
        monkeypatch.setattr("probgen.cli.app.registry", lambda: 1 / 0)
        assert main(["list"]) == 1
        errors = capsys.readouterr().err
        assert "ZeroDivisionError" in errors
        assert "--traceback" in errors
        assert "most recent call" not in errors

    def test_ctrl_c(self, capsys, monkeypatch):
        def interrupted():
            raise KeyboardInterrupt

        monkeypatch.setattr("probgen.cli.catalogue.registry", interrupted)
        assert main(["list"]) == 130
        assert "Traceback" not in capsys.readouterr().err

"""`gallery` of described runs: each is trained in a process of its own, and what fails stops no other."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _toys_in_processes(monkeypatch):
    """Let the processes that a gallery starts find the toys, as the tests do."""
    paths = [str(ROOT), str(Path(__file__).parent / "installed"), os.environ.get("PYTHONPATH", "")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def describe(path, *, model="toy/gaussian", steps=5, data="moons", **options):
    lines = ["[model]", f'name = "{model}"', *(f'{name} = "{value}"' for name, value in options.items())]
    lines += ["[data]", f'source = "{data}"', "n = 200", "[training]", f"steps = {steps}", "batch_size = 50"]
    Path(path).write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.slow
def test_described_runs_are_trained_and_shown(probgen, finished, tmp_path):
    describe("first.toml"), describe("second.toml", scale=2.0)
    code, output, errors = probgen("gallery first.toml second.toml --jobs 2")
    (folder,) = (tmp_path / "runs").iterdir()
    assert code == 0, errors
    assert folder.name.endswith("gallery-moons")
    assert sorted(path.name for path in folder.iterdir()) == ["first", "gallery.html", "gallery.png", "second"]
    page = (folder / "gallery.html").read_text()
    assert "<a href='first/report.html'>" in page
    assert "scale=2.0" in page
    assert len(re.findall("toy/gaussian", output)) == 2
    assert probgen(f"gallery first.toml {folder}/second")[0] == 0
    assert len(list((tmp_path / "runs").iterdir())) == 2


@pytest.mark.slow
def test_a_run_that_fails_is_reported_and_the_others_are_shown(probgen, tmp_path):
    describe("good.toml"), describe("bad.toml", fault="bug")
    code, _, errors = probgen("gallery bad.toml good.toml --jobs 1 --out page.html")
    assert code == 1
    assert "a mistake of the model's author" in errors
    assert "expected 2 models; got 1, without bad" in errors
    assert (tmp_path / "bad.log").exists()
    assert not (tmp_path / "good.log").exists()
    assert "good/report.html" in (tmp_path / "page.html").read_text()
    assert "To try those again: probgen gallery bad.toml good.toml --out page.html --force" in errors


@pytest.mark.slow
def test_tried_again_it_trains_what_is_missing_and_nothing_else(probgen, tmp_path):
    describe("done.toml"), describe("stopped.toml", steps=6, fault="interrupt")
    assert probgen("gallery done.toml stopped.toml --jobs 1 --out page.html")[0] == 1
    kept = (tmp_path / "done" / "model.safetensors").stat().st_mtime_ns
    code, _, errors = probgen("gallery done.toml stopped.toml --jobs 1 --out page.html --force")
    assert "done is trained already" in errors
    assert "going on with stopped" in errors
    assert (tmp_path / "done" / "model.safetensors").stat().st_mtime_ns == kept
    assert (tmp_path / "page.html").exists()
    describe("done.toml", scale=2.0)
    code, _, errors = probgen("gallery done.toml --out other.html")
    assert code == 2
    assert "which is taken by another run" in errors


@pytest.mark.slow
def test_stopping_it_saves_what_was_under_way(tmp_path):
    describe("long.toml", steps=1_000_000), describe("later.toml")
    words = [sys.executable, "-m", "probgen", "gallery", "long.toml", "later.toml", "--jobs", "1", "--out", "page.html"]
    gallery = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    while not list(tmp_path.glob("long/checkpoints/stage-00-*")):
        assert gallery.poll() is None
        time.sleep(0.02)
    gallery.send_signal(signal.SIGINT)
    errors = gallery.communicate()[1]
    assert gallery.returncode == 130
    assert "stopped by signal 2" in errors
    assert "what was under way is saved: long" in errors
    assert "To go on: probgen gallery long.toml later.toml --out page.html" in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["later.toml", "long", "long.toml"]


def test_nothing_is_trained_where_something_does_not_fit(probgen, finished, tmp_path):
    describe("a.toml"), describe("other.toml", data="circles"), describe("broken.toml", model="toy/gausian")
    Path("nothing.toml").write_text('[data]\nsource = "moons"\n')
    (tmp_path / "below").mkdir()
    describe("below/a.toml")
    made = sorted(tmp_path.rglob("*"))
    for line, said in (
        ("gallery a.toml other.toml", "one data set"),
        ("gallery a.toml broken.toml", "toy/gaussian"),
        ("gallery a.toml below/a.toml", "which is taken"),
        ("gallery a.toml missing.toml", "missing.toml"),
        ("gallery a.toml --out a.toml/below/page.html", "a.toml is a file"),
        ("gallery a.toml broken.toml", "broken.toml: "),
        (
            "gallery a.toml nothing.toml",
            "nothing.toml: train: expected a model; got none. Give MODEL, or name in",
        ),
        ("gallery a.toml missing.toml", "missing.toml (No such file or directory). Check the path."),
        ("gallery a.toml --jobs 0", "--jobs"),
    ):
        code, _, errors = probgen(line)
        assert code == 2, line
        assert said in errors
    assert sorted(tmp_path.rglob("*")) == made

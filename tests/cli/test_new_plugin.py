"""`probgen new-plugin`: what it writes is whole and right, and what it refuses it does not begin."""

from __future__ import annotations

import doctest
import importlib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from helpers.installing import installed
from probgen import __version__

ROOT = Path(__file__).resolve().parents[2]
FILES = {
    "pyproject.toml",
    "README.md",
    "src/probgen_acme/__init__.py",
    "src/probgen_acme/plugin.py",
    "tests/test_conformance.py",
}
PARTS = {
    "model": {"src/probgen_acme/logistic.py"},
    "estimator": {"src/probgen_acme/noisy_likelihood.py", "src/probgen_acme/problems.py"},
}
PARTS["both"] = PARTS["model"] | PARTS["estimator"]
NAMES = {"model": ["acme/logistic"], "estimator": ["noisy-likelihood"]}
NAMES["both"] = NAMES["model"] + NAMES["estimator"]


@pytest.fixture(params=list(PARTS))
def kind(request):
    return request.param


@pytest.fixture
def folder(probgen, tmp_path, kind):
    code, out, _ = probgen(f"new-plugin acme --kind {kind} --directory {tmp_path}")
    assert code == 0
    checks = "".join(f"  probgen check {name}\n" for name in NAMES[kind])
    assert f"pip install -e {tmp_path / 'probgen-acme'}\n{checks}" in out
    return tmp_path / "probgen-acme"


def test_it_is_whole(folder, kind):
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} == FILES | PARTS[kind]
    for name in FILES | PARTS[kind]:
        text = (folder / name).read_text()
        assert text.endswith("\n")
        assert not text.endswith("\n\n")
        assert not re.search(r"__[A-Z]+__", text)
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    assert project["entry-points"] == {"probgen": {"acme": "probgen_acme.plugin"}}
    major, minor = __version__.split(".")[:2]
    assert f"probgen>={major}.{minor},<{major}.{int(minor) + 1}" in project["dependencies"]
    assert all(f"`{name}`" in (folder / "README.md").read_text() for name in NAMES[kind])


def test_a_model_is_what_it_writes_unless_told_otherwise(probgen, tmp_path):
    assert probgen("new-plugin acme")[0] == 0
    assert (tmp_path / "probgen-acme/src/probgen_acme/logistic.py").exists()
    assert not (tmp_path / "probgen-acme/src/probgen_acme/noisy_likelihood.py").exists()


def test_its_conformance_file_is_short(folder):
    assert len((folder / "tests/test_conformance.py").read_text().splitlines()) < 15


def test_it_is_in_the_house_style(folder):
    (folder / "ruff.toml").write_text(f'extend = "{ROOT / "pyproject.toml"}"\nsrc = ["src"]\n')
    ruff = [sys.executable, "-m", "ruff"]
    for command in (["check", "src"], ["format", "--check", "src", "tests"]):
        run = subprocess.run([*ruff, *command, "--no-cache"], cwd=folder, capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout


def test_it_works(folder, kind, probgen, tmp_path):
    with installed(folder, tmp_path / "site"):
        for name in NAMES[kind]:
            code, out, _ = probgen(f"check {name} --seed 1")
            assert code == 0, out
        for path in PARTS[kind]:
            assert not doctest.testmod(importlib.import_module(f"probgen_acme.{Path(path).stem}")).failed
        assert "probgen-acme 0.1.0" in probgen("list")[1]
        if kind != "estimator":
            last = (folder / "README.md").read_text().split("$ probgen train ")[1].splitlines()[0]
            assert probgen(f"train {last} -d n=300 --steps 5 --threads 1")[0] == 0


def test_an_error_in_its_estimator_is_found(probgen, tmp_path):
    assert probgen("new-plugin acme --kind estimator")[0] == 0
    path = tmp_path / "probgen-acme/src/probgen_acme/noisy_likelihood.py"
    path.write_text(path.read_text().replace("+ self.noise *", "+ 0.999 * self.noise *"))
    with installed(tmp_path / "probgen-acme", tmp_path / "site"):
        code, out, _ = probgen("check noisy-likelihood --only claims")
    assert code == 1
    assert "unbiased for noisy_log_prob, on acme-bell: FAILS (exact)" in out


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Acme", "expected a name like 'acme' or 'normal-flows'; got 'Acme'. Use lower case, digits and hyphens."),
        ("2d", "got '2d'"),
        ("acme/rocket", "got 'acme/rocket'"),
        ("../acme", "got '../acme'"),
        ("probgen-acme", "Leave out the prefix."),
        ("toys", "expected a name that is free; got 'toys', which is probgen-toys's"),
        ("toy", "which is probgen-toys's"),
        ("core", "which is probgen's"),
    ],
)
def test_bad_names_are_refused(probgen, tmp_path, name, message):
    code, out, err = probgen(f"new-plugin {name}")
    assert (code, out) == (2, "")
    assert message in err
    assert not list(tmp_path.iterdir())


def test_a_folder_that_exists_is_left_alone(probgen, tmp_path):
    (tmp_path / "probgen-acme").mkdir()
    code, _, err = probgen("new-plugin acme")
    assert (code, list((tmp_path / "probgen-acme").iterdir())) == (2, [])
    assert "expected a new folder" in err


def test_a_directory_that_takes_no_files(probgen):
    code, _, err = probgen("new-plugin acme --directory /proc/self")
    assert code == 2
    assert "got /proc/self, which takes no files. Choose another." in err


def test_the_directory_has_to_be_there(probgen, tmp_path):
    code, _, err = probgen("new-plugin acme --directory nowhere")
    assert (code, list(tmp_path.iterdir())) == (2, [])
    assert "expected --directory to be a folder for files; got nowhere" in err


@pytest.mark.slow
def test_pip_installs_it_and_its_tests_pass(folder, kind, tmp_path):
    site = tmp_path / "site"
    pip = ["pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--target", str(site), str(folder)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}
    checks = [["probgen", "check", name] for name in NAMES[kind]]
    for words in (pip, ["pytest", "-q", "-p", "no:cacheprovider"], *checks):
        run = subprocess.run(
            [sys.executable, "-m", *words], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert run.returncode == 0, run.stdout + run.stderr

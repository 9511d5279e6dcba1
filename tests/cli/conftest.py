"""A fake installed distribution with models that train in a moment, and runs of them."""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import pytest

from probgen.cli import main
from probgen.plugin import registry

INSTALLED = Path(__file__).parent / "installed"


@pytest.fixture(scope="session", autouse=True)
def _toys():
    """Let Python find the distribution `probgen-toys` in `installed`, during these tests only."""
    sys.path.insert(0, str(INSTALLED))
    registry.cache_clear()
    yield
    sys.path.remove(str(INSTALLED))
    registry.cache_clear()


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    """Run each test in an empty folder of its own, with every plugin."""
    for name in ("PROBGEN_PLUGINS", "PROBGEN_STRICT_PLUGINS", "RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Leave out the two-sample tests, which take longer than everything else; the shared runs below have them."""
    from probgen.cli import running

    monkeypatch.setattr(running, "evaluate", functools.partial(running.evaluate, metrics=["likelihood"]))


@pytest.fixture
def probgen(capsys):
    """Return a function that runs the command on a line of words and returns its exit code, output and errors."""

    def run(line, *more):
        capsys.readouterr()
        code = main([*line.split(), *map(str, more)])
        output = capsys.readouterr()
        return code, output.out, output.err

    return run


@pytest.fixture(scope="session")
def table(tmp_path_factory):
    """A table of two columns with a unit, and a class: two lines of points in the plane."""
    path = tmp_path_factory.mktemp("data") / "boats.csv"
    rows = [f"{i / 50 + 2 * (i % 3):.2f};{5 - i / 100:.3f};{'abc'[i % 3]}" for i in range(300)]
    path.write_text("\n".join(["length [m];speed;kind", *rows]) + "\n")
    return path


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """The folder of a finished run of a Gaussian on two moons."""
    folder = tmp_path_factory.mktemp("runs") / "moons"
    words = f"train toy/gaussian --data moons -d n=300 --steps 12 --batch-size 50 --run-dir {folder} --threads 1"
    assert main(words.split()) == 0
    return folder


@pytest.fixture(scope="session")
def labelled(tmp_path_factory, table):
    """The folder of a finished run on the table, conditional on its classes."""
    folder = tmp_path_factory.mktemp("runs") / "boats"
    words = f"train toy/gaussian --data {table} -d label=kind --context label --steps 12 --run-dir {folder} --threads 1"
    assert main(words.split()) == 0
    return folder

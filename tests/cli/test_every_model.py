"""Every registered model refuses what does not suit it: in one sentence, with exit code 2, and leaving nothing behind."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from probgen import ShapeError, load
from probgen.cli import running
from probgen.plugin import registry

MODELS = sorted(registry().models)
VIEWS = ("binary", "categorical", "unit-interval", "real")
"""Of the digits; they are called like the supports that they have."""

SENTENCE = r"(?P<who>[\w./ -]+): expected (?P<expected>.+); got (?P<got>.+?)\. (?P<remedy>[A-Z].+\.)"

every_model = pytest.mark.parametrize("model", MODELS)


@pytest.fixture(autouse=True)
def _unjudged(monkeypatch):
    """End a run with its training: judging and drawing are seen to elsewhere."""
    monkeypatch.setattr(running, "_finish", lambda *_: None)


@pytest.fixture
def refused(probgen, tmp_path):
    """Return a function that runs a line, sees it refused in good form, and returns the parts of the sentence."""

    def run(line, *more):
        before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        code, output, errors = probgen(line, *more)
        assert (code, output) == (2, "")
        sentence = re.fullmatch(f"error: {SENTENCE}", errors.strip())
        assert sentence, errors
        assert before == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
        return sentence

    return run


@pytest.fixture
def bits(tmp_path):
    """Return a function that writes a table of bits with a class, which every model takes in some view."""

    def write(name, classes):
        rows = [f"{i % 2},{i // 2 % 2},{i // 4 % 2},{classes[i % len(classes)]}" for i in range(60)]
        (tmp_path / name).write_text("\n".join(["a,b,c,kind", *rows]))
        return f"--data {name} -d label=kind"

    return write


@every_model
def test_a_view_of_a_wrong_support(refused, model):
    accepted = registry().model(model).spec.supports
    view = next(view for view in VIEWS if view not in accepted)
    said = refused(f"train {model} --data digits --view {view}")
    assert all(support in said["expected"] for support in accepted)
    assert said["got"].startswith(f"'{view}' of digits")
    other = re.fullmatch(r"Choose the view '([\w-]+)'\.", said["remedy"])
    assert other[1] in accepted


@pytest.mark.parametrize("model", [name for name in MODELS if "real" not in registry().model(name).spec.supports])
def test_data_without_a_view_that_suits(refused, model):
    accepted = registry().model(model).spec.supports
    said = refused(f"train {model} --data moons")
    assert all(support in said["expected"] for support in accepted)
    assert "moons, of kind real" in said["got"]
    assert "Choose a model that accepts real" in said["remedy"]


@every_model
def test_not_a_number(refused, model, tmp_path):
    values = np.random.default_rng(0).integers(2, size=(30, 3)).astype(float)
    values[7, 2] = np.nan
    np.save(tmp_path / "holes.npy", values)
    said = refused(f"train {model} --data holes.npy")
    assert said["expected"] == f"finite numbers in holes ({tmp_path / 'holes.npy'})"
    assert said["got"].split(" of ")[0] == "nan in row 7, column 2"


@every_model
def test_labels_that_are_not_there(refused, model, tmp_path):
    np.save(tmp_path / "plain.npy", np.random.default_rng(0).integers(2, size=(30, 3)).astype("uint8"))
    said = refused(f"train {model} --data plain.npy --context label")
    assert "labels in plain" in said["expected"]


@pytest.mark.slow
@every_model
def test_a_context_for_a_model_without_one(refused, probgen, model, bits, tmp_path):
    assert probgen(f"train {model} {bits('three.csv', 'klm')} --steps 1 --threads 1 --run-dir run")[0] == 0
    said = refused("sample run -n 2 --context 1")
    assert said["expected"] == "no --context"


@every_model
def test_a_context_of_a_wrong_size(refused, probgen, model, bits):
    """Of a model for three classes; one that cannot be conditional says so instead."""
    train = f"train {model} {bits('three.csv', 'klm')} --context label --steps 1 --threads 1 --run-dir run"
    code, _, errors = probgen(train)
    if code == 2:
        assert "expected no context; got one of shape (3,)" in errors
        refused(train)
        return
    assert code == 0, errors
    for context, wrong in (("3", "3"), ("x", "x"), ("0,1,2,4", "4")):
        said = refused(f"sample run -n 2 --context {context}")
        assert (said["expected"], said["got"]) == ("--context to be labels from 0 to 2 or k, l, m", f"'{wrong}'")
    assert "a conditional model" in refused("sample run -n 2")["expected"]
    said = refused(f"evaluate run {bits('four.csv', 'klmn')}")
    assert ("k, l, m" in said["expected"], said["got"]) == (True, "'n' in four")
    with pytest.raises(ShapeError, match=SENTENCE):
        load("run").sample((2,), torch.eye(4))

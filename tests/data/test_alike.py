"""Other data, seen as a run's own were."""

from __future__ import annotations

import pytest
import torch

from probgen import as_source
from probgen.errors import DataError, ShapeError


def test_the_scales_stay_those_of_the_first_data():
    own = as_source(torch.randn(100, 2) * 3 + 5, name="own").view("real")
    other = as_source(torch.randn(100, 2) * 30, name="other")
    x = own.of(other).split("test").all().x
    assert torch.allclose(own.to_units(x), other.splits["test"], atol=1e-4)
    assert x.std() > 5  # standardised by its own data, it would be near 1


def test_whole_numbers_are_taken_as_the_first_data_were():
    levels = as_source("digits").view("categorical")
    few = as_source({"train": torch.randint(0, 3, (20, 1, 8, 8), dtype=torch.uint8)}, kind="levels")
    assert (few.levels, levels.of(few).levels) == (3, 17)
    real = as_source(torch.randn(50, 2)).view("raw")
    assert real.of(as_source(torch.arange(40).reshape(20, 2))).split("train").all().x.dtype == torch.float32


def test_labels_are_matched_by_name(tmp_path):
    for name, classes in (("own", "abc"), ("other", "cb"), ("strange", "xb")):
        rows = [f"{i}.5,{classes[i % len(classes)]}" for i in range(30)]
        (tmp_path / f"{name}.csv").write_text("\n".join(["v,k", *rows]))
    own, other, strange = (as_source(tmp_path / f"{name}.csv", label="k") for name in ("own", "other", "strange"))
    view = own.view("real", context="label").of(other)
    assert view.context_shape == (3,)
    assert set(view.split("train").all().context.argmax(1).tolist()) == {1, 2}
    with pytest.raises(DataError, match="'x'"):
        own.view("real", context="label").of(strange)
    with pytest.raises(DataError, match="labels"):
        own.view("real", context="label").of(as_source(torch.randn(30, 1)))


def test_other_shapes_and_kinds_are_refused():
    view = as_source("bars-and-stripes").view("binary")
    with pytest.raises(ShapeError, match="entries"):
        view.of(as_source("digits"))
    with pytest.raises(DataError, match="bits"):
        view.of(as_source(torch.full((9, 1, 4, 4), 3)))


def test_rows_say_where_examples_stood():
    values = torch.randn(50, 2)
    source = as_source(values)
    assert sorted(torch.cat(list(source.rows.values())).tolist()) == list(range(50))
    for split, rows in source.rows.items():
        assert torch.equal(values[rows], source.splits[split])
    assert as_source({"train": values, "test": values}).rows == {}

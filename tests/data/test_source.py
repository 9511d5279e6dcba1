"""A source checks its values once, and says which one is wrong and where."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from probgen.data import Source
from probgen.errors import DataError, ProbgenError, ShapeError


def make(**changes: Any) -> Source:
    fields: dict[str, Any] = {
        "name": "toy",
        "splits": {"train": torch.tensor([[0, 1, 2], [3, 0, 1]], dtype=torch.uint8)},
        "kind": "levels",
        "levels": 4,
    }
    return Source(**{**fields, **changes})


def test_what_a_source_knows() -> None:
    source = make(columns=("a", "b", "c"), units=("m", "", "s"), labels={"train": torch.tensor([2, 0])})
    assert source.event_shape == (3,)
    assert source.num_labels == 3
    assert source.header == ("a [m]", "b", "c [s]")
    assert source.describe() == "toy: 2 train; events (3,) of levels 0 to 3, 3 labels"
    assert make().header == ("x0", "x1", "x2")
    assert make(is_image=False).unit == "levels 0 to 3"


def test_a_source_cannot_be_changed() -> None:
    source = make()
    with pytest.raises(dataclasses.FrozenInstanceError):
        source.name = "other"  # type: ignore[misc]
    with pytest.raises(TypeError, match="item assignment"):
        source.splits["test"] = torch.zeros(1, 3)  # type: ignore[index]


def test_splits_come_in_their_usual_order() -> None:
    values = make().splits["train"]
    source = make(splits={"test": values, "valid": values, "train": values})
    assert list(source.splits) == ["train", "valid", "test"]
    assert source.view().split_names == ("train", "valid", "test")


REAL = {"kind": "real", "levels": None}
BAD: dict[str, tuple[dict[str, Any], type[ProbgenError], str]] = {
    "nan": (
        {**REAL, "splits": {"train": torch.tensor([[0.0, 1.0], [float("nan"), 2.0]])}, "columns": ("mass", "age")},
        DataError,
        r"expected finite numbers in toy; got nan in row 1, column 'mass' of split train \(1 of 2 rows.*Remove or fill in",
    ),
    "inf in valid": (
        {**REAL, "splits": {"train": torch.zeros(2, 2), "valid": torch.tensor([[0.0, float("inf")]])}},
        DataError,
        r"got inf in row 0, column 1 of split valid",
    ),
    "beyond the levels": (
        {"levels": 3},
        DataError,
        r"values of kind levels \(levels 0 to 2\) in toy; got 3 in row 1, column 0",
    ),
    "negative count": (
        {"kind": "count", "levels": None, "splits": {"train": torch.tensor([[1, -1]])}},
        DataError,
        r"kind count \(counts\) in toy; got -1 in row 0, column 1",
    ),
    "no bits": (
        {"kind": "binary", "levels": None, "splits": {"train": torch.tensor([[0.5, 1.0]])}},
        DataError,
        r"kind binary \(bits\) in toy; got 0.5 .*Declare another kind",
    ),
    "empty": ({"splits": {"train": torch.zeros(0, 3)}}, DataError, r"at least one example.*got shape \(0, 3\)"),
    "empty events": ({"splits": {"train": torch.zeros(3, 0)}}, DataError, r"at least one entry.*got shape \(3, 0\)"),
    "one level": ({"levels": 1}, DataError, r"at least 2 levels; got 1"),
    "levels of real values": ({"kind": "real"}, DataError, r"got kind 'real' with levels 4"),
    "unknown kind": ({"kind": "ordinal"}, DataError, r"expected kind as one of binary, levels, count, real"),
    "no training data": ({"splits": {"test": torch.zeros(1, 1)}}, DataError, r"a split named train; got \['test'\]"),
    "unknown split": ({"splits": {"trian": torch.zeros(1, 1)}}, DataError, r"got 'trian'. Did you mean 'train'\?"),
    "two event shapes": (
        {"splits": {"train": torch.zeros(2, 3), "test": torch.zeros(2, 4)}},
        ShapeError,
        r"events of shape \(3,\) in split test of toy, as in train; got \(4,\)",
    ),
    "no picture": ({"is_image": True}, ShapeError, r"\(channels, height, width\).*got \(3,\)"),
    "too few names": ({"columns": ("a",)}, DataError, r"expected 3 columns for toy, one for each entry; got 1"),
    "too few units": ({"units": ("a",)}, DataError, r"expected 3 units for toy"),
    "too few labels": (
        {"labels": {"train": torch.tensor([0])}},
        DataError,
        r"a label for each of the 2 examples.*shape \(1,\)",
    ),
    "no labels for test": (
        {
            "splits": {"train": torch.zeros(1, 1), "test": torch.zeros(1, 1)},
            "labels": {"train": torch.tensor([0])},
        },
        DataError,
        r"1 examples in split test of toy; got none",
    ),
    "label out of range": (
        {"labels": {"train": torch.tensor([1, 7])}, "num_labels": 5},
        DataError,
        r"labels from 0 to 4 in split train of toy; got 7 in row 1",
    ),
    "negative label": ({"labels": {"train": torch.tensor([-1, 1])}}, DataError, r"labels from 0 to 1.*got -1 in row 0"),
    "too few label names": (
        {"labels": {"train": torch.tensor([0, 1])}, "label_names": ("cat",)},
        DataError,
        r"expected 2 label_names for toy",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data_are_refused(case: str) -> None:
    changes, error, match = BAD[case]
    with pytest.raises(error, match=match):
        make(**changes)

"""Arrays by name, from files or memory: their kinds, pictures and splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset, IterableDataset, TensorDataset

from probgen.data import as_source
from probgen.data.assembling import random_split
from probgen.errors import ConfigurationError, DataError, ShapeError, UnknownNameError

RANDOM = np.random.default_rng(0)
BYTES = RANDOM.integers(0, 256, (40, 5, 4), dtype=np.uint8)


@pytest.mark.parametrize(
    ("array", "options", "kind", "levels", "event_shape", "is_image", "dtype"),
    [
        (RANDOM.integers(0, 2, (40, 3)), {}, "binary", None, (3,), False, torch.uint8),
        (RANDOM.integers(0, 2, (40, 3)).astype(bool), {}, "binary", None, (3,), False, torch.uint8),
        (RANDOM.integers(0, 2, (40, 3)).astype(float), {}, "binary", None, (3,), False, torch.uint8),
        (BYTES, {}, "levels", 256, (1, 5, 4), True, torch.uint8),
        (np.minimum(BYTES, 9), {}, "levels", 256, (1, 5, 4), True, torch.uint8),
        (BYTES, {"image": False}, "levels", int(BYTES.max()) + 1, (5, 4), False, torch.uint8),
        (np.stack([BYTES] * 3, 1), {}, "levels", 256, (3, 5, 4), True, torch.uint8),
        (np.stack([BYTES] * 3, 3), {}, "levels", 256, (3, 5, 4), True, torch.uint8),
        (BYTES[:, None] / np.float32(255), {}, "levels", 256, (1, 5, 4), True, torch.uint8),
        (BYTES[:, None] / np.float32(254), {}, "real", None, (1, 5, 4), True, torch.float32),
        (RANDOM.permutation(120).reshape(40, 3) % 12, {}, "levels", 12, (3,), False, torch.uint8),
        (np.arange(120).reshape(40, 3) * 9, {}, "count", None, (3,), False, torch.int32),
        (np.arange(120).reshape(40, 3) - 5, {}, "real", None, (3,), False, torch.float32),
        (np.arange(120).reshape(40, 3) - 2**30, {}, "real", None, (3,), False, torch.float64),
        (np.arange(120.0).reshape(40, 3), {}, "real", None, (3,), False, torch.float64),
        (np.arange(120.0).reshape(40, 3), {"kind": "levels"}, "levels", 120, (3,), False, torch.uint8),
        (np.arange(120.0).reshape(40, 3), {"kind": "count"}, "count", None, (3,), False, torch.int32),
        (RANDOM.integers(0, 2, (40, 3)), {"kind": "real"}, "real", None, (3,), False, torch.float32),
        (RANDOM.normal(size=(40, 3)).astype(np.float16), {}, "real", None, (3,), False, torch.float32),
        (RANDOM.normal(size=40), {}, "real", None, (1,), False, torch.float64),
        (np.arange(120, dtype=">u2").reshape(40, 3) * 100, {}, "count", None, (3,), False, torch.int32),
    ],
)
def test_kinds_are_recognised(
    array: np.ndarray,
    options: dict[str, Any],
    kind: str,
    levels: int | None,
    event_shape: tuple[int, ...],
    is_image: bool,
    dtype: torch.dtype,
) -> None:
    source = as_source(array, **options)
    found = (source.kind, source.levels, tuple(source.event_shape), source.is_image, source.splits["train"].dtype)
    assert found == (kind, levels, event_shape, is_image, dtype)
    assert source.kind_reason in source.describe()
    assert source.kind_reason


def test_channels_come_first_and_scaled_bytes_are_bytes_again() -> None:
    last = as_source({"train": np.stack([BYTES] * 3, 3)}, fractions=(0.5, 0.25, 0.25))
    scaled = as_source({"train": torch.from_numpy(BYTES / 255).unsqueeze(1)}, fractions=(0.5, 0.25, 0.25))
    plain = as_source(BYTES, fractions=(0.5, 0.25, 0.25))
    for split, pixels in plain.splits.items():
        assert torch.equal(scaled.splits[split], pixels)
        assert torch.equal(last.splits[split], pixels.expand(-1, 3, -1, -1))


def test_all_splits_decide_about_the_levels() -> None:
    source = as_source({"train": np.zeros((5, 2), int), "valid": np.ones((5, 2), int), "test": np.full((5, 2), 6)})
    assert (source.kind, source.levels) == ("levels", 7)


def test_a_random_split_is_a_partition_and_a_function_of_seed_and_size() -> None:
    rows = torch.arange(200.0).unsqueeze(1)
    source = as_source(rows)
    assert [len(values) for values in source.splits.values()] == [160, 20, 20]
    everything = torch.cat(list(source.splits.values())).flatten()
    assert torch.equal(everything.sort().values, rows.flatten())
    assert torch.equal(as_source(rows * 2).splits["test"], source.splits["test"] * 2)
    assert not torch.equal(as_source(rows, seed=1).splits["test"], source.splits["test"])
    held_out = as_source(rows, fractions=(0.5, 0.2, 0.3))
    assert [len(values) for values in held_out.splits.values()] == [100, 40, 60]


@pytest.mark.parametrize("size", [3, 4, 5, 7, 11, 1797])
def test_no_part_of_a_split_is_empty(size: int) -> None:
    for fractions in [(0.8, 0.1, 0.1), (0.02, 0.49, 0.49), (0.98, 0.01, 0.01)]:
        parts = random_split(size, seed=0, fractions=fractions)
        assert min(map(len, parts)) >= 1
        assert torch.equal(torch.cat(parts).sort().values, torch.arange(size))


def test_missing_validation_data_are_taken_from_the_training_data() -> None:
    source = as_source({"train": torch.arange(90.0), "test": torch.arange(5.0)})
    assert [len(values) for values in source.splits.values()] == [80, 10, 5]
    assert list(as_source({"train": torch.arange(9.0), "valid": torch.arange(5.0)}).splits) == ["train", "valid"]


def test_labels_follow_their_examples() -> None:
    rows = torch.arange(100)
    source = as_source({"train": rows.unsqueeze(1) * 1.5, "train_labels": rows % 7})
    for split, values in source.splits.items():
        assert torch.equal(source.labels[split], (values.flatten() / 1.5).long() % 7)
    assert source.num_labels == 7


def test_a_source_keeps_its_own_copy() -> None:
    array, tensor = np.ones((10, 2)), torch.ones(10, 2) * 0.5
    sources = [as_source(array, kind="real"), as_source(tensor)]
    array[:] = 7
    tensor.zero_()
    assert [source.splits["train"].unique().item() for source in sources] == [1.0, 0.5]
    assert as_source(sources[0]) is sources[0]


def test_files_round_trip(tmp_path: Path) -> None:
    rows = RANDOM.normal(size=(50, 3))
    np.save(tmp_path / "rows.npy", rows)
    np.savez_compressed(tmp_path / "named.npz", train=rows, test=rows[:7], valid=rows[:9], train_lengths=np.ones(3))
    np.savez(tmp_path / "one.npz", whatever=rows)
    np.savez(tmp_path / "labelled.npz", data=rows, labels=np.arange(50) % 3)
    single = as_source(tmp_path / "rows.npy")
    assert single.name == "rows"
    assert torch.equal(single.splits["valid"], as_source(rows).splits["valid"])
    assert torch.equal(as_source(str(tmp_path / "one.npz")).splits["valid"], single.splits["valid"])
    assert [len(values) for values in as_source(tmp_path / "named.npz").splits.values()] == [50, 9, 7]
    assert as_source(tmp_path / "labelled.npz", name="mine").describe().startswith("mine: 40 train / 5 valid / 5 test")
    assert as_source(tmp_path / "labelled.npz").num_labels == 3


def test_folds(tmp_path: Path) -> None:
    rows, folds = np.arange(50.0), np.arange(50) % 5
    np.savez(tmp_path / "folds.npz", data=rows, fold=folds, labels=folds)
    source = as_source(tmp_path / "folds.npz", fold=4)
    assert source.splits["test"].flatten().tolist() == rows[folds == 4].tolist()
    assert source.splits["valid"].flatten().tolist() == rows[folds == 0].tolist()
    assert source.splits["train"].flatten().tolist() == rows[(folds > 0) & (folds < 4)].tolist()
    assert source.labels["valid"].unique().tolist() == [0]
    with pytest.raises(DataError, match=r"folds \[0, 1, 2, 3, 4\] and fold=9. Choose one of the folds"):
        as_source(tmp_path / "folds.npz", fold=9)


def test_broken_files_are_named(tmp_path: Path) -> None:
    rows = RANDOM.normal(size=(500, 3))
    np.save(tmp_path / "whole.npy", rows)
    np.savez(tmp_path / "whole.npz", train=rows)
    np.save(tmp_path / "objects.npy", np.array([{"a": 1}] * 4, dtype=object))
    np.save(tmp_path / "texts.npy", np.array(["a", "b", "c"]))
    np.savez(tmp_path / "stranger.npz", left=rows, right=rows)
    for name in ("whole.npy", "whole.npz"):
        content = (tmp_path / name).read_bytes()
        (tmp_path / f"cut-{name}").write_bytes(content[: len(content) // 2])
    corrupt = bytearray((tmp_path / "whole.npz").read_bytes())
    corrupt[3000:3100] = bytes(100)
    (tmp_path / "corrupt.npz").write_bytes(corrupt)
    (tmp_path / "empty.npy").touch()
    (tmp_path / "text.npy").write_text("hello")
    for name, match in {
        "cut-whole.npy": r"expected a whole NumPy file of numbers; got '.*cut-whole.npy'",
        "cut-whole.npz": r"got '.*cut-whole.npz', which cannot be read",
        "corrupt.npz": r"got '.*corrupt.npz', which cannot be read",
        "objects.npy": r"got '.*objects.npy', which cannot be read",
        "text.npy": r"got '.*text.npy', which cannot be read",
        "empty.npy": r"got '.*empty.npy', which is empty",
        "texts.npy": r"expected numbers in split train of texts \(.*texts.npy\); got an array of <U1",
        "stranger.npz": r"arrays named train, valid and test, or data, in '.*stranger.npz'; got left, right",
    }.items():
        with pytest.raises(DataError, match=match):
            as_source(tmp_path / name)


@pytest.mark.parametrize(
    ("data", "options", "error", "match"),
    [
        (np.array([[1.0, 2.0], [3.0, np.nan], [0.0, 0.0]]), {}, DataError, r"got nan in row 1, column 1 of split train"),
        (np.array([[1.0], [np.inf], [3.0]]), {"kind": "levels"}, DataError, r"got inf in row 1, column 0"),
        (np.array([[0.0], [0.5], [1.0]]), {"kind": "binary"}, DataError, r"kind binary \(bits\).*got 0.5 in row 1"),
        (np.zeros((0, 3)), {}, DataError, r"at least one example"),
        (np.zeros((2, 3)), {}, DataError, r"expected at least 3 examples to split; got 2"),
        (np.array(3.0), {}, DataError, r"at least one example.*got shape \(\). Examples lie along the first axis"),
        (np.zeros((9, 3), complex), {}, DataError, r"expected numbers.*complex128"),
        (torch.zeros(9, 3, dtype=torch.complex64), {}, DataError, r"expected real numbers"),
        ({"train": np.zeros((9, 3)), "test": np.zeros((9, 4))}, {}, ShapeError, r"events of shape \(3,\)"),
        ({"training": np.zeros((9, 3)), "b": np.zeros(9)}, {}, DataError, r"in the mapping; got training, b"),
        ({"train": np.zeros((9, 3)), "train_labels": np.full(9, -1)}, {}, DataError, r"got -1 in row 0"),
        ({"train": np.zeros((9, 3)), "train_labels": np.full(9, 0.5)}, {}, DataError, r"whole numbers as labels"),
        ([1, 2, 3], {}, DataError, r"got list. Convert it with torch.as_tensor"),
        (np.zeros((9, 3)), {"kinds": "real"}, ConfigurationError, r"got 'kinds'. Did you mean 'kind'\?"),
        (np.zeros((9, 3)), {"kind": "reel"}, ConfigurationError, r"got 'reel'. Did you mean 'real'\?"),
        (np.zeros((9, 3)), {"fractions": (0.9, 0.2, 0.1)}, ConfigurationError, r"three positive shares that add up to 1"),
        ("digitz", {}, UnknownNameError, r"Unknown data set 'digitz'. Did you mean 'digits'.*no file or folder"),
        ("moons", {"noise": -1.0}, ConfigurationError, r"moons: expected noise to be a float of at least 0; got -1.0"),
        ("moons", {"points": 3}, ConfigurationError, r"moons: expected the name of an option; got 'points'"),
        ("./nowhere", {}, DataError, r"file or folder that exists; got './nowhere'"),
        ("nowhere/data.csv", {}, DataError, r"file or folder that exists; got 'nowhere/data.csv'"),
        ("nowhere.csv", {}, DataError, r"file that exists; got 'nowhere.csv', looked for in"),
        (Path("digits"), {}, DataError, r"got 'digits'. Check the spelling"),
    ],
)
def test_what_is_no_data(data: Any, options: dict[str, Any], error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        as_source(data, **options)


class Pairs(Dataset):
    """A data set of pairs, as torchvision has them; `item` says what one is."""

    def __init__(self, item: Any, size: int = 12) -> None:
        self.item, self.size = item, size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, position: int) -> Any:
        return self.item(position)


def test_torch_datasets() -> None:
    rows = torch.arange(24.0).reshape(12, 2)
    plain = as_source(TensorDataset(rows))
    labelled = as_source(TensorDataset(rows, torch.arange(12) % 3))
    for split in ("train", "valid", "test"):
        assert torch.equal(plain.splits[split], as_source(rows).splits[split])
        assert torch.equal(labelled.labels[split], (labelled.splits[split][:, 0] / 2).long() % 3)
    pictures = as_source(Pairs(lambda position: (torch.full((1, 4, 4), position / 255), position % 2)))
    assert (pictures.kind, pictures.levels, pictures.is_image, pictures.num_labels) == ("levels", 256, True, 2)
    arrays = as_source(Pairs(lambda position: np.full((4, 5), position, np.uint8)))
    assert (arrays.kind, tuple(arrays.event_shape)) == ("levels", (1, 4, 5))


class Stream(IterableDataset):
    def __iter__(self) -> Any:
        yield torch.zeros(2)


@pytest.mark.parametrize(
    ("data", "match"),
    [
        (Pairs(lambda position: torch.zeros(position + 1)), r"events of one shape.*got shapes \[\(1,\), \(2,\)"),
        (Pairs(lambda position: torch.zeros(2), size=0), r"got shapes \[\] and 0 labels for 0 items"),
        (
            Pairs(lambda position: (torch.zeros(2), torch.zeros(2))),
            r"pairs of an event and a whole number; got Tensor, Tensor",
        ),
        (Pairs(lambda position: (torch.zeros(2), 1, 2)), r"got Tensor, int, int in item 0"),
        (Pairs(lambda position: "text"), r"got str in item 0. Give the Dataset a transform"),
        (Pairs(lambda position: torch.zeros(2) if position else (torch.zeros(2), 1)), r"1 labels for 12 items"),
        (Stream(), r"expected a Dataset with a length"),
    ],
)
def test_datasets_that_do_not_fit(data: Dataset, match: str) -> None:
    with pytest.raises(DataError, match=match):
        as_source(data)


def test_a_file_with_a_bad_value_is_called_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "below").mkdir()
    np.save("below/holes.npy", np.array([[1.0, 2.0], [3.0, np.nan], [0.0, 0.0]]))
    with pytest.raises(DataError, match=r"expected finite numbers in holes \(below/holes.npy\); got nan in row 1"):
        as_source("below/holes.npy")

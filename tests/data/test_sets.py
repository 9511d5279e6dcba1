"""The data sets that come with the core."""

from __future__ import annotations

import itertools
import math
import subprocess
import sys

import pytest
import torch

from probgen.data import Source, as_source
from probgen.data.specs import DATA_SPECS

TOYS = [spec.name for spec in DATA_SPECS if spec.target.startswith("probgen.data.toys:")]


def everything(source: Source) -> torch.Tensor:
    return torch.cat(list(source.splits.values()))


@pytest.mark.parametrize("name", [spec.name for spec in DATA_SPECS])
def test_every_registered_set_is_a_source_of_its_name(name: str) -> None:
    source = as_source(name)
    assert source.name == name
    assert list(source.splits) == ["train", "valid", "test"]
    again = as_source(name)
    for split, values in source.splits.items():
        assert torch.equal(values, again.splits[split])


def test_specs_do_not_import_torch() -> None:
    code = "import sys, probgen.data.specs; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_names_what_it_has() -> None:
    import probgen.data

    for name in probgen.data.__all__:
        assert getattr(probgen.data, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'sauce'"):
        probgen.data.sauce  # noqa: B018


def test_digits() -> None:
    source = as_source("digits")
    assert {split: tuple(values.shape) for split, values in source.splits.items()} == {
        "train": (1197, 1, 8, 8),
        "valid": (300, 1, 8, 8),
        "test": (300, 1, 8, 8),
    }
    assert (source.kind, source.levels, source.is_image, source.num_labels) == ("levels", 17, True, 10)
    pixels = everything(source)
    assert pixels.dtype == torch.uint8
    assert (int(pixels.min()), int(pixels.max())) == (0, 16)
    assert torch.bincount(torch.cat(list(source.labels.values()))).tolist() == [
        178,
        182,
        177,
        183,
        181,
        182,
        181,
        179,
        174,
        180,
    ]
    assert len(torch.unique(pixels.flatten(1), dim=0)) == 1797  # so no example is in two splits
    other = as_source("digits", seed=1)
    assert not torch.equal(other.splits["test"], source.splits["test"])
    assert int(everything(other).sum()) == int(pixels.sum())


def test_pictures_of_digits_keep_their_labels() -> None:
    """A nearest-mean classifier gets digits right; shuffled labels would be at one in ten."""
    source = as_source("digits")
    train, test = (source.splits[split].flatten(1).float() for split in ("train", "test"))
    means = torch.stack([train[source.labels["train"] == label].mean(0) for label in range(10)])
    predicted = torch.cdist(test, means).argmin(1)
    assert (predicted == source.labels["test"]).float().mean() > 0.85


@pytest.mark.parametrize("name", TOYS)
def test_toys(name: str) -> None:
    source = as_source(name, n=500)
    assert [len(values) for values in source.splits.values()] == [400, 50, 50]
    assert source.event_shape == (2,)
    assert source.kind == "real"
    assert source.num_labels == len(torch.cat(list(source.labels.values())).unique())
    assert not torch.equal(source.splits["train"], as_source(name, n=500, seed=1).splits["train"])


def test_twenty_five_gaussians_are_where_they_are_said_to_be() -> None:
    source = as_source("twenty-five-gaussians", n=20_000)
    points, labels = everything(source).double(), torch.cat(list(source.labels.values()))
    means = torch.tensor(list(itertools.product((-4.0, -2.0, 0.0, 2.0, 4.0), repeat=2)), dtype=torch.float64)
    residuals = points - means[labels]
    n = residuals.numel()
    assert abs(float(residuals.mean())) < 5 * 0.05 / math.sqrt(n)
    assert abs(float(residuals.square().mean()) / 0.05**2 - 1) < 5 * math.sqrt(2 / n)
    counts = torch.bincount(labels).double()
    assert (counts - 800).abs().max() < 5 * math.sqrt(800)


def test_the_checkerboard_is_even_on_its_dark_squares() -> None:
    points = everything(as_source("checkerboard", n=16_000))
    square = ((points + 4) / 2).floor().long()
    assert bool(((square.sum(1) % 2) == 0).all())
    counts = torch.bincount(square[:, 0] * 4 + square[:, 1], minlength=16)
    occupied = counts[counts > 0]
    assert len(occupied) == 8
    assert (occupied - 2000).abs().max() < 5 * math.sqrt(2000)


def test_circles_and_moons_without_noise_are_curves() -> None:
    circles = as_source("circles", noise=0.0)
    radii = everything(circles).norm(dim=1)
    labels = torch.cat(list(circles.labels.values()))
    torch.testing.assert_close(radii, torch.where(labels == 0, 1.0, 0.5))
    moons = as_source("moons", noise=0.0)
    points, labels = everything(moons), torch.cat(list(moons.labels.values()))
    centres = torch.where(labels.unsqueeze(1) == 0, torch.tensor([0.0, 0.0]), torch.tensor([1.0, 0.5]))
    torch.testing.assert_close((points - centres).norm(dim=1), torch.ones(len(points)))


@pytest.mark.parametrize(("size", "count"), [(2, 6), (3, 14), (4, 30), (5, 62)])
def test_bars_and_stripes(size: int, count: int) -> None:
    source = as_source("bars-and-stripes", size=size)
    pictures = source.splits["train"].squeeze(1)
    assert pictures.shape == (count, size, size)
    assert len(torch.unique(pictures.flatten(1), dim=0)) == count
    rows_constant = (pictures == pictures[:, :, :1]).flatten(1).all(1)
    columns_constant = (pictures == pictures[:, :1, :]).flatten(1).all(1)
    assert bool((rows_constant | columns_constant).all())
    assert int((rows_constant & columns_constant).sum()) == 2
    assert source.kind == "binary"
    assert source.view().name == "binary"
    assert torch.equal(source.splits["train"], source.splits["test"])

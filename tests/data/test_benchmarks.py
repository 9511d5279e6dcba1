"""Published benchmark files, where there are any: numbers that the loader alone decides, to the last digit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from probgen.data import Source, as_source

SIZES_AND_FACTORISED = {
    "binary20/nltcs": (16, 16181, 2157, 3236, -9.234),
    "binary20/plants": (69, 17412, 2321, 3482, -31.266),
    "binary20/dna": (180, 1600, 400, 1186, -100.386),
    "binary20/ad": (1556, 2461, 327, 491, -63.817),
    "nade-uci/adult": (123, 5000, 1414, 26147, -25.772),
    "nade-uci/mushrooms": (112, 2000, 500, 5624, -34.232),
}


def factorised(source: Source) -> float:
    """Return the test log-likelihood of independent Bernoulli entries with add-one smoothing."""
    view = source.view("binary")
    train, test = (view.split(split).all().x.double() for split in ("train", "test"))
    probability = (train.sum(0) + 1) / (len(train) + 2)
    return float(torch.distributions.Bernoulli(probability).log_prob(test).sum(1).mean())


@pytest.mark.parametrize("name", SIZES_AND_FACTORISED)
def test_binary_sets_give_their_factorised_baseline(benchmarks: Path, name: str) -> None:
    source = as_source(benchmarks / f"{name}.npz")
    size, train, valid, test, baseline = SIZES_AND_FACTORISED[name]
    assert source.event_shape == (size,)
    assert [len(values) for values in source.splits.values()] == [train, valid, test]
    assert source.kind == "binary"
    assert round(factorised(source), 3) == baseline


def test_piano_rolls_give_their_baseline(benchmarks: Path) -> None:
    source = as_source(benchmarks / "polyphonic-music" / "jsb_chorales.npz")
    view = source.view()
    train, test = (view.split(split).all().x.double() for split in ("train", "test"))
    probability = (train.sum(0) + 1) / (len(train) + 2)
    per_frame = torch.distributions.Bernoulli(probability).log_prob(test).sum(1).mean()
    assert round(float(per_frame), 3) == -11.061


@pytest.mark.slow
def test_fixed_binarisation_gives_its_factorised_baseline(benchmarks: Path) -> None:
    source = as_source(benchmarks / "binarized-mnist" / "binarized_mnist.npz")
    assert source.event_shape == (784,)
    assert round(factorised(source), 3) == -205.793


@pytest.mark.parametrize(
    ("name", "first_labels", "mean"),
    [("mnist", [5, 0, 4, 1, 9], 0.1307), ("fashion-mnist", [9, 0, 0, 3, 0], 0.2860)],
)
def test_pictures_in_idx_files(benchmarks: Path, name: str, first_labels: list[int], mean: float) -> None:
    source = as_source(benchmarks / name)
    assert [len(values) for values in source.splits.values()] == [50_000, 10_000, 10_000]
    assert source.event_shape == (1, 28, 28)
    assert (source.kind, source.levels, source.num_labels) == ("levels", 256, 10)
    assert source.labels["train"][:5].tolist() == first_labels
    together = torch.cat([source.splits["train"], source.splits["valid"]])
    assert round(float(together.mean(dtype=torch.float32)) / 255, 4) == mean  # the published mean of all 60000


def test_a_table_of_wines(benchmarks: Path) -> None:
    path = benchmarks / "uci-continuous" / "winequality-red.csv.gz"
    source = as_source(path, label="quality")
    assert (source.name, source.kind, source.event_shape) == ("winequality-red", "real", (11,))
    assert source.columns[0] == "fixed acidity"
    assert source.columns[-1] == "alcohol"
    assert source.label_names == ("3", "4", "5", "6", "7", "8")
    assert sum(len(values) for values in source.splits.values()) == 1599
    assert as_source(path).event_shape == (12,)
    view = source.view("real")
    x = view.split("train").all().x
    torch.testing.assert_close(x.mean(0), torch.zeros(11), atol=1e-4, rtol=0)
    torch.testing.assert_close(x.std(0, correction=0), torch.ones(11))


def test_wine_folds_give_the_gaussian_in_both_units(benchmarks: Path) -> None:
    """A full Gaussian over RNADE's ten folds: -13.179 nats standardised by each training fold, -3.648 in own units."""
    standardised, own_units = [], []
    for fold in range(10):
        folds = as_source(benchmarks / "uci-continuous" / "red_wine_rnade_folds.npz", fold=fold)
        train = torch.cat([folds.splits["train"], folds.splits["valid"]])  # the published figure trains on nine folds
        source = Source(name="wine", splits={"train": train, "test": folds.splits["test"]}, kind="real")
        view = source.view("real")
        x, test = (view.split(split).all().x.double() for split in ("train", "test"))
        score = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov(correction=0)).log_prob(test)
        standardised.append(score.mean())
        own_units.append((score + view.log_abs_det(test)).mean())
    assert abs(float(torch.stack(own_units).mean()) + 3.648) < 1e-3
    assert round(float(torch.stack(standardised).mean()), 3) == -13.179

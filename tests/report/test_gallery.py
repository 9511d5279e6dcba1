"""The gallery: every model with its figures, told apart by what they are of, and real data beside them."""

from __future__ import annotations

import re

import pytest
import torch

from probgen import as_source
from probgen.evaluation import Evaluation, Metric
from probgen.report import Exhibit, gallery_page, gallery_picture


def exhibit(name, data, view, metrics):
    seen = as_source(data).view(view)
    return Exhibit(
        name=name,
        parameters=12345,
        seconds=75.0,
        evaluation=Evaluation(
            metrics=tuple(metrics), model=name, data=data, view=view, split="test", seed=0, seconds=1.0, notes=()
        ),
        view=seen,
        samples=seen.split("train").batch(torch.arange(36)).x,
    )


QUALITY = [
    Metric("c2st_accuracy", 0.61, "estimate", "share", None, 600),
    Metric("c2st_accuracy_floor", 0.49, "estimate", "share", None, 600),
    Metric("c2st_accuracy_ceiling", 0.97, "estimate", "share", None, 600),
]
BOUND = [
    Metric("elbo", -18.0, "lower bound", "nats", 0.2, 300),
    Metric("bits_per_dim", 0.4, "upper bound", "bits/dim", 0.01, 300),
]


def test_each_number_says_what_it_is():
    page = gallery_page(
        [exhibit("latent/<vae>", "digits", "binary", [*BOUND, *QUALITY]), exhibit("gan/mlp", "digits", "binary", QUALITY)],
        b"\x89PNG",
    )
    rows = re.findall(r"<tr><th scope='row'>.*?</tr>", page)
    assert "latent/&lt;vae&gt;" in page
    assert any("≥ −18.00 ± 0.20" in row and "lower bound" in row and "≤ 0.400 ± 0.010" in row for row in rows)
    assert any("gan/mlp" in row and "cannot score" in row for row in rows)
    assert any("0.61" in row for row in rows)
    assert any("training data" in row and "0.49" in row for row in rows)
    assert any("independent pixels" in row and "0.97" in row for row in rows)
    assert "alt='Samples of" in page


@pytest.mark.parametrize(("data", "view"), [("digits", "binary"), ("moons", "real")])
def test_the_picture_has_a_place_for_each_model_and_for_the_data(data, view):
    made = gallery_picture([exhibit(name, data, view, BOUND) for name in ("one", "two", "three", "four")])
    assert [axes.get_title(loc="left") for axes in made.axes] == ["one", "two", "three", "four", "held-out data"]

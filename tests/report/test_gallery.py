"""The gallery: every model with its figures, told apart by what they are of, and real data beside them."""

from __future__ import annotations

import base64
import dataclasses
import io
import re

import numpy as np
import pytest
import torch
from PIL import Image

from probgen import as_source
from probgen.evaluation import Evaluation, Metric
from probgen.report import Exhibit, gallery_page, gallery_picture
from probgen.report.exhibit import alike
from probgen.report.tiles import Tile, tile_png


def exhibit(name, data, view, metrics, *, context=None, **fields):
    seen = as_source(data).view(view, context=context)
    return Exhibit(
        name=name,
        parameters=12345,
        seconds=75.0,
        evaluation=Evaluation(
            metrics=tuple(metrics), model=name, data=data, view=view, split="test", seed=0, seconds=1.0, notes=()
        ),
        view=seen,
        samples=seen.split("train").batch(torch.arange(36)).x,
        **fields,
    )


QUALITY = [
    Metric("mmd_squared", 0.0123, "estimate", "kernel", 0.0011, 600),
    Metric("c2st_accuracy", 0.61, "estimate", "share", None, 600),
    Metric("c2st_accuracy_floor", 0.49, "estimate", "share", None, 600),
    Metric("c2st_accuracy_ceiling", 0.97, "estimate", "share", None, 600),
]
BOUND = [
    Metric("elbo", -18.0, "lower bound", "nats", 0.2, 300, note="IS-<500>"),
    Metric("bits_per_dim", 0.4, "upper bound", "bits/dim", 0.01, 300),
    Metric("log_likelihood_floor", -24.0, "exact", "nats", 0.2, 300),
]


def rows_of(page):
    return re.findall(r"<tr><th scope='row'>.*?</tr>", page)


def test_each_number_says_what_it_is():
    page = gallery_page(
        [exhibit("latent/<vae>", "digits", "binary", [*BOUND, *QUALITY]), exhibit("gan/mlp", "digits", "binary", QUALITY)]
    )
    rows = rows_of(page)
    assert "latent/&lt;vae&gt;" in page
    assert any("≥ −18.00 ± 0.20" in row and "lower bound" in row and "≤ 0.400 ± 0.010" in row for row in rows)
    assert any("IS-&lt;500&gt;" in row and "<td class=number>300</td>" in row for row in rows)
    assert any("gan/mlp" in row and "scores nothing" in row for row in rows)
    assert any("floor" in row and "−24.00 ± 0.20" in row for row in rows)
    assert "alt='Samples of latent/&lt;vae&gt;.'" in page


def test_sample_quality_stands_between_its_floor_and_its_ceiling():
    page = gallery_page([exhibit("latent/vae", "digits", "binary", [*BOUND, *QUALITY])])
    accuracies = [accuracy for row in rows_of(page) for accuracy in re.findall(r"meter.*?</span>([\d.]+)", row)]
    assert accuracies == ["0.49", "0.61", "0.97"]
    assert any("0.0123 ± 0.0011" in row and "<td class=number>300</td>" in row for row in rows_of(page))


def test_models_stand_from_the_nearest_to_the_data_to_the_farthest():
    near, far = ([dataclasses.replace(QUALITY[1], value=value), *QUALITY[2:]] for value in (0.55, 0.85))
    page = gallery_page([exhibit("far", "digits", "binary", far), exhibit("near", "digits", "binary", near)])
    accuracies = [accuracy for row in rows_of(page) for accuracy in re.findall(r"meter.*?</span>([\d.]+)", row)]
    assert accuracies == ["0.49", "0.55", "0.85", "0.97"]


def test_figures_of_the_datas_own_values_are_compared_and_those_of_bits_stand_apart():
    shown = [exhibit(view, "digits", view, BOUND) for view in ("categorical", "binary", "real", "unit-interval")]
    assert [[each.name for each in group] for group in alike(shown)] == [
        ["categorical", "real", "unit-interval"],
        ["binary"],
    ]
    shown = [exhibit("labelled", "digits", "real", BOUND, context="label"), *shown]
    assert [each.name for each in alike(shown)[0]] == ["labelled"]
    page = gallery_page(shown)
    assert page.count("<h3>Of the data&#x27;s own 17 levels; test split</h3>") == 2
    assert page.count("<h3>Of the bits of the view &#x27;binary&#x27;, which are not the raw data; test split</h3>") == 2


def test_it_says_what_each_model_is_took_and_lacks():
    shown = exhibit(
        "latent/vae", "digits", "binary", BOUND, summary="A <model>.", settings="epochs 3", report="a%20b/r.html"
    )
    shown = dataclasses.replace(shown, evaluation=dataclasses.replace(shown.evaluation, notes=("c2st is left out: few",)))
    page = gallery_page([shown], command="probgen gallery 'a b'")
    assert any("A &lt;model&gt;." in row and "1 min 15 s" in row and "epochs 3" in row for row in rows_of(page))
    assert "<a href='a%20b/r.html'>latent/vae</a>" in page
    assert "latent/vae: c2st is left out: few" in page
    assert "probgen gallery &#x27;a b&#x27;" in page


@pytest.mark.parametrize(("data", "view"), [("digits", "binary"), ("moons", "real")])
def test_the_picture_has_a_place_for_each_model_and_for_the_data(data, view):
    made = gallery_picture([exhibit(name, data, view, BOUND) for name in ("one", "two", "three", "four")])
    titles = [axes.get_title(loc="left") for axes in made.axes]
    assert titles[:4] == ["one", "two", "three", "four"]
    assert titles[4].startswith("held-out data")


def test_a_pixel_is_a_whole_number_of_pixels_wide():
    view = as_source("digits").view("categorical")
    events = view.split("test").batch(torch.arange(36)).x
    pixels = np.asarray(Image.open(io.BytesIO(tile_png(Tile("data", view, events, "black")))))
    assert pixels.shape[0] % 53 == 0  # six pictures of eight pixels, five seams
    factor = pixels.shape[0] // 53
    assert np.array_equal(pixels, pixels[::factor, ::factor].repeat(factor, 0).repeat(factor, 1))
    first = pixels[: 8 * factor : factor, : 8 * factor : factor]
    assert np.array_equal(first, (events[0, 0].numpy() / 16 * 255).round())


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_tables_are_shown_whatever_their_columns(columns):
    view = as_source(torch.randn(100, columns)).view("raw")
    tile = Tile("data", view, 1e6 * torch.ones(5, columns), "black")  # far out of the frame, which the data set
    assert tile_png(tile).startswith(b"\x89PNG")


def test_the_tiles_of_the_page_are_pictures():
    page = gallery_page([exhibit("one", "moons", "real", BOUND)])
    sources = re.findall(r"base64,([^']+)'", page)
    assert len(sources) == 2
    assert all(base64.b64decode(source).startswith(b"\x89PNG") for source in sources)

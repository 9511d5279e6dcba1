"""Views: what each is, the way back to the data, and the log-determinant between the two."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.distributions import constraints

from probgen.data import Frame, Source, View
from probgen.data.choosing import VIEW_SUPPORTS
from probgen.errors import DataError, ProbgenError, ShapeError, SupportError, UnknownNameError
from probgen.supports import inside, support_name

GENERATOR = torch.Generator().manual_seed(0)


def integers(high: int, *shape: int) -> torch.Tensor:
    return torch.randint(high, shape, generator=GENERATOR)


def normals(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=GENERATOR)


SOURCES: dict[str, Source] = {
    "bits": Source(name="bits", splits=dict.fromkeys(("train", "valid"), integers(2, 40, 5).to(torch.uint8)), kind="binary"),
    "grey": Source(
        name="grey",
        splits={"train": integers(256, 60, 1, 4, 3).to(torch.uint8), "valid": integers(256, 20, 1, 4, 3).to(torch.uint8)},
        kind="levels",
        levels=256,
        is_image=True,
        labels={"train": torch.arange(60) % 3, "valid": torch.arange(20) % 3},
    ),
    "levels": Source(name="levels", splits={"train": integers(17, 60, 6).to(torch.uint8)}, kind="levels", levels=17),
    "counts": Source(name="counts", splits={"train": integers(900, 50, 4).to(torch.int32)}, kind="count"),
    "table": Source(
        name="table",
        splits={"train": normals(50, 3) * torch.tensor([0.1, 30.0, 4.0]) + torch.tensor([5.0, -200.0, 0.0])},
        kind="real",
        columns=("a", "b", "c"),
    ),
    "unit": Source(name="unit", splits={"train": torch.rand(50, 3, generator=GENERATOR) * 0.9 + 0.05}, kind="real"),
    "photos": Source(
        name="photos", splits={"train": torch.rand(30, 3, 2, 2, generator=GENERATOR)}, kind="real", is_image=True
    ),
}
EVERY_VIEW = [(source, view) for source in SOURCES for view in SOURCES[source].view_names()]
every_view = pytest.mark.parametrize(("source", "name"), EVERY_VIEW, ids=["-".join(pair) for pair in EVERY_VIEW])


def test_which_views_are_offered() -> None:
    offered = {name: source.view_names() for name, source in SOURCES.items()}
    assert offered["bits"] == ("binary", "categorical", "unit-interval", "real", "logit", "raw")
    assert offered["grey"] == offered["levels"]
    assert offered["grey"][0] == "categorical"
    assert set(offered["grey"]) == set(VIEW_SUPPORTS)
    assert offered["counts"] == ("count", "real", "positive", "raw")
    assert offered["table"] == ("real", "raw")
    assert offered["unit"] == ("real", "raw", "unit-interval", "logit", "positive")
    assert {"binary", "binary-renewed"} < set(offered["photos"])


@every_view
def test_events_lie_in_the_support(source: str, name: str) -> None:
    view = SOURCES[source].view(name)
    batch = view.split("train").all(seed=3, epoch=2)
    assert view.event_shape == batch.x.shape[1:]
    assert bool(inside(view.support, batch.x, len(view.event_shape)).all())
    assert support_name(view.support) == VIEW_SUPPORTS[name]
    assert batch.x.dtype == (torch.int64 if name == "categorical" else torch.float32)


@every_view
def test_to_units_undoes_the_view(source: str, name: str) -> None:
    view = SOURCES[source].view(name)
    raw = SOURCES[source].splits["train"].float()
    for epoch in range(20):
        back = view.to_units(view.split("train").all(epoch=epoch).x)
        if not view.lossless:
            assert set(back.unique().tolist()) <= {0.0, 1.0}
        elif SOURCES[source].kind == "real":
            torch.testing.assert_close(back, raw)
        else:
            assert torch.equal(back, raw)  # to the last level, whatever the noise


@pytest.mark.parametrize("name", ["real", "unit-interval", "logit", "raw", "positive"])
def test_to_units_is_exact_on_many_draws(name: str) -> None:
    """The noise is only as fine as float32 can undo; finer noise would round across the edge of a level now and then."""
    pixels = torch.arange(256, dtype=torch.uint8).repeat(3000, 1)
    pixels[0] = 0  # so that standardisation has something to do
    view = Source(name="many", splits={"train": pixels}, kind="levels", levels=256).view(name)
    assert torch.equal(view.to_units(view.split("train").all().x), pixels.float())


@pytest.mark.parametrize("name", ["real", "raw", "positive"])
@pytest.mark.parametrize("largest", [1, 900, 60_000])
def test_to_units_is_exact_for_counts(name: str, largest: int) -> None:
    counts = torch.arange(largest + 1, dtype=torch.int32).unsqueeze(1)
    view = Source(name="counts", splits={"train": counts}, kind="count").view(name)
    for epoch in range(3):
        assert torch.equal(view.to_units(view.split("train").all(epoch=epoch).x), counts.float())


@every_view
def test_log_abs_det_is_that_of_autograd(source: str, name: str) -> None:
    """d view / d units, found by differentiating the continuous way back where there is one."""
    view = SOURCES[source].view(name)
    x = view.split("train").batch(torch.arange(5)).x
    reported = view.log_abs_det(x)
    assert reported.shape == (5,)
    if view.support.is_discrete or not view.lossless:
        assert not reported.any()
        assert not view.rescales
        return
    x = x.double()
    undo = {
        "logit": lambda v: (v.sigmoid() - 1e-6) / (1 - 2e-6) * (view.levels or 1),
        "unit-interval": lambda v: v * (view.levels or 1),
        "raw": lambda v: v,
        "positive": lambda v: v,
    }
    if name == "real":
        _, deviation = training_moments(SOURCES[source])
        undo["real"] = lambda v: v * deviation
    for event, value in zip(x, reported, strict=True):
        jacobian = torch.autograd.functional.jacobian(undo[name], event).reshape(event.numel(), event.numel())
        torch.testing.assert_close(value.double(), -torch.linalg.slogdet(jacobian).logabsdet, rtol=1e-4, atol=1e-4)
    assert view.rescales == bool((reported != 0).any())


def training_moments(source: Source) -> tuple[torch.Tensor, torch.Tensor]:
    train = source.splits["train"].double()
    dequantised = 0.0 if source.kind == "real" else 1.0
    return train.mean(0) + dequantised / 2, (train.var(0, correction=0) + dequantised / 12).sqrt()


@pytest.mark.parametrize("source", ["table", "grey", "counts", "bits"])
def test_the_real_view_is_standardised(source: str) -> None:
    view = SOURCES[source].view("real")
    mean, deviation = training_moments(SOURCES[source])
    draws = torch.stack([view.split("train").all(epoch=epoch).x for epoch in range(200)]).double().flatten(0, 1)
    error = 5 / math.sqrt(12 * len(draws)) / float(deviation.min()) + 1e-5  # of the noise; the data are fixed
    assert draws.mean(0).abs().max() < error
    assert (draws.std(0, correction=0) - 1).abs().max() < 0.05
    values = SOURCES[source].splits["train"].double()
    expected = (values + (0 if source == "table" else 0.5) - mean) / deviation
    noise = 0 if source == "table" else float((0.5 / deviation).max())
    assert (draws[: len(values)] - expected).abs().max() <= noise + 1e-4


def test_held_out_data_are_standardised_by_the_training_data() -> None:
    view = Source(
        name="s", splits={"train": torch.tensor([[0.0], [2.0]]), "test": torch.tensor([[11.0]])}, kind="real"
    ).view("real")
    assert view.split("test").all().x.tolist() == [[10.0]]


def test_a_constant_column_is_left_in_its_scale() -> None:
    view = Source(name="s", splits={"train": torch.tensor([[0.1, 0.0], [0.1, 4.0]])}, kind="real").view("real")
    assert view.split("train").all().x.tolist() == [[0.0, -1.0], [0.0, 1.0]]
    torch.testing.assert_close(view.log_abs_det(torch.zeros(2)), torch.tensor(-math.log(2.0)))


def test_a_gaussian_has_the_same_likelihood_in_every_unit() -> None:
    """log p of the data = log p of the view + log_abs_det, for a model that follows any affine map."""
    scores = []
    for name in ("raw", "real"):
        view = SOURCES["table"].view(name)
        x = view.split("train").all().x.double()
        normal = torch.distributions.MultivariateNormal(x.mean(0), x.T.cov(correction=0))
        scores.append((normal.log_prob(x) + view.log_abs_det(x)).mean())
    torch.testing.assert_close(scores[0], scores[1], atol=1e-4, rtol=0)
    wrong = normal.log_prob(x).mean()
    assert abs(wrong - scores[0]) > 1


def test_dequantised_uniform_levels_have_a_uniform_density() -> None:
    view = Source(name="u", splits={"train": torch.arange(8).unsqueeze(1)}, kind="levels", levels=8).view("unit-interval")
    log_prob = torch.zeros(8) + view.log_abs_det(view.split("train").all().x)  # density one on [0, 1]
    torch.testing.assert_close(log_prob, torch.full((8,), -math.log(8.0)))
    assert view.dequantised
    assert view.levels == 8


@pytest.mark.parametrize(("levels", "threshold"), [(2, 1), (3, 2), (17, 9), (256, 128)])
def test_binary_is_one_above_half_the_range(levels: int, threshold: int) -> None:
    values = torch.arange(levels, dtype=torch.uint8).unsqueeze(1)
    view = Source(name="ramp", splits={"train": values}, kind="levels", levels=levels).view("binary")
    bits = view.split("train").all().x.squeeze(1)
    assert torch.equal(bits, (torch.arange(levels) >= threshold).float())
    assert torch.equal(bits, (torch.arange(levels) / (levels - 1) > 0.5).float())
    assert (view.lossless, view.levels, view.unit) == (False, 2, "bits")


def test_renewed_bits_have_the_intensity_as_probability() -> None:
    ramp = torch.arange(17, dtype=torch.uint8).repeat(500, 1)
    view = Source(name="ramp", splits={"train": ramp}, kind="levels", levels=17).view("binary-renewed")
    draws = torch.cat([view.split("train").all(epoch=epoch).x for epoch in range(20)])
    intensity = torch.arange(17) / 16
    error = (intensity * (1 - intensity) / len(draws)).sqrt()
    assert bool(((draws.mean(0) - intensity).abs() <= 5 * error).all())
    assert draws[:, 0].max() == 0
    assert draws[:, 16].min() == 1


def test_labels_as_context() -> None:
    view = SOURCES["grey"].view("binary", context="label")
    batch = view.split("valid").batch(torch.tensor([4, 0, 5]))
    assert view.context_shape == (3,)
    assert batch.context is not None
    assert batch.context.tolist() == [[0.0, 1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]
    assert SOURCES["grey"].view("binary").split("valid").batch(torch.tensor([4])).context is None


@pytest.mark.parametrize(
    ("source", "accepts", "expected"),
    [
        ("grey", ("binary", "categorical", "real"), "binary"),
        ("grey", ("real", "binary"), "real"),
        ("grey", ("count",), "count"),
        ("grey", None, "categorical"),
        ("grey", (), "categorical"),
        ("bits", None, "binary"),
        ("bits", ("count", "positive", "unit-interval"), "unit-interval"),
        ("counts", ("binary", "categorical", "real"), "real"),
        ("table", ("binary", "categorical", "count", "unit-interval", "real"), "real"),
        ("photos", ("binary", "real"), "binary"),
    ],
)
def test_the_view_for_a_model_is_its_first_support_that_the_data_offer(
    source: str, accepts: tuple[str, ...] | None, expected: str
) -> None:
    assert SOURCES[source].view(accepts=accepts).name == expected


BAD: dict[str, tuple[str, dict[str, Any], type[ProbgenError], str]] = {
    "nothing fits": (
        "table",
        {"accepts": ("binary", "categorical")},
        SupportError,
        r"accepts \(binary, categorical\); got table, of kind real, which offers the views real, raw. "
        r"Choose a model that accepts real, or transform the data and declare their kind",
    ),
    "another fits": (
        "grey",
        {"name": "categorical", "accepts": ("binary", "real")},
        SupportError,
        r"got 'categorical' of grey, whose support is categorical. Choose the view 'binary'.",
    ),
    "not offered": (
        "counts",
        {"name": "binary"},
        SupportError,
        r"counts, of kind count, offers \(count, .*got 'binary'. Choose the view",
    ),
    "not offered, nothing fits": (
        "table",
        {"name": "binary", "accepts": ("binary",)},
        SupportError,
        r"offers \(real, raw\); got 'binary'. Choose a model that accepts real",
    ),
    "misspelt": (
        "grey",
        {"name": "binary-renewd"},
        UnknownNameError,
        r"one of the views that grey offers \(categorical, .*; got 'binary-renewd'. Did you mean 'binary-renewed'\?",
    ),
    "no support": ("grey", {"accepts": ("reals",)}, SupportError, r"got 'reals'. Did you mean 'real'\?"),
    "no labels": ("bits", {"context": "label"}, DataError, r"labels in bits to condition on; got data without any.*label=…"),
    "no context": ("grey", {"context": "labels"}, UnknownNameError, r"expected the context 'label' or none; got 'labels'"),
}


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_says_what_would(case: str) -> None:
    source, options, error, match = BAD[case]
    with pytest.raises(error, match=match):
        SOURCES[source].view(**options)


def test_a_missing_split_is_named() -> None:
    with pytest.raises(DataError, match=r"expected a split of bits \(train, valid\); got 'test'"):
        SOURCES["bits"].view().split("test")


@pytest.mark.parametrize("name", SOURCES["grey"].view_names())
def test_pictures_are_shown_between_black_and_white(name: str) -> None:
    view = SOURCES["grey"].view(name)
    shown = view.display(view.split("train").all().x)
    expected = SOURCES["grey"].splits["train"] / 255
    if view.lossless:
        torch.testing.assert_close(shown, expected)
    else:
        assert set(shown.unique().tolist()) == {0.0, 1.0}


def test_probabilities_are_shown_as_grey_and_samples_out_of_range_are_clamped() -> None:
    binary, real = SOURCES["grey"].view("binary"), SOURCES["grey"].view("real")
    assert binary.display(torch.full((1, 4, 3), 0.25)).unique().item() == 0.25
    far = real.display(torch.full((2, 1, 4, 3), 1e6))
    assert far.unique().item() == 1.0
    with pytest.raises(ShapeError, match=r"expected pictures.*got events of shape \(3,\) in table"):
        SOURCES["table"].view().display(torch.zeros(3))


def test_real_pictures_are_shown_over_the_range_of_the_training_data() -> None:
    source = Source(name="maps", splits={"train": torch.tensor([-2.0, 6.0]).reshape(2, 1, 1, 1)}, kind="real", is_image=True)
    assert source.view("raw").display(torch.tensor([[[-2.0]], [[2.0]], [[9.0]]]).unsqueeze(1)).flatten().tolist() == [
        0,
        0.5,
        1,
    ]


@every_view
def test_describe_names_the_view_and_the_data(source: str, name: str) -> None:
    view = SOURCES[source].view(name)
    for part in (f"view {name!r} of {source}", f"support {VIEW_SUPPORTS[name]}", str(tuple(view.event_shape))):
        assert part in view.describe()
    assert view.describe() in repr(view)
    assert len(view.columns) == len(view.header) == view.event_shape.numel()


@given(batch=st.lists(st.integers(1, 3), max_size=3), pair=st.sampled_from(EVERY_VIEW))
def test_shapes_of_the_way_back(batch: list[int], pair: tuple[str, str]) -> None:
    view: View = SOURCES[pair[0]].view(pair[1])
    x = view.split("train").batch(torch.tensor([0])).x[0].expand(*batch, *view.event_shape)
    assert view.to_units(x).shape == (*batch, *view.event_shape)
    assert view.log_abs_det(x).shape == tuple(batch)
    with pytest.raises(ShapeError, match=r"View.to_units: expected x of shape"):
        view.to_units(torch.zeros(*batch, 11, 13))


def test_views_follow_the_default_type() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        view = SOURCES["grey"].view("real", context="label")
        batch = view.split("train").all()
        assert batch.x.dtype == torch.float64
        assert batch.context is not None
        assert batch.context.dtype == torch.float64
        assert torch.equal(view.to_units(batch.x), SOURCES["grey"].splits["train"].double())
    finally:
        torch.set_default_dtype(torch.float32)


def test_supports_are_the_named_constraints() -> None:
    assert SOURCES["grey"].view("real").support is constraints.real
    assert SOURCES["grey"].view("binary").support is constraints.boolean
    assert SOURCES["grey"].support.upper_bound == 255  # type: ignore[attr-defined]


@pytest.mark.parametrize(("source", "name"), [(source, name) for source in SOURCES for name in SOURCES[source].view_names()])
def test_a_frame_brings_events_back_without_the_data(source: str, name: str) -> None:
    view = SOURCES[source].view(name)
    frame = Frame.from_json(json.loads(json.dumps(view.frame.to_json())))
    x = view.split("train").all().x
    assert torch.equal(frame.to_units(x), view.to_units(x))
    assert (frame.header, frame.levels, frame.support.is_discrete) == (view.header, view.levels, view.support.is_discrete)
    if view.is_image:
        assert torch.equal(frame.display(x), view.display(x))


@pytest.mark.parametrize("change", [{"lens": {"lens": "glass"}}, {"colour": 1}, {"display_range": [1]}])
def test_a_frame_that_was_altered_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(DataError, match=r"Frame\.from_json: expected what Frame\.to_json writes"):
        Frame.from_json({**SOURCES["grey"].view("real").frame.to_json(), **change})

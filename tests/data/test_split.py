"""Batches are pure functions of (seed, epoch, index)."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from probgen.data import Source, Split
from probgen.errors import ConfigurationError

PIXELS = (torch.arange(90 * 12) * 7919 % 17).reshape(90, 12).to(torch.uint8)
SOURCE = Source(
    name="pixels",
    splits={"train": PIXELS, "valid": PIXELS, "test": PIXELS},
    kind="levels",
    levels=17,
    labels=dict.fromkeys(("train", "valid", "test"), torch.arange(90) % 4),
)
RANDOM_VIEWS = [name for name in SOURCE.view_names() if SOURCE.view(name).random]


def split(view: str, name: str = "train") -> Split:
    return SOURCE.view(view, context="label").split(name)


def test_which_views_are_random() -> None:
    assert set(RANDOM_VIEWS) == {"binary-renewed", "unit-interval", "real", "logit", "positive", "raw"}


@given(index=st.lists(st.integers(0, 89), min_size=1, max_size=12), view=st.sampled_from(SOURCE.view_names()))
def test_an_example_is_the_same_whatever_the_batch(index: list[int], view: str) -> None:
    examples = split(view)
    batch = examples.batch(torch.tensor(index), seed=4, epoch=9)
    assert batch.index is not None
    assert batch.index.tolist() == index
    assert batch.context is not None
    assert batch.context.argmax(-1).tolist() == [position % 4 for position in index]
    for row, position in enumerate(index):
        alone = examples.batch(torch.tensor([position]), seed=4, epoch=9)
        assert torch.equal(alone.x[0], batch.x[row])


@pytest.mark.parametrize("view", RANDOM_VIEWS)
def test_noise_is_renewed_by_epoch_and_seed_and_differs_between_splits(view: str) -> None:
    base = split(view).all(seed=0, epoch=0).x
    assert torch.equal(base, split(view).all(seed=0, epoch=0).x)
    others = [split(view).all(seed=0, epoch=1).x, split(view).all(seed=1, epoch=0).x, split(view, "valid").all().x]
    for other in others:
        assert not torch.equal(base, other)


@pytest.mark.parametrize("view", RANDOM_VIEWS)
@pytest.mark.parametrize("name", ["valid", "test"])
def test_held_out_splits_do_not_change_with_the_epoch(view: str, name: str) -> None:
    first = split(view, name).all(seed=2, epoch=0).x
    assert torch.equal(first, split(view, name).all(seed=2, epoch=31).x)
    assert not torch.equal(first, split(view, name).all(seed=3, epoch=0).x)


@pytest.mark.parametrize("view", [name for name in SOURCE.view_names() if name not in RANDOM_VIEWS])
def test_other_views_have_no_noise(view: str) -> None:
    assert torch.equal(split(view).all(seed=0, epoch=0).x, split(view).all(seed=1, epoch=1).x)


def test_batches_go_through_everything_in_order() -> None:
    parts = list(split("real").batches(40, seed=1, epoch=2))
    assert [len(part) for part in parts] == [40, 40, 10]
    assert torch.equal(torch.cat([part.x for part in parts]), split("real").all(seed=1, epoch=2).x)
    with pytest.raises(ConfigurationError, match="batch_size of at least 1; got 0"):
        next(split("real").batches(0))


def test_a_batch_leaves_the_data_and_the_global_stream_alone() -> None:
    before, state = PIXELS.clone(), torch.get_rng_state()
    for view in SOURCE.view_names():
        split(view).all().x.zero_()
    assert torch.equal(PIXELS, before)
    assert torch.equal(SOURCE.splits["train"], before)
    assert torch.equal(torch.get_rng_state(), state)


def test_changing_a_batch_does_not_change_the_next_one() -> None:
    source = Source(name="table", splits={"train": torch.arange(6.0).reshape(3, 2)}, kind="real")
    examples = source.view("raw").split("train")
    examples.all().x.zero_()
    assert examples.all().x.tolist() == [[0, 1], [2, 3], [4, 5]]

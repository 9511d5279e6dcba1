"""Handwritten digits of 8x8 pixels: real data that come with scikit-learn, without a download."""

from __future__ import annotations

import torch

from probgen.data.assembling import random_split
from probgen.data.source import Source

__all__ = ["digits"]

_TEST = _VALID = 300


def digits(*, seed: int = 0) -> Source:
    """Return 1797 handwritten digits, `(1, 8, 8)` of 17 grey levels, with their labels: 1197 train, 300 valid, 300 test.

    Args:
        seed: Of the split.

    References:
        Alpaydin & Kaynak (1998), *Optical recognition of handwritten digits*, UCI machine learning repository.
    """
    from sklearn.datasets import load_digits  # a second to import, so only when it is asked for

    pixels, classes = load_digits(return_X_y=True)
    images = torch.as_tensor(pixels).to(torch.uint8).reshape(-1, 1, 8, 8)
    labels = torch.as_tensor(classes)
    held_out = (_VALID / len(images), _TEST / len(images))
    parts = random_split(len(images), seed=seed, fractions=(1 - sum(held_out), *held_out))
    picked = dict(zip(("train", "valid", "test"), parts, strict=True))
    return Source(
        name="digits",
        splits={split: images[rows] for split, rows in picked.items()},
        kind="levels",
        levels=17,
        labels={split: labels[rows] for split, rows in picked.items()},
        num_labels=10,
        label_names=tuple(map(str, range(10))),
        is_image=True,
        description="Handwritten digits of 8x8 pixels, the test part of the UCI set.",
        reference="Alpaydin & Kaynak (1998), UCI machine learning repository",
    )

"""Distributions in the plane to look at models with: drawn from a fixed seed, the part that a point is from as its label."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.random import Generator

from probgen.data.assembling import random_split
from probgen.data.source import Source

__all__ = ["checkerboard", "circles", "eight_gaussians", "moons", "pinwheel", "spirals", "twenty_five_gaussians"]


def moons(*, n: int = 10_000, noise: float = 0.1, seed: int = 0) -> Source:
    """Return two interleaved half circles of radius 1.

    Args:
        n: Points in all, over the three splits (80, 10 and 10 per cent); likewise below.
        noise: Standard deviation of the normal noise added to each coordinate.
        seed: Of the draws.
    """

    def draw(random: Generator, part: np.ndarray) -> np.ndarray:
        angle = random.uniform(0, math.pi, n)
        upper = np.stack([np.cos(angle), np.sin(angle)], 1)
        points = np.where(part[:, None] == 0, upper, [1, 0.5] - upper)
        return points + random.normal(0, noise, (n, 2))

    return _toy("moons", "Two interleaved half circles.", draw, n=n, parts=2, seed=seed)


def circles(*, n: int = 10_000, noise: float = 0.05, seed: int = 0) -> Source:
    """Return two concentric circles of radius 1 and 0.5, with normal `noise`."""

    def draw(random: Generator, part: np.ndarray) -> np.ndarray:
        angle = random.uniform(0, 2 * math.pi, n)
        radius = np.where(part == 0, 1.0, 0.5)
        return _polar(radius, angle) + random.normal(0, noise, (n, 2))

    return _toy("circles", "Two concentric circles.", draw, n=n, parts=2, seed=seed)


def eight_gaussians(*, n: int = 10_000, noise: float = 0.1, seed: int = 0) -> Source:
    """Return an even mixture of eight Gaussians with means on a circle of radius 2 and standard deviation `noise`."""

    def draw(random: Generator, part: np.ndarray) -> np.ndarray:
        return _polar(np.full(n, 2.0), part * math.pi / 4) + random.normal(0, noise, (n, 2))

    return _toy("eight-gaussians", "Eight Gaussians on a circle.", draw, n=n, parts=8, seed=seed)


def twenty_five_gaussians(*, n: int = 10_000, noise: float = 0.05, seed: int = 0) -> Source:
    r"""Return an even mixture of 25 Gaussians with means in $\{-4, -2, 0, 2, 4\}^2$ and standard deviation `noise`."""

    def draw(random: Generator, part: np.ndarray) -> np.ndarray:
        means = np.stack([part // 5, part % 5], 1) * 2.0 - 4
        return means + random.normal(0, noise, (n, 2))

    return _toy("twenty-five-gaussians", "25 Gaussians on a square grid.", draw, n=n, parts=25, seed=seed)


def checkerboard(*, n: int = 10_000, seed: int = 0) -> Source:
    r"""Return points uniform on the eight dark squares of a 4x4 board over $[-4, 4]^2$; its density there is 1/32."""

    def draw(random: Generator, part: np.ndarray) -> np.ndarray:
        row = part // 2
        column = 2 * (part % 2) + row % 2
        return (np.stack([column, row], 1) + random.uniform(0, 1, (n, 2))) * 2 - 4

    return _toy("checkerboard", "Uniform on the dark squares of a board.", draw, n=n, parts=8, seed=seed)


def spirals(*, n: int = 10_000, noise: float = 0.1, seed: int = 0) -> Source:
    """Return two interleaved spirals of one and a half turns and radius up to 3, with normal `noise`."""

    def draw(random: Generator, part: np.ndarray) -> np.ndarray:
        turn = np.sqrt(random.uniform(0, 1, n))  # the root spreads the points evenly along the spiral
        return _polar(3 * turn, 3 * math.pi * turn + math.pi * part) + random.normal(0, noise, (n, 2))

    return _toy("spirals", "Two interleaved spirals.", draw, n=n, parts=2, seed=seed)


def pinwheel(*, n: int = 10_000, noise: float = 0.1, seed: int = 0) -> Source:
    """Return five Gaussian blades around the origin, bent by a rotation that grows with the radius.

    Args:
        n: Points in all.
        noise: Standard deviation across a blade.
        seed: Of the draws.

    References:
        Johnson, Duvenaud, Wiltschko, Datta & Adams (2016), arXiv:1603.06277.
    """

    def draw(random: Generator, part: np.ndarray) -> np.ndarray:
        along, across = random.normal(1.0, 0.3, n), random.normal(0.0, noise, n)
        angle = 2 * math.pi * part / 5 + 0.25 * np.exp(along)
        rotated = np.stack(
            [along * np.cos(angle) - across * np.sin(angle), along * np.sin(angle) + across * np.cos(angle)], 1
        )
        return 2 * rotated

    return _toy("pinwheel", "Five bent blades.", draw, n=n, parts=5, seed=seed)


def _polar(radius: np.ndarray, angle: np.ndarray) -> np.ndarray:
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1)


def _toy(
    name: str, description: str, draw: Callable[[Generator, np.ndarray], np.ndarray], *, n: int, parts: int, seed: int
) -> Source:
    """Return the source of `n` points; `draw` places each, given which part of the distribution it is from."""
    random = np.random.default_rng(seed)
    part = random.integers(parts, size=n)
    points = torch.from_numpy(draw(random, part).astype(np.float32))
    labels = torch.from_numpy(part)
    rows = dict(zip(("train", "valid", "test"), random_split(n, seed=seed, fractions=(0.8, 0.1, 0.1)), strict=True))
    return Source(
        name=name,
        splits={split: points[positions] for split, positions in rows.items()},
        kind="real",
        labels={split: labels[positions] for split, positions in rows.items()},
        num_labels=parts,
        columns=("x", "y"),
        description=description,
    )

"""Moment matching: the squared maximum mean discrepancy between draws and data, with its gradient."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import torch
from torch import Tensor

from benchmarks.support.contest import Contestant, Goal, Row
from benchmarks.support.data import rows as table_rows
from benchmarks.support.loops import fit_step, torch_step
from benchmarks.support.setting import Setting
from probgen import MMD, Batch
from probgen.estimators.kernels import MultiscaleRBF
from probgen_gan.generator import DenseGenerator

__all__ = ["generator", "rows"]

FEATURES, BANDWIDTH = 32, 8.0
OCTAVES = range(-2, 3)


def rows(setting: Setting) -> Iterator[Row]:
    """Yield batches of a thousand and of four thousand."""
    yield _row(1024, Goal(0.80, 0.90), setting)
    yield _row(4096, Goal(0.35, 0.45), setting)


def _row(n: int, goal: Goal, setting: Setting) -> Row:
    x = table_rows(n, FEATURES)

    def probgen(execution: str) -> Contestant:
        return fit_step(generator(), x, MMD(kernel=MultiscaleRBF(BANDWIDTH)), setting, execution=execution)

    def by_hand() -> Contestant:
        model = setting.place(generator())
        return torch_step(_loss(model, setting.place(x)), model.parameters(), setting)

    def same_value(_: object) -> None:
        model = generator()
        (phase,) = MMD(kernel=MultiscaleRBF(BANDWIDTH)).phases(model)
        values = []
        for value in (lambda: phase.estimate(model, Batch(x), {}).value, _loss(model, x)):
            torch.manual_seed(0)
            values.append(value().detach())
        torch.testing.assert_close(values[0], values[1], rtol=1e-2, atol=1e-4)

    makers = {  # the optimiser's share is so small that its fused form makes no row of its own
        "torch": by_hand,
        "probgen": partial(probgen, "eager"),
        "probgen graph": partial(probgen, "graph"),
    }
    title = f"MMD, {n} draws against {n} events of {FEATURES} numbers, 5 Gaussian kernels: a training step"
    goals = {"probgen": goal, "probgen graph": goal}
    return Row(f"mmd-{n}", title, makers, goals=goals, agree=same_value, learning_steps=4)


def generator() -> DenseGenerator:
    """Return the generator that is trained, the same every time."""
    torch.manual_seed(0)
    return DenseGenerator(event_shape=(FEATURES,), noise_size=32, hidden=(128, 128))


def _loss(model: DenseGenerator, x: Tensor) -> Callable[[], Tensor]:
    """Return the discrepancy from the three Gram matrices, each held whole."""
    rates = [0.5 / (BANDWIDTH * 2.0**octave) ** 2 for octave in OCTAVES]

    def gram(one: Tensor, other: Tensor) -> Tensor:
        products = torch.addmm(other.square().sum(1), one, other.T, alpha=-2)
        squared = (products + one.square().sum(1, keepdim=True)).clamp(min=0)
        return sum(torch.exp(-rate * squared) for rate in rates) / len(rates)

    def within(events: Tensor) -> Tensor:
        matrix = gram(events, events)
        return (matrix.sum() - matrix.diagonal().sum()) / (len(events) * (len(events) - 1))

    def loss() -> Tensor:
        y = model.rsample((len(x),))
        return within(x) + within(y) - 2 * gram(x, y).mean()

    return loss

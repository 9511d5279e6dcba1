"""What `fit` costs beside a bare loop over the same phase of the same estimator."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import torch

from benchmarks.families.vae import Problem
from benchmarks.support.contest import Contestant, Goal, Row
from benchmarks.support.setting import Setting
from probgen import Batch, as_source, fit
from probgen.execution import Execution

__all__ = ["rows"]


def rows(setting: Setting) -> Iterator[Row]:
    """Yield a model so small that the trainer shows, and one of ordinary size."""
    yield _row("trainer-tiny", "VAE 64-32-32-8, batch 32", Problem(64, (32, 32), 8, 32), 1000, setting)
    yield _row("trainer", "VAE 784-400-400-20, batch 128", Problem(784, (400, 400), 20, 128), 100, setting)


def _row(name: str, what: str, problem: Problem, steps: int, setting: Setting) -> Row:
    x = problem.data()

    def trainer(execution: Execution) -> Contestant:
        model = problem.model()
        source = as_source({"train": x.repeat(20, 1)}, kind="binary", name="rows")
        options = {"device": setting.device, "precision": setting.precision, "progress": False, "execution": execution}

        def run() -> None:
            fit(model, source, problem.estimator(), steps=steps, batch_size=len(x), validate_every=steps, **options)

        return Contestant(run, lambda: list(model.parameters()))

    def bare() -> Contestant:
        model, batch = setting.place(problem.model()), Batch(setting.place(x))
        (phase,) = problem.estimator().phases(model)
        parameters = list(phase.parameters.values())

        def run() -> None:
            optimizer = torch.optim.Adam(parameters, fused=True)
            for _ in range(steps):
                with setting.autocast():
                    estimate = phase.estimate(model, batch, {})
                gradients = torch.autograd.grad(estimate.surrogate, parameters)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                optimizer.step()

        return Contestant(run, lambda: parameters)

    makers = {"bare loop": bare, "probgen fit eager": partial(trainer, "eager"), "probgen fit": partial(trainer, "auto")}
    title = (
        f"{what}: {steps} steps of `fit`, its start and a validation included, against a bare loop over the same estimator"
    )
    goals = dict.fromkeys(("probgen fit eager", "probgen fit"), Goal(1.03, 1.05))
    return Row(name, title, makers, base="bare loop", goals=goals, learning_steps=1)

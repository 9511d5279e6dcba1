"""The ways to train that contestants share: `fit`'s step, a hand-written loop, Pyro's SVI, NumPyro's."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.support.contest import Contestant, Unavailable
from benchmarks.support.setting import Setting
from probgen import Estimator, Stage, as_source
from probgen.data import matching_view
from probgen.training import OptimizerSettings, Settings
from probgen.training.stage_run import StageRun
from probgen.training.world import World

__all__ = ["fit_step", "numpyro_step", "pyro_step", "torch_step"]

_RATE = 1e-3
_COPIES = 20


def fit_step(
    model: nn.Module,
    x: Tensor,
    estimator: Estimator,
    setting: Setting,
    *,
    execution: str = "eager",
    kind: str | None = None,
    rate: float = _RATE,
    optimizer: OptimizerSettings | None = None,
    copies: int = _COPIES,
) -> Contestant:
    """Return a step of `fit`, all of it: the batch gathered, streams seeded, estimate, gradient, checks, metrics.

    `fit` calls `StageRun.step` in a loop; so does this, one step at a time. The data are `copies` of `x`, so that a batch is
    as large as `x` and, with several, seldom equal to it.
    """
    if execution == "inductor" and not setting.inductor:
        raise Unavailable("--no-inductor")
    source = as_source({"train": x.repeat(copies, *[1] * (x.ndim - 1))}, kind=kind, name="rows")
    stage = Stage(
        estimator, batch_size=len(x), optimizers=MappingProxyType({"*": optimizer or OptimizerSettings(learning_rate=rate)})
    )
    settings = Settings(precision=setting.precision, execution=execution, device=setting.device)
    setting.place(model)
    run = StageRun(model, stage, matching_view(source, model), settings, device=torch.device(setting.device), world=World())
    run.set_training(training=True)
    numbers = itertools.count()
    sign = {"maximise": -1.0, "minimise": 1.0, None: None}[estimator.objective.direction]

    def loss() -> float:
        return sign * run.phase_runs[0].read_metrics()["value"]

    def weights() -> list[Tensor]:
        return [parameter for phase in run.phase_runs for parameter in phase.parameters]

    return Contestant(lambda: run.step(next(numbers)), weights, None if sign is None else loss)


def torch_step(
    loss: Callable[[], Tensor],
    parameters: Iterable[nn.Parameter],
    setting: Setting,
    *,
    fused: bool = False,
    rate: float = _RATE,
) -> Contestant:
    """Return a step of a hand-written loop, by Adam as torch makes it by default or by its fused form."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=rate, fused=True if fused else None)
    last: list[Tensor] = []

    def step() -> None:
        with setting.autocast():
            value = loss()
        optimizer.zero_grad(set_to_none=True)
        value.backward()
        optimizer.step()
        last[:] = [value.detach()]

    return Contestant(step, lambda: trained, lambda: float(last[0]))


def pyro_step(
    model: Callable[[Tensor], None],
    guide: Callable[[Tensor], None],
    objective: Any,
    x: Tensor,
    parameters: Sequence[nn.Parameter],
    setting: Setting,
) -> Contestant:
    """Return a step of Pyro's SVI."""
    import pyro

    pyro.clear_param_store()  # a row has one contestant of Pyro's, and names of modules come again in the next row
    svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": _RATE}), objective)
    last: list[float] = []

    def step() -> None:
        with setting.autocast():
            last[:] = [svi.step(x)]

    return Contestant(step, lambda: parameters, lambda: last[0])


def numpyro_step(
    model: Callable[[Any], None], guide: Callable[[Any], None], objective: Any, x: Tensor, setting: Setting
) -> Contestant:
    """Return a jitted update of NumPyro's SVI; the time of its compilation is not counted."""
    import jax
    import numpyro

    if jax.default_backend() != {"cpu": "cpu", "cuda": "gpu"}[setting.device]:
        raise Unavailable(f"JAX has no {setting.device} here")
    if setting.precision != "float32":
        raise Unavailable("its loop is in float32")
    svi = numpyro.infer.SVI(model, guide, numpyro.optim.Adam(_RATE), objective)
    data = jax.numpy.asarray(x.cpu().numpy())
    update = jax.jit(svi.update)
    now = [svi.init(jax.random.key(0), data), 0.0]

    def step() -> None:
        now[:] = update(now[0], data)

    return Contestant(
        step,
        lambda: jax.tree.leaves(svi.get_params(now[0])),
        lambda: float(now[1]),
        finish=lambda: jax.block_until_ready(now[0]),
        spins=True,
    )

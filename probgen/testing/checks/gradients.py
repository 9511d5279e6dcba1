"""Checks of gradients: they are those of the score, and no parameter is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import NoiseProcess, capabilities
from probgen.testing.check import Check
from probgen.testing.checks.inputs import (
    contexts_of,
    double,
    entry_of,
    entrywise,
    parameters_of,
    some_contexts,
    some_events,
    stream,
)
from probgen.testing.checks.scoring import Score, draws_of, scores_of, seeded
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.twins import gradients as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_ROWS, _DIRECTIONS = 6, 2
_STEP = 1e-5
_ROUGH, _WRONG = 1e-7, 1e-6
"""How far two difference quotients of a smooth score may be apart, and a gradient from them, relative to their size."""

_BATCH, _BATCHES = 64, 4


def jiggled(model: Any, trial: Trial) -> Any:
    """Return a copy of `model` in float64 whose parameters that are all zero are not: they hide those before them."""
    other, generator = double(model), stream(trial, "parameters")
    with torch.no_grad():
        for parameter in parameters_of(other).values():
            if not parameter.any():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return other


def _finite_differences(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = jiggled(subject, trial)
    generator = stream(trial, "events")
    x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
    smooth_events = entrywise(model) and not entry_of(model.support).is_discrete
    parameters = list(parameters_of(model).values())
    if not scores_of(model) or not (parameters or smooth_events):
        raise NotApplicable("it has no scores, or nothing that they could be differentiated by")
    for score in scores_of(model):
        seed = trial.seed("noise")
        if parameters:
            yield Judgement(
                f"gradient of {score.name} by the parameters", _compared(score, x, context, parameters, seed, generator)
            )
        if smooth_events:
            point = x.to(torch.float64).requires_grad_()
            yield Judgement(f"gradient of {score.name} by x", _compared(score, point, context, [point], seed, generator))


def _compared(
    score: Score, x: Tensor, context: Tensor | None, inputs: Sequence[Tensor], seed: int, generator: torch.Generator
) -> Verdict:
    """Compare the derivative of each score along random directions with central differences of two step sizes."""
    worst, looked = 0.0, 0
    for _ in range(_DIRECTIONS):
        direction = [torch.randn(part.shape, generator=generator, dtype=part.dtype) for part in inputs]
        fine, coarse = (_difference(score, x, context, inputs, direction, step, seed) for step in (_STEP, 2 * _STEP))
        exact = _derivative(seeded(seed, lambda: score.call(x, context)), inputs, direction)
        size = torch.maximum(fine.abs(), coarse.abs()).clamp(min=1.0)
        smooth = (fine - coarse).abs() <= _ROUGH * size
        looked += int(smooth.sum())
        gap = ((exact - fine).abs() / size)[smooth]
        worst = max([worst, *gap.nan_to_num(torch.inf).tolist()])
    if not looked:
        raise NotApplicable("its score is not smooth at any of the points tried")
    return exactly(worst, "the gradient is that of the score", tolerance=_WRONG)


@torch.no_grad()
def _difference(
    score: Score,
    x: Tensor,
    context: Tensor | None,
    inputs: Sequence[Tensor],
    direction: Sequence[Tensor],
    step: float,
    seed: int,
) -> Tensor:
    """Return the central difference quotient of every score; the inputs end where they were."""
    start = [part.clone() for part in inputs]
    values = []
    for sign in (1, -1):
        for part, origin, along in zip(inputs, start, direction, strict=True):
            part.copy_(origin + sign * step * along)
        values.append(seeded(seed, lambda: score.call(x, context)).clone())
    for part, origin in zip(inputs, start, strict=True):
        part.copy_(origin)
    return (values[0] - values[1]) / (2 * step)


def _derivative(values: Tensor, inputs: Sequence[Tensor], direction: Sequence[Tensor]) -> Tensor:
    """Return the derivative of every one of `values`, `(N,)`, along `direction`, by reverse differentiation."""
    rows = []
    for value in values:
        gradients = (
            torch.autograd.grad(value, inputs, retain_graph=True, allow_unused=True)
            if value.requires_grad
            else [None] * len(inputs)
        )
        parts = [(g * along).sum() for g, along in zip(gradients, direction, strict=True) if g is not None]
        rows.append(torch.stack(parts).sum() if parts else torch.zeros((), dtype=values.dtype))
    return torch.stack(rows)


def _every_parameter_reached(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = jiggled(subject, trial)
    parameters = parameters_of(model)
    if not parameters:
        raise NotApplicable("it has nothing to learn")
    reached: set[str] = set()
    outputs = False
    for batch in range(_BATCHES):
        for total in _totals(model, stream(trial, "batch", batch), trial):
            outputs = True
            gradients = torch.autograd.grad(total, list(parameters.values()), allow_unused=True)
            reached |= {name for name, g in zip(parameters, gradients, strict=True) if g is not None and bool(g.any())}
    if not outputs:
        raise NotApplicable("it has neither scores nor draws that carry gradients")
    for name in parameters:
        found = name in reached
        yield Judgement(
            f"parameter {name}",
            conforms("its gradient is not zero") if found else fails("nothing depends on it: its gradient is always zero"),
        )


def _totals(model: Any, generator: torch.Generator, trial: Trial) -> Iterator[Tensor]:
    """Yield random combinations of all scores and of all draws that carry gradients."""
    x, context = some_events(model, _BATCH, generator), some_contexts(model, _BATCH, generator)
    weights = torch.randn(_BATCH, generator=generator, dtype=torch.float64)
    for score in scores_of(model):
        values = seeded(trial.seed("noise"), lambda score=score: score.call(x, context))
        yield from _differentiable((values * weights)[values.isfinite()].sum())
    if NoiseProcess in capabilities(model):
        t = torch.rand(_BATCH, generator=generator, dtype=torch.float64)
        yield from _differentiable((model.denoise(x, t, context).reshape(_BATCH, -1).sum(1) * weights).sum())
    for _, context in contexts_of(model, 1, trial):
        if "rsample" in draws_of(model):
            draws = seeded(trial.seed("noise"), lambda context=context: model.rsample((_BATCH,), context))
            yield from _differentiable((draws.reshape(_BATCH, -1).tanh().sum(1) * weights).sum())


def _differentiable(total: Tensor) -> Iterator[Tensor]:
    if total.requires_grad:
        yield total


CHECKS = (
    Check(
        name="finite-differences",
        about="Gradients of scores, by parameters and by events, are what difference quotients say.",
        kind="model",
        run=_finite_differences,
        twins={
            "detaches its location": twins.DetachesItsLocation,
            "detaches the event": twins.DetachesTheEvent,
            "clamps without a gradient": twins.SaturatesInTheGradientOnly,
            "detaches half of an energy": twins.DetachesHalfOfTheEnergy,
        },
    ),
    Check(
        name="every-parameter-reached",
        about="Every trainable parameter has a gradient from what the model scores or draws.",
        kind="model",
        run=_every_parameter_reached,
        twins={
            "has a parameter that it does not use": twins.HasAnIdleParameter,
            "rounds a parameter": twins.RoundsAParameter,
            "reads a number out of a parameter": twins.ReadsANumber,
        },
    ),
)

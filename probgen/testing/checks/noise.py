"""Checks of noise processes: a schedule from the event to noise, and a denoiser of the right shape."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import NoiseProcess
from probgen.testing.check import Check
from probgen.testing.checks.inputs import double, some_contexts, some_events, still, stream
from probgen.testing.trial import Judgement, Trial, conforms, exactly, fails
from probgen.testing.twins import noise as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_TIMES = 65
_CLEAN = 0.1
"""How far from (1, 0) the schedule may start, and how much of the event may be left at the end relative to the noise."""

_ROWS = 6


def _schedule(subject: Any, trial: Trial) -> Iterator[Judgement]:
    del trial
    model = double(subject)
    steps = model.num_steps
    t = torch.linspace(0, 1, _TIMES if steps is None else min(steps, 1000) + 1, dtype=torch.float64)
    if steps is not None:
        t = (t * steps).round() / steps
    with torch.no_grad():
        alpha, sigma = model.schedule(t)
    if alpha.shape != t.shape or sigma.shape != t.shape:
        yield Judgement("shapes", fails(f"expected two of shape {tuple(t.shape)}; got {alpha.shape} and {sigma.shape}"))
        return
    if not (alpha.isfinite().all() and sigma.isfinite().all() and (sigma >= 0).all()):
        yield Judgement("values", fails("alpha or sigma is not finite, or sigma is negative"))
        return
    start = max(abs(float(alpha[0]) - 1), float(sigma[0]))
    yield Judgement("start", exactly(start, "it starts at the event", tolerance=1e-6 if steps is not None else _CLEAN))
    yield Judgement("alpha", _monotone(-alpha, "alpha never rises"))
    yield Judgement("sigma", _monotone(sigma, "sigma never falls"))
    ratio = sigma.square() / alpha.square().clamp(min=1e-300)
    risen = bool((ratio.diff() > 0).all())
    yield Judgement("noise-to-signal ratio", conforms("it rises") if risen else fails("it does not rise at every time"))


def _monotone(values: Tensor, what: str) -> Verdict:
    return exactly(float((-values.diff()).max().clamp(min=0.0)), what, tolerance=1e-9)


def _denoiser_shapes(subject: Any, trial: Trial) -> Iterator[Judgement]:
    for words, model in (("", still(subject)), (" in float64", double(subject))):
        generator = stream(trial, "events")
        x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
        x = x if x.is_floating_point() else x.to(torch.get_default_dtype())
        steps = model.num_steps or 1000
        t = (torch.randint(steps, (_ROWS,), generator=generator) + 1).to(x.dtype) / steps
        with torch.no_grad():
            z = model.scaled(x)[0]
            noise = model.denoise(z, t, context)
            yield Judgement(f"predicted noise{words}", _like(noise, z))
            if noise.shape != z.shape:
                return
            alone = [model.denoise(z[i : i + 1], t[i : i + 1], _row(context, i))[0] for i in range(_ROWS)]
        size = float(noise.abs().max().clamp(min=1.0))
        gap = float((torch.stack(alone) - noise).abs().max()) / size
        tolerance = 1e3 * torch.finfo(x.dtype).eps
        yield Judgement(f"examples apart{words}", exactly(gap, "each is denoised on its own", tolerance=tolerance))


def _row(context: Tensor | None, index: int) -> Tensor | None:
    return None if context is None else context[index : index + 1]


def _like(noise: Tensor, z: Tensor) -> Verdict:
    if noise.shape != z.shape or noise.dtype != z.dtype:
        return fails(f"expected {tuple(z.shape)} of {z.dtype}; got {tuple(noise.shape)} of {noise.dtype}")
    return conforms("it has shape and type of the events") if noise.isfinite().all() else fails("it is not finite")


CHECKS = (
    Check(
        name="schedule",
        about="The schedule starts at the event and turns it into noise, never backwards.",
        kind="model",
        run=_schedule,
        twins={
            "runs backwards": twins.RunsBackwards,
            "returns variances": twins.StartsWithNoise,
            "is not finite at the end": twins.IsNotFiniteAtTheEnd,
            "returns numbers": twins.ReturnsOneNumber,
            "swings back": twins.SwingsBack,
        },
        needs=(NoiseProcess,),
    ),
    Check(
        name="denoiser-shapes",
        about="The denoiser returns noise shaped as the events, for each of them on its own.",
        kind="model",
        run=_denoiser_shapes,
        twins={
            "mixes examples": twins.MixesExamples,
            "uses one time for all": twins.UsesOneTime,
            "predicts a number": twins.PredictsANumber,
            "computes in float32": twins.ComputesInFloat32,
        },
        needs=(NoiseProcess,),
    ),
)

"""Checks of bijections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import Invertible
from probgen.testing.check import Check
from probgen.testing.checks.inputs import double, some_contexts, some_events, still, stream
from probgen.testing.trial import Judgement, NotApplicable, Trial, exactly, fails
from probgen.testing.twins import invertible as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_ROWS = 16
_JACOBIANS = 4
_LARGEST_JACOBIAN = 64
_PRECISIONS = {"float64": (double, 1e-9), "the model's own precision": (still, 1e-3)}


def _inverse(subject: Any, trial: Trial) -> Iterator[Judgement]:
    for words, (copy, tolerance) in _PRECISIONS.items():
        model = copy(subject)
        generator = stream(trial, "events")
        x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
        with torch.no_grad():
            z, forward = model.transform(x, context)
            if z.shape != x.shape or forward.shape != (_ROWS,):
                yield Judgement(
                    "shapes", fails(f"expected {tuple(x.shape)} and ({_ROWS},); got {tuple(z.shape)} and others")
                )
                return
            back, backward = model.inverse(z, context)
            other = z[torch.randperm(_ROWS, generator=generator)]
            there = model.transform(model.inverse(other, context)[0], context)[0]
        yield Judgement(f"to noise and back, in {words}", _near(back, x, "inverse undoes transform", tolerance))
        yield Judgement(f"to an event and back, in {words}", _near(there, other, "transform undoes inverse", tolerance))
        yield Judgement(
            f"log-determinants, in {words}", _near(backward, -forward, "those of the two directions cancel", 10 * tolerance)
        )


def _near(found: Tensor, expected: Tensor, what: str, tolerance: float) -> Verdict:
    size = expected.abs().max().clamp(min=1.0)
    return exactly(float(((found - expected).abs() / size).nan_to_num(torch.inf).max()), what, tolerance=tolerance)


def _log_determinant(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    entries = model.event_shape.numel()
    if entries > _LARGEST_JACOBIAN:
        raise NotApplicable(f"a Jacobian of {entries} columns is too large to compute")
    generator = stream(trial, "events")
    x, context = some_events(model, _JACOBIANS, generator), some_contexts(model, _JACOBIANS, generator)
    with torch.no_grad():
        z = model.transform(x, context)[0]
    for name, method, start in (("transform", model.transform, x), ("inverse", model.inverse, z)):
        claimed = method(start, context)[1].detach()
        found = torch.stack([_log_abs_det(method, start[i], None if context is None else context[i]) for i in range(len(x))])
        yield Judgement(f"log-determinant of {name}", _near(claimed, found, "it is that of the Jacobian", 1e-7))


def _log_abs_det(method: Callable[..., tuple[Tensor, Tensor]], point: Tensor, context: Tensor | None) -> Tensor:
    def flat(entries: Tensor) -> Tensor:
        return method(entries.reshape(point.shape), context)[0].reshape(-1)

    jacobian = torch.autograd.functional.jacobian(flat, point.reshape(-1))
    return torch.linalg.slogdet(jacobian).logabsdet


CHECKS = (
    Check(
        name="inverse",
        about="transform and inverse undo each other, and their log-determinants cancel.",
        kind="model",
        run=_inverse,
        twins={
            "forgets the shift on the way back": twins.ForgetsTheShift,
            "has one sign for both determinants": twins.HasOneSign,
            "ignores the context on the way back": twins.IgnoresTheContextBackwards,
            "stops iterating too early": twins.StopsTooEarly,
        },
        needs=(Invertible,),
    ),
    Check(
        name="log-determinant",
        about="Log-determinants are those of the Jacobian.",
        kind="model",
        run=_log_determinant,
        twins={
            "is wrong in sign, both ways": twins.WrongSignBothWays,
            "averages over entries": twins.AveragesOverEntries,
            "is one for the whole batch": twins.SumsDeterminantsOverTheBatch,
        },
        needs=(Invertible,),
    ),
)

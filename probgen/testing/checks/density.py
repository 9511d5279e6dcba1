"""Checks of densities: mass one, nothing outside the support, gradients that are right, no accidents far out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from probgen.capabilities import capabilities
from probgen.density import Density
from probgen.sampler import Sampler
from probgen.supports import inside
from probgen.testing.check import Check
from probgen.testing.checks.cubature import mass_on_the_line, mass_on_the_plane
from probgen.testing.checks.inputs import (
    MOST_EVENTS,
    contexts_of,
    double,
    dtype_of,
    entry_of,
    entrywise,
    listed_events,
    parameters_of,
    some_contexts,
    some_events,
    still,
    stream,
)
from probgen.testing.checks.scoring import Score, scores_of
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.twins import density as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_CONTEXTS = 2
_PILOT, _REPEATS = 512, 3
_ROUGHEST = 1e-3
"""An integral is no answer where two rules are farther apart."""

_STRANGE = (-1.0, 0.5, 1.1, 2.0, -0.1, 1e3)
"""Entries of which some lie outside of any support but the real line."""

_LOUDER = 5.0
"""What parameters are multiplied by for the check of extremes."""


def _normalised(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    rounding = 10 * torch.finfo(dtype_of(subject)).eps  # constants keep the precision in which they were made
    for words, context in contexts_of(model, _CONTEXTS, trial):
        with torch.no_grad():
            yield Judgement(f"the density has mass 1{words}", _unit_mass(model, context, rounding, trial))


def _unit_mass(model: Any, context: Tensor | None, rounding: float, trial: Trial) -> Verdict:
    events = listed_events(model)
    if events is not None:
        mass = float(model.log_prob(events, context).to(torch.float64).exp().sum())
        return exactly(abs(mass - 1), "the masses of all events sum to 1", tolerance=max(1e-9, rounding))
    entry, entries = entry_of(model.support), math.prod(model.event_shape)
    if isinstance(entry, type(constraints.nonnegative_integer)) and entries == 1:
        return _unit_mass_of_counts(model, context, rounding)
    if entry.is_discrete or entries > 2 or not entrywise(model):
        raise NotApplicable(f"its events on {model.support} are neither listed nor one or two real entries")
    mass, error = _integral(model, entry, entries, context, stream(trial, "near"))
    if error > _ROUGHEST:
        raise NotApplicable(f"its density is too rough for quadrature, which is certain to {error:.1e} only")
    tolerance = max(1e-6, rounding) + 10 * error
    if abs(mass - 1) > tolerance:  # an error estimate is no bound: a wrong density has the same mass from other nodes too
        for number in range(_REPEATS):
            again, doubt = _integral(model, entry, entries, context, stream(trial, f"near again {number}"))
            if abs(again - mass) > max(0.01 * abs(mass - 1), error + doubt):
                found = f"{mass:.6f} and {again:.6f}"
                raise NotApplicable(f"its density is too rough for quadrature, which finds masses of {found}")
    return exactly(abs(mass - 1), "the density integrates to 1", tolerance=tolerance)


def _integral(
    model: Any, entry: Any, entries: int, context: Tensor | None, generator: torch.Generator
) -> tuple[float, float]:
    dtype = dtype_of(model)

    def log_density(x: Tensor) -> Tensor:
        return model.log_prob(x.to(dtype).reshape(-1, *model.event_shape), context).to(torch.float64)

    near = None
    if Sampler in capabilities(model):
        near = model.sample((_PILOT,), context, generator=generator).to(torch.float64).reshape(_PILOT, entries)
        near = near[near.isfinite().all(1)]
    return (mass_on_the_line if entries == 1 else mass_on_the_plane)(log_density, entry, near)


def _unit_mass_of_counts(model: Any, context: Tensor | None, rounding: float) -> Verdict:
    counts = torch.arange(MOST_EVENTS, dtype=dtype_of(model)).reshape(-1, *model.event_shape)
    masses = model.log_prob(counts, context).to(torch.float64).exp()
    mass = float(masses.sum())
    if mass < 1 and float(masses[-1]) * MOST_EVENTS > 1e-9:
        raise NotApplicable(f"counts of {MOST_EVENTS} and more have mass")
    return exactly(abs(mass - 1), "the masses of all counts sum to 1", tolerance=max(1e-9, rounding))


def _outside_support(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    generator = stream(trial, "events")
    event = some_events(model, 1, generator)[0]
    context = some_contexts(model, 1, generator, squeeze=True)
    looked = False
    for value in _STRANGE:
        for words, strange in _replaced(event, value, generator):
            if inside(model.support, strange, len(model.event_shape)).all():
                continue
            looked = True
            score = float(model.log_prob(strange, context).detach())
            refused = score == -math.inf
            verdict = conforms("it scores -inf") if refused else fails(f"expected -inf; got a score of {score:.6g}")
            yield Judgement(f"an event with {value:g} {words}", verdict)
    if not looked:
        raise NotApplicable("all that it can be asked about lies in its support")


def _replaced(event: Tensor, value: float, generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """Yield `event` with all its entries replaced by `value`, and with one of them."""
    if not event.is_floating_point() and value != int(value):
        return
    yield "everywhere", torch.full_like(event, value)
    if event.numel() > 1:
        strange = event.clone().reshape(-1)
        strange[int(torch.randint(event.numel(), (), generator=generator))] = value
        yield "in one place", strange.reshape(event.shape)


def _extremes(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    far, louder = list(_far_events(model)), bool(parameters_of(model))
    if not scores_of(model) or not (far or louder):
        raise NotApplicable("it has no scores, or neither parameters nor events that are known to be far out")
    generator = stream(trial, "events")
    for words, x in far:
        yield from _sound(model, x, some_contexts(model, len(x), generator), words)
    if louder:
        x, context = some_events(model, 16, generator), some_contexts(model, 16, generator)
        with torch.no_grad():
            for parameter in parameters_of(model).values():
                parameter.mul_(_LOUDER)
        yield from _sound(model, x, context, f"with parameters {_LOUDER:g} times as large")


def _far_events(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield events at the ends of the support, two for each place."""
    entry, dtype = entry_of(model.support), dtype_of(model)
    events = listed_events(model)
    if events is not None:
        yield "at the first and last event", events[[0, -1]]
        return
    if not entrywise(model):
        return
    low, high = getattr(entry, "lower_bound", -math.inf), getattr(entry, "upper_bound", math.inf)
    if entry.is_discrete:
        places = [(0.0, 1e4)] if high == math.inf else [(float(low), float(high))]
    elif high < math.inf:
        places = [(low + share * (high - low), high - share * (high - low)) for share in (1e-3, 1e-6)]
    elif low > -math.inf:
        places = [(low + 1e-10, low + 1e4), (low + 1e-3, low + 1e2)]
    else:
        places = [(-size, size) for size in (10.0, 1e2, 1e4)]
    for ends in places:
        values = torch.tensor(ends, dtype=dtype).reshape(2, *(1 for _ in model.event_shape))
        yield f"at {ends[0]:.3g} and {ends[1]:.3g}", values.expand(2, *model.event_shape).clone()


def _sound(model: Any, x: Tensor, context: Tensor | None, words: str) -> Iterator[Judgement]:
    """Yield whether scores are numbers or minus infinity, and whether the finite ones have finite gradients."""
    parameters = list(parameters_of(model).values())
    for score in scores_of(model):
        values = score.call(x, context).detach()
        kept = values.isfinite()
        bad = int(values.isnan().sum())
        verdict = fails("the score is NaN") if bad else conforms("the score is a number or minus infinity")
        if kept.any() and not bad:
            verdict = _sound_gradient(score, x[kept], None if context is None else context[kept], parameters)
        yield Judgement(f"{score.name} {words}", verdict)


def _sound_gradient(score: Score, x: Tensor, context: Tensor | None, parameters: Sequence[Tensor]) -> Verdict:
    point = x.clone()
    inputs = [*parameters, point.requires_grad_()] if point.is_floating_point() else parameters
    total = score.call(point, context).sum()
    gradients = torch.autograd.grad(total, inputs, allow_unused=True) if total.requires_grad else ()
    bad = sum(int((~gradient.isfinite()).sum()) for gradient in gradients if gradient is not None)
    return fails(f"{bad} entries of the gradient are not finite") if bad else conforms("score and gradient are numbers")


CHECKS = (
    Check(
        name="normalised",
        about="The density sums or integrates to one, whatever the context.",
        kind="model",
        run=_normalised,
        twins={
            "forgets the log-determinant": twins.ForgetsTheLogDeterminant,
            "takes the log-variance for sigma": twins.TakesTheLogVarianceForSigma,
            "forgets a constant": twins.ForgetsAConstant,
            "scores logits that are not normalised": twins.ScoresLogits,
            "is normalised at one context only": twins.NormalisedAtOneContext,
            "is a little too large": twins.ATenThousandthTooLarge,
        },
        needs=(Density,),
    ),
    Check(
        name="outside-support",
        about="An event outside the support scores minus infinity.",
        kind="model",
        run=_outside_support,
        twins={
            "scores half a bit": twins.ScoresHalfABit,
            "is NaN below zero": twins.NaNBelowZero,
            "continues its density": twins.ContinuesItsDensity,
        },
        needs=(Density,),
    ),
    Check(
        name="extremes",
        about="Far out, and with large parameters, scores and gradients are numbers.",
        kind="model",
        run=_extremes,
        twins={
            "takes the logarithm of a density": twins.TakesTheLogarithmOfADensity,
            "divides infinity by infinity": twins.DividesInfinities,
            "has a gradient of zero times infinity": twins.MasksAfterwards,
        },
    ),
)

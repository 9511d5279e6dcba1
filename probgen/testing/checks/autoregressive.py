"""Checks of products of conditionals: each term looks at nothing after it, and is normalised on its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import Autoregressive
from probgen.errors import SupportError
from probgen.supports import levels
from probgen.testing.check import Check
from probgen.testing.checks.cubature import mass_on_the_line
from probgen.testing.checks.inputs import contexts_of, double, entry_of, entrywise, some_contexts, some_events, stream
from probgen.testing.trial import Judgement, NotApplicable, Trial, exactly, fails
from probgen.testing.twins import autoregressive as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_ROWS = 32
_MOST_CUTS = 16
"""In long events, the check looks at that many places."""

_MOST_QUADRATURES = 4


def _causal(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    generator = stream(trial, "events")
    x, other = (some_events(model, _ROWS, generator) for _ in range(2))
    context = some_contexts(model, _ROWS, generator)
    order, terms = model.order, model.log_prob_terms(x, context)
    worst, place = 0.0, 0
    for cut in _places(len(order), generator):
        later = order[cut:]
        changed = x.reshape(_ROWS, -1).clone()
        changed[:, later] = other.reshape(_ROWS, -1)[:, later]
        found = model.log_prob_terms(changed.reshape(x.shape), context)
        gap = float((found - terms)[:, order[:cut]].detach().abs().max())
        worst, place = max((worst, place), (gap, cut))
    verdict = exactly(worst, "terms do not change with what comes later", tolerance=1e-9, where=f"position {place}")
    yield Judgement("terms before a new ending", verdict)
    if entrywise(model) and not entry_of(model.support).is_discrete:
        yield Judgement("derivatives by what comes later", _lower_triangular(model, x[:1], context, order, generator))


def _places(entries: int, generator: torch.Generator) -> list[int]:
    """Return positions after the first, all of them or some."""
    return sorted((torch.randperm(entries - 1, generator=generator)[:_MOST_CUTS] + 1).tolist()) if entries > 1 else []


def _lower_triangular(model: Any, x: Tensor, context: Tensor | None, order: Tensor, generator: torch.Generator) -> Verdict:
    """Return whether the Jacobian of the terms is exactly zero where an entry comes after the term's own."""
    point = x.clone().requires_grad_()
    terms = model.log_prob_terms(point, None if context is None else context[:1])[0]
    worst = 0.0
    for cut in [0, *_places(len(order), generator)]:
        gradient = torch.autograd.grad(terms[order[cut]], point, retain_graph=True)[0].reshape(-1)
        worst = max([worst, *gradient[order[cut + 1 :]].abs().tolist()])
    return exactly(worst, "derivatives of terms by later entries are zero", tolerance=0.0)


def _terms_sum(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    generator = stream(trial, "events")
    x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
    entries = model.event_shape.numel()
    terms, whole = model.log_prob_terms(x, context), model.log_prob(x, context)
    if terms.shape != (_ROWS, entries):
        yield Judgement("terms", fails(f"expected terms of shape ({_ROWS}, {entries}); got {tuple(terms.shape)}"))
        return
    gap = float(((terms.sum(-1) - whole).abs() / whole.abs().clamp(min=1.0)).detach().max())
    yield Judgement("terms", exactly(gap, "they add up to log_prob", tolerance=1e-9))
    missing = entries - len(set(model.order.tolist()) & set(range(entries))) + abs(len(model.order) - entries)
    yield Judgement("order", exactly(missing, "it names every entry once", tolerance=0.0))


def _conditionals_normalised(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    generator = stream(trial, "events")
    entry = entry_of(model.support)
    x, entries = some_events(model, 1, generator)[0], model.event_shape.numel()
    for words, context in contexts_of(model, 1, trial):
        try:
            worst = max(_finite_gap(model, x, context, place, levels(model.support)) for place in range(entries))
        except SupportError:
            if entry.is_discrete or not entrywise(model):
                raise NotApplicable(f"conditionals on {model.support} are neither listed nor integrated") from None
            places = torch.randperm(entries, generator=generator)[:_MOST_QUADRATURES].tolist()
            worst = max(_line_gap(model, x, context, place) for place in places)
        yield Judgement(f"conditionals{words}", exactly(worst, "every conditional has mass 1", tolerance=1e-6))


@torch.no_grad()
def _finite_gap(model: Any, x: Tensor, context: Tensor | None, place: int, choices: int) -> float:
    events = x.reshape(1, -1).repeat(choices, 1)
    events[:, place] = torch.arange(choices, dtype=events.dtype)
    terms = model.log_prob_terms(events.reshape(choices, *model.event_shape), context)
    return abs(float(terms[:, place].exp().sum()) - 1)


@torch.no_grad()
def _line_gap(model: Any, x: Tensor, context: Tensor | None, place: int) -> float:
    def log_density(values: Tensor) -> Tensor:
        events = x.reshape(1, -1).repeat(len(values), 1)
        events[:, place] = values[:, 0]
        return model.log_prob_terms(events.reshape(-1, *model.event_shape), context)[:, place]

    return abs(mass_on_the_line(log_density, entry_of(model.support), None)[0] - 1)


CHECKS = (
    Check(
        name="causal",
        about="No term of the density changes with entries that come later in the order.",
        kind="model",
        run=_causal,
        twins={
            "sees its own entry's successor": twins.SeesTheFuture,
            "announces another order": twins.AnnouncesAnotherOrder,
            "sees the future of a real event": twins.SeesTheFutureOfARealEvent,
        },
        needs=(Autoregressive,),
    ),
    Check(
        name="terms-sum",
        about="The terms of a density add up to log_prob, and the order names every entry once.",
        kind="model",
        run=_terms_sum,
        twins={"leaves the first term out": twins.LeavesATermOut, "names an entry twice": twins.NamesAnEntryTwice},
        needs=(Autoregressive,),
    ),
    Check(
        name="conditionals-normalised",
        about="Each conditional sums or integrates to one, however many entries there are.",
        kind="model",
        run=_conditionals_normalised,
        twins={
            "scores log-odds": twins.ScoresLogOdds,
            "forgets a constant": twins.ForgetsTheConstantOfATerm,
            "sees the entry itself": twins.SeesTheEntryItself,
        },
        needs=(Autoregressive,),
    ),
)

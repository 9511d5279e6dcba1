"""Checks of shapes: every batch shape gives what the contract says, wrong ones are refused, and examples stay apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from probgen.capabilities import BoundedLikelihood, UnnormalizedDensity
from probgen.density import Density
from probgen.errors import ShapeError
from probgen.testing.check import Check
from probgen.testing.checks.inputs import double, some_contexts, some_events, still, stream
from probgen.testing.checks.scoring import Score, scores_of
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.twins import shapes as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS", "refuses"]

_BATCHES = ((), (1,), (3,), (2, 3), (0,), (2, 0))
_BROADCASTS = (((2, 3), (3,)), ((2, 1), (3,)), ((), (4,)), ((4,), ()))
"""Batch shapes of an event and of a context that broadcast against each other."""

_ROWS = 6


def refuses(call: Callable[[], Any], what: str) -> Verdict:
    """Return a pass if `call` raises `ShapeError`, and a failure for anything else that it does."""
    try:
        result = call()
    except ShapeError:
        return conforms(f"refuses {what}")
    except Exception as error:  # noqa: BLE001  # a subject may raise anything, and that is what is reported
        return fails(f"expected ShapeError for {what}; got {type(error).__name__}: {error}")
    shape = f" of shape {tuple(result.shape)}" if isinstance(result, Tensor) else ""
    return fails(f"expected ShapeError for {what}; got a result{shape}")


def _shapes(method: str) -> Callable[[Any, Trial], Iterator[Judgement]]:
    """Return the check of one way to score."""

    def run(subject: Any, trial: Trial) -> Iterator[Judgement]:
        model = still(subject)
        score = next(score for score in scores_of(model) if score.name == method)
        generator = stream(trial, "events")
        for batch in _BATCHES if not score.random else _BATCHES[:4]:  # Pyro has no plates of size 0
            x, context = _events(model, batch, generator), _contexts(model, batch, generator)
            yield Judgement(f"{method} of a batch of shape {batch}", _has_shape(score.call(x, context), batch))
        if model.context_shape is not None:
            yield from _broadcasting(model, score, generator)
        yield from _refusals(model, score, generator)

    return run


def _broadcasting(model: Any, score: Score, generator: torch.Generator) -> Iterator[Judgement]:
    for x_batch, context_batch in _BROADCASTS:
        x, context = _events(model, x_batch, generator), _contexts(model, context_batch, generator)
        batch = torch.broadcast_shapes(x_batch, context_batch)
        found = score.call(x, context)
        verdict = _has_shape(found, batch)
        if not score.random and found.shape == batch:
            whole = score.call(
                x.expand(*batch, *model.event_shape).clone(), context.expand(*batch, *model.context_shape).clone()
            )
            verdict = _same(found, whole, "scores are those of arguments that were broadcast by hand")
        yield Judgement(f"{score.name} of x {x_batch} and context {context_batch}", verdict)


def _refusals(model: Any, score: Score, generator: torch.Generator) -> Iterator[Judgement]:
    x, context = _events(model, (2,), generator), _contexts(model, (2,), generator)
    if model.event_shape:
        longer = torch.cat([x, x[..., :1]], -1)
        yield Judgement(
            "an event of another shape", refuses(lambda: score.call(longer, context), "an event of another shape")
        )
        single = x.reshape(2, -1)[:, :1].reshape(2, *(1 for _ in model.event_shape))
        if single.shape != x.shape:
            yield Judgement("an event to broadcast", refuses(lambda: score.call(single, context), "an event of ones"))
    if context is None:
        extra = torch.zeros(2, 1)
        yield Judgement("a superfluous context", refuses(lambda: score.call(x, extra), "a superfluous context"))
        return
    yield Judgement("a missing context", refuses(lambda: score.call(x, None), "a missing context"))
    three = _contexts(model, (3,), generator)
    yield Judgement("batches that do not fit", refuses(lambda: score.call(x, three), "two events and three contexts"))
    if model.context_shape:
        longer = torch.cat([context, context[..., :1]], -1)
        yield Judgement("a context of another shape", refuses(lambda: score.call(x, longer), "a context of another shape"))


def _batch_independent(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = double(subject)
    generator = stream(trial, "events")
    x, context = _events(model, (_ROWS,), generator), _contexts(model, (_ROWS,), generator)
    scores = [score for score in scores_of(model) if not score.random]
    if not scores:
        raise NotApplicable("it has no scores, or they are random, so that they differ from call to call")
    order = torch.randperm(_ROWS, generator=generator)
    for score in scores:
        whole = score.call(x, context)
        alone = torch.stack([score.call(x[i], _row(context, i)) for i in range(_ROWS)])
        yield Judgement(f"{score.name} of each event alone", _same(alone, whole, "a batch is scored as its events are"))
        permuted = score.call(x[order], _row(context, order))
        yield Judgement(f"{score.name} in another order", _same(permuted, whole[order], "the order of a batch is idle"))
        copies = score.call(x[:1].expand(_ROWS, *model.event_shape), None if context is None else context[:1])
        yield Judgement(
            f"{score.name} of copies of an event", _same(copies, whole[:1].expand(_ROWS), "copies score as the original")
        )


def _events(model: Any, batch: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return some_events(model, torch.Size(batch).numel(), generator).reshape((*batch, *model.event_shape))


def _contexts(model: Any, batch: tuple[int, ...], generator: torch.Generator) -> Any:
    contexts = some_contexts(model, torch.Size(batch).numel(), generator)
    return None if contexts is None else contexts.reshape((*batch, *model.context_shape))


def _row(context: Tensor | None, index: Any) -> Tensor | None:
    return None if context is None else context[index]


def _has_shape(found: Tensor, batch: tuple[int, ...]) -> Verdict:
    if tuple(found.shape) == tuple(batch):
        return conforms(f"the result has shape {tuple(batch)}")
    return fails(f"expected a result of shape {tuple(batch)}; got {tuple(found.shape)}")


def _same(found: Tensor, expected: Tensor, what: str) -> Verdict:
    """Return whether scores agree up to rounding, relative to their size; infinite ones must be the same."""
    if found.shape != expected.shape:
        return fails(f"expected scores of shape {tuple(expected.shape)}; got {tuple(found.shape)}")
    found, expected = found.detach(), expected.detach()
    gap = torch.where(found == expected, 0.0, (found - expected).abs())
    size = expected.nan_to_num(0, 0, 0).abs().max().clamp(min=1.0)
    precision = torch.finfo(found.dtype).eps if found.is_floating_point() else 0.0
    return exactly(float((gap / size).max()), what, tolerance=max(1e-10, 1e3 * precision))


CHECKS = (
    Check(
        name="shapes",
        about="log_prob takes events of every batch shape, broadcasts the context against them, and refuses other shapes.",
        kind="model",
        run=_shapes("log_prob"),
        twins={
            "sums over the batch": twins.SumsOverTheBatch,
            "fails on an empty batch": twins.FailsOnAnEmptyBatch,
            "broadcasts events": twins.BroadcastsEvents,
            "aligns contexts from the left": twins.AlignsContextsFromTheLeft,
            "ignores a superfluous context": twins.IgnoresASuperfluousContext,
        },
        needs=(Density,),
    ),
    Check(
        name="energy-shapes",
        about="energy takes events of every batch shape and refuses other shapes.",
        kind="model",
        run=_shapes("energy"),
        twins={"means over the batch": twins.MeanEnergy, "fails on an empty batch": twins.EnergyFailsOnAnEmptyBatch},
        needs=(UnnormalizedDensity,),
    ),
    Check(
        name="bound-shapes",
        about="log_prob_bound takes events of every batch shape and refuses other shapes.",
        kind="model",
        run=_shapes("log_prob_bound"),
        twins={"means over the batch": twins.MeanBound},
        needs=(BoundedLikelihood,),
    ),
    Check(
        name="batch-independent",
        about="The score of an event does not depend on the others in its batch, nor on their order.",
        kind="model",
        run=_batch_independent,
        twins={
            "standardises over the batch": twins.StandardisesOverTheBatch,
            "uses the first context for all": twins.UsesTheFirstContext,
            "sorts the batch": twins.SortsTheBatch,
        },
    ),
)

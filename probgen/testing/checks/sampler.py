"""Checks of samplers: shapes, support, generators, draws that are fresh."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from probgen.sampler import Sampler
from probgen.shapes import device_of
from probgen.testing.check import Check
from probgen.testing.checks.inputs import contexts_of, possible, some_contexts, still, stream
from probgen.testing.checks.shapes import refuses
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, fails
from probgen.testing.twins import sampler as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_SHAPES = ((), (1,), (3,), (2, 3))
_MANY = 2000
_CONTEXTS = 2
_ROWS = 128
_CALLS = 5
"""In a sampler that is right, a chance resemblance of 128 rows that vary has probability below 0.01; five have 1e-10."""


def _draw_shapes(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    generator = stream(trial, "contexts")
    inner = model.context_shape
    for shape in _SHAPES:
        for batch in ((),) if inner is None else _SHAPES:
            contexts = some_contexts(model, torch.Size(batch).numel(), generator)
            context = None if contexts is None or inner is None else contexts.reshape((*batch, *inner))
            draws = model.sample(shape, context, generator=_stream(model, trial, "draws"))
            words = f"sample_shape {shape}" + ("" if context is None else f" and contexts of batch shape {batch}")
            yield Judgement(words, _drawn(draws, (*shape, *batch, *model.event_shape)))
    yield from _refusals(model, generator)


def _drawn(draws: Tensor, shape: tuple[int, ...]) -> Verdict:
    if tuple(draws.shape) != shape:
        return fails(f"expected draws of shape {shape}; got {tuple(draws.shape)}")
    if draws.requires_grad:
        return fails("expected draws without gradients; got some that carry them, which is what rsample is for")
    return conforms(f"the draws have shape {shape}")


def _refusals(model: Any, generator: torch.Generator) -> Iterator[Judgement]:
    context = some_contexts(model, 1, generator, squeeze=True)
    yield Judgement("a number for sample_shape", refuses(lambda: model.sample(3, context), "sample_shape=3"))
    if context is None:
        extra = torch.zeros(2, 1)
        yield Judgement("a superfluous context", refuses(lambda: model.sample((3,), extra), "a superfluous context"))
        return
    yield Judgement("a missing context", refuses(lambda: model.sample((3,)), "a missing context"))
    if model.context_shape:
        longer = torch.cat([context, context[..., :1]], -1)
        yield Judgement("a misshapen context", refuses(lambda: model.sample((3,), longer), "a context of another shape"))


def _draws_in_support(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    for words, context in contexts_of(model, _CONTEXTS, trial):
        draws = model.sample((_MANY,), context, generator=_stream(model, trial, "draws", words))
        good = possible(model, draws)
        if good.all():
            verdict = conforms(f"{_MANY} draws are finite and lie in {model.support}", samples=_MANY)
        else:
            example = draws[~good][0].reshape(-1)[:6].tolist()
            verdict = fails(f"{int((~good).sum())} of {_MANY} draws are not in {model.support}: {example}", samples=_MANY)
        yield Judgement(f"draws{words}", verdict)


def _generator(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    _, context = next(contexts_of(model, 1, trial))
    torch.manual_seed(trial.seed("global"))
    before = torch.get_rng_state()
    first, second = (model.sample((_ROWS,), context, generator=_stream(model, trial, 0)) for _ in range(2))
    idle = torch.equal(torch.get_rng_state(), before)
    yield Judgement("the global stream", conforms("it stays") if idle else fails("drawing from a generator moves it"))
    same = torch.equal(first, second)
    yield Judgement(
        "one seed twice", conforms("it gives the same draws, bit by bit") if same else fails("it gives other draws")
    )
    others = [model.sample((_ROWS,), context, generator=_stream(model, trial, call)) for call in range(1, _CALLS)]
    ignored = _varies(first) and all(torch.equal(first, other) for other in others)
    yield Judgement("other seeds", fails("all seeds give the same draws") if ignored else conforms("they are listened to"))
    torch.manual_seed(trial.seed("global"))
    one = model.sample((_ROWS,), context)
    torch.manual_seed(trial.seed("global"))
    again = torch.equal(one, model.sample((_ROWS,), context))
    yield Judgement(
        "the seed of the global stream",
        conforms("it gives the same draws") if again else fails("it does not decide the draws"),
    )


def _fresh_draws(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    _, context = next(contexts_of(model, 1, trial))
    generator = _stream(model, trial, "draws")
    calls = [model.sample((_ROWS,), context, generator=generator) for _ in range(_CALLS)]
    if not any(_varies(torch.cat([call, calls[0][:1]])) for call in calls) and all(
        torch.equal(call, calls[0]) for call in calls
    ):
        raise NotApplicable("all of its draws are alike")
    repeats = all(torch.equal(call, calls[0]) for call in calls)
    yield Judgement("successive calls", fails("they repeat the same draws") if repeats else conforms("they draw afresh"))
    one_for_all = not any(_varies(call) for call in calls)
    yield Judgement(
        "rows of one call",
        fails("all rows are copies of one draw") if one_for_all else conforms("rows are draws of their own"),
    )
    half = _ROWS // 2
    patterns = {
        "the second half": lambda call: (call[:half], call[half:]),
        "every other row": lambda call: (call[::2], call[1::2]),
        "the mirror image": lambda call: (call[:half], call[half:].flip(0)),
    }
    for words, split in patterns.items():
        copied = all(_varies(split(call)[0]) and torch.equal(*split(call)) for call in calls)
        yield Judgement(words, fails("its rows are copies of the others") if copied else conforms("it is no copy"))


def _stream(model: Any, trial: Trial, *parts: object) -> torch.Generator:
    return torch.Generator(device_of(model)).manual_seed(trial.seed(*parts))


def _varies(draws: Tensor) -> bool:
    """Whether not all rows are alike."""
    return bool((draws != draws[:1]).any())


CHECKS = (
    Check(
        name="draw-shapes",
        about="sample takes every sample shape and batch of contexts, refuses wrong ones, and its draws carry no gradient.",
        kind="model",
        run=_draw_shapes,
        twins={
            "puts the batch first": twins.PutsTheBatchFirst,
            "keeps gradients": twins.KeepsGradients,
            "takes a number for a shape": twins.TakesANumber,
            "draws one event for each context": twins.DrawsOncePerContext,
        },
        needs=(Sampler,),
    ),
    Check(
        name="draws-in-support",
        about="Every draw is finite and lies in the support.",
        kind="model",
        run=_draws_in_support,
        twins={"draws probabilities": twins.DrawsProbabilities, "draws NaN now and then": twins.DrawsNaN},
        needs=(Sampler,),
    ),
    Check(
        name="generator",
        about="A generator decides the draws, all of them, and leaves the global stream alone.",
        kind="model",
        run=_generator,
        twins={
            "ignores the generator": twins.IgnoresTheGenerator,
            "has a generator of its own": twins.HasAGeneratorOfItsOwn,
            "moves the global stream": twins.MovesTheGlobalStream,
            "starts its own generator afresh": twins.StartsAfresh,
        },
        needs=(Sampler,),
    ),
    Check(
        name="fresh-draws",
        about="Successive calls, and the rows of one, are separate draws.",
        kind="model",
        run=_fresh_draws,
        twins={
            "draws one event for all rows": twins.DrawsOneForAll,
            "repeats its first call": twins.StartsAfresh,
            "repeats half of a batch": twins.RepeatsHalf,
        },
        needs=(Sampler,),
    ),
)

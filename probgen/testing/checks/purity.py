"""Checks of side effects: the same question has the same answer, and asking changes nothing."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from probgen.testing.check import Check
from probgen.testing.checks.inputs import some_contexts, some_events, still, stream
from probgen.testing.checks.scoring import draws_of, scores_of, seeded
from probgen.testing.exact import replays_identically
from probgen.testing.failures import NotEnumerable
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, fails
from probgen.testing.twins import purity as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_ROWS = 4


def _repeatable(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    generator = stream(trial, "events")
    x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
    single = some_contexts(model, 1, generator, squeeze=True)
    for score in scores_of(model):
        call = _scored(score.call, x, context)
        verdict = _replayed(call, trial) if score.random else _constant(call, trial)
        yield Judgement(f"{score.name} twice", verdict)
    for name, draw in draws_of(model).items():
        yield Judgement(f"{name} twice on the same noise", _replayed(_drawn(draw, single), trial))
    if not scores_of(model) and not draws_of(model):
        raise NotApplicable("it neither scores nor draws")


def _scored(call: Callable[..., Tensor], x: Tensor, context: Tensor | None) -> Callable[[], Tensor]:
    return lambda: call(x, context).detach()


def _drawn(draw: Callable[..., Tensor], context: Tensor | None) -> Callable[[], Tensor]:
    return lambda: draw(_ROWS, context).detach()


def _constant(call: Callable[[], Tensor], trial: Trial) -> Verdict:
    """Return whether a score is the same bit by bit, wherever the global streams are, and leaves them there."""
    states = _streams()
    first = seeded(trial.seed("first"), call)
    before = torch.get_rng_state()
    second = call()
    if not torch.equal(torch.get_rng_state(), before):
        return fails("it draws random numbers")
    if _streams() != states:
        return fails("it draws from Python's or numpy's global random stream")
    third = seeded(trial.seed("second"), call)
    if _identical(first, second) and _identical(first, third):
        return conforms("it is the same bit by bit")
    return fails("it is another number the second time")


def _replayed(call: Callable[[], Tensor], trial: Trial) -> Verdict:
    """Return whether a random result is a function of torch's draws alone."""
    try:
        replay = replays_identically(call, seed=trial.seed("replay"))
    except NotEnumerable:
        replay = None
    if replay is not None:
        return conforms("it is a function of its draws") if replay else fails(f"it {replay.reason}")
    states = _streams()
    first, second = (seeded(trial.seed("noise"), call) for _ in range(2))
    if _streams() != states:
        return fails("it draws from Python's or numpy's global random stream")
    if _identical(first, second):
        return conforms("it is the same on the same seed of torch")
    return fails("it differs on the same seed of torch: something else decides as well")


def _streams() -> str:
    """Return where the global streams of Python and numpy are."""
    return repr((random.getstate(), np.random.get_state(legacy=False)["state"]))


def _identical(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _pure(subject: Any, trial: Trial) -> Iterator[Judgement]:
    model = still(subject)
    generator = stream(trial, "events")
    x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
    single = some_contexts(model, 1, generator, squeeze=True)
    calls: dict[str, Callable[[], Any]] = {score.name: _scored(score.call, x, context) for score in scores_of(model)}
    calls |= {name: _drawn(draw, single) for name, draw in draws_of(model).items()}
    if not calls:
        raise NotApplicable("it neither scores nor draws")
    for name, call in calls.items():
        before, arguments = _state(model), _copies(x, context, single)
        call()
        yield Judgement(
            f"what {name} leaves behind", _unchanged(before, _state(model), arguments, _copies(x, context, single))
        )


def _state(model: Any) -> dict[str, Any]:
    """Return everything that asking could have changed, as values that compare with `==`."""
    state: dict[str, Any] = {
        "torch's default type": torch.get_default_dtype(),
        "whether gradients are on": torch.is_grad_enabled(),
        "the number of threads": torch.get_num_threads(),
    }
    if isinstance(model, nn.Module):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            state[name] = tensor.detach().clone()
            state[f"the gradient of {name}"] = None if tensor.grad is None else tensor.grad.clone()
            state[f"whether {name} learns"] = tensor.requires_grad
        state |= {f"the mode of {name or 'the model'}": module.training for name, module in model.named_modules()}
    return state


def _copies(*tensors: Tensor | None) -> list[Tensor | None]:
    return [None if tensor is None else tensor.clone() for tensor in tensors]


def _unchanged(before: dict[str, Any], after: dict[str, Any], given: list[Any], left: list[Any]) -> Verdict:
    for name in before.keys() | after.keys():
        if name not in before or name not in after:
            return fails(f"it adds or removes {name}")
        if not _equal(before[name], after[name]):
            return fails(f"it changes {name}")
    for name, one, other in zip(("x", "context", "context"), given, left, strict=True):
        if not _equal(one, other):
            return fails(f"it changes its argument {name} in place")
    return conforms("everything is as it was")


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and _identical(one, other)
    return one is other or one == other


CHECKS = (
    Check(
        name="repeatable",
        about="Scores are the same when asked again, and draws are functions of torch's random numbers alone.",
        kind="model",
        run=_repeatable,
        twins={
            "adds noise to its score": twins.AddsNoise,
            "draws from numpy": twins.DrawsFromNumpy,
            "draws from Python": twins.DrawsFromPython,
            "keeps what it drew": twins.KeepsWhatItDrew,
            "sets the seed": twins.SetsTheSeed,
        },
    ),
    Check(
        name="pure",
        about="Scoring and drawing leave parameters, buffers, modes, gradients and arguments as they were.",
        kind="model",
        run=_pure,
        twins={
            "centres events in place": twins.CentresInPlace,
            "counts its calls in a buffer": twins.CountsItsCalls,
            "accumulates gradients": twins.AccumulatesGradients,
            "turns training on": twins.TurnsTrainingOn,
            "builds a parameter at the first draw": twins.BuildsAParameterLate,
        },
    ),
)

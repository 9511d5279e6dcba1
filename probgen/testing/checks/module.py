"""Checks of models as modules: saved, copied, moved and converted whole, and able to do what they say."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn

from probgen.shapes import Model
from probgen.testing.check import Check
from probgen.testing.checks.holdings import held_tensors
from probgen.testing.checks.inputs import (
    double,
    dtype_of,
    entry_of,
    parameters_of,
    some_contexts,
    some_events,
    still,
    stream,
)
from probgen.testing.checks.scoring import draws_of, scores_of, seeded
from probgen.testing.trial import Judgement, NotApplicable, Trial, conforms, exactly, fails
from probgen.testing.twins import module as twins
from probgen.testing.verdict import Verdict

__all__ = ["CHECKS"]

_ROWS = 6
_NUDGE = 0.05


def _state_dict(subject: Any, trial: Trial) -> Iterator[Judgement]:
    if not isinstance(subject, nn.Module):
        raise NotApplicable("it is no module, so that it has no state to save")
    model, copied = still(subject), copy.deepcopy(still(subject))
    before = _outputs(model, trial)
    yield Judgement("a copy", _bitwise(_outputs(copied, trial), before, "what the original does"))
    if not parameters_of(model):
        return
    generator = stream(trial, "parameters")
    with torch.no_grad():
        for parameter in parameters_of(copied).values():
            parameter.add_(_NUDGE * torch.randn(parameter.shape, generator=generator).to(parameter))
    nudged = _outputs(copied, trial)
    moved = before == {} or any(not _equal(nudged[name], before[name]) for name in before)
    yield Judgement("other parameters", conforms("they count") if moved else fails("outputs do not follow the parameters"))
    model.load_state_dict({name: value.clone() for name, value in copied.state_dict().items()})
    yield Judgement("a state loaded", _bitwise(_outputs(model, trial), nudged, "what the model does whose state it is"))
    yield Judgement("the subject", _bitwise(_outputs(still(subject), trial), before, "what it did before its copy changed"))


def _outputs(model: Any, trial: Trial) -> dict[str, Tensor]:
    """Return scores of some events, and draws on fixed noise."""
    generator = stream(trial, "events")
    x, context = some_events(model, _ROWS, generator), some_contexts(model, _ROWS, generator)
    single = some_contexts(model, 1, generator, squeeze=True)
    calls: dict[str, Callable[[], Tensor]] = {
        score.name: lambda score=score: score.call(x, context).detach() for score in scores_of(model)
    }
    calls |= {name: lambda draw=draw: draw(_ROWS, single).detach() for name, draw in draws_of(model).items()}
    return {name: seeded(trial.seed("noise"), call) for name, call in calls.items()}


def _bitwise(found: dict[str, Tensor], expected: dict[str, Tensor], what: str) -> Verdict:
    differing = [name for name in expected if not _equal(found[name], expected[name])]
    return fails(f"{', '.join(differing)} differ from {what}") if differing else conforms(f"it does {what}, bit by bit")


def _equal(one: Tensor, other: Tensor) -> bool:
    return torch.equal(one.nan_to_num(), other.nan_to_num())


def _dtype(subject: Any, trial: Trial) -> Iterator[Judgement]:
    if not isinstance(subject, nn.Module):
        raise NotApplicable("it is no module, so that it has no type to convert")
    single, wide = still(subject), double(subject)
    discrete = entry_of(cast(Model, subject).support).is_discrete
    stray = [f"{name} ({tensor.dtype})" for name, tensor in held_tensors(wide) if _is_narrow(tensor)]
    yield Judgement("tensors", fails(f"after double(): {', '.join(stray)}") if stray else conforms("all are float64"))
    generator = stream(trial, "events")
    x, context = some_events(wide, _ROWS, generator), some_contexts(wide, _ROWS, generator)
    narrow = x.to(dtype_of(single)) if x.is_floating_point() else x
    for score, original in zip(scores_of(wide), scores_of(single), strict=True):
        found = score.call(x, context).detach()
        if found.dtype != torch.float64:
            yield Judgement(f"{score.name} in float64", fails(f"it is {found.dtype}"))
        elif score.random:
            yield Judgement(f"{score.name} in float64", conforms("it is float64"))
        else:
            expected = original.call(narrow, None if context is None else context.to(dtype_of(single))).detach()
            yield Judgement(f"{score.name} in float64", _near(found, expected.double()))
    for name, draw in draws_of(wide).items():
        draws = draw(_ROWS, some_contexts(wide, 1, generator, squeeze=True))
        wrong = draws.dtype != torch.float64 and not discrete
        yield Judgement(f"{name} in float64", fails(f"draws are {draws.dtype}") if wrong else conforms("draws are float64"))


def _is_narrow(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.dtype != torch.float64


def _near(found: Tensor, expected: Tensor) -> Verdict:
    gap = torch.where(found == expected, 0.0, (found - expected).abs() / expected.abs().clamp(min=1.0))
    return exactly(float(gap.max()), "it is the score in the model's own precision", tolerance=1e-3)


def _device(subject: Any, trial: Trial) -> Iterator[Judgement]:
    if not isinstance(subject, nn.Module):
        raise NotApplicable("it is no module, so that nothing moves it")
    held = list(held_tensors(still(subject)))
    if not held:
        raise NotApplicable("it holds no tensors, so that there is nothing to move")
    moved = copy.deepcopy(still(subject)).to("meta")  # where nothing is computed, on every machine
    left = [name for name, tensor in held_tensors(moved) if tensor.device.type != "meta"]
    words = f"left behind: {', '.join(left)}. Make them buffers"
    yield Judgement("moving", fails(words) if left else conforms(f"all {len(held)} tensors move"))
    if torch.cuda.is_available() and not left:
        yield Judgement("on the GPU", _on_the_gpu(still(subject).to("cuda"), trial))


def _on_the_gpu(model: Any, trial: Trial) -> Verdict:
    elsewhere = [name for name, value in _outputs(model, trial).items() if value.device.type != "cuda"]
    return fails(f"{', '.join(elsewhere)} come from elsewhere") if elsewhere else conforms("it scores and draws there")


CHECKS = (
    Check(
        name="state-dict",
        about="A copy, and a model that loads its state, do the same bit by bit.",
        kind="model",
        run=_state_dict,
        twins={
            "computes its scale once": twins.ComputesItsScaleOnce,
            "is bound to the original": twins.IsBoundToTheOriginal,
            "saves half of its state": twins.SavesHalfOfItsState,
            "shares parameters with its copy": twins.SharesParameters,
        },
    ),
    Check(
        name="dtype",
        about="A copy in float64 computes in float64, and nearly the same.",
        kind="model",
        run=_dtype,
        twins={
            "computes in float32": twins.ComputesInFloat32,
            "holds a tensor that is no buffer": twins.HoldsATensor,
            "draws float32": twins.DrawsFloat32,
        },
    ),
    Check(
        name="device",
        about="Every tensor moves with the model.",
        kind="model",
        run=_device,
        twins={"holds a tensor that is no buffer": twins.HoldsATensor, "holds one in a list": twins.HoldsATensorInAList},
    ),
)

"""Monotone functions of one number that programs apply to uniform noise before they compare it with something."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["MONOTONE", "Monotone", "monotone_steps"]


@dataclasses.dataclass(frozen=True)
class Monotone:
    """A monotone function and its inverse.

    Args:
        apply: The function.
        invert: Its inverse. Beyond the function's range it is the end of the domain that lies on that side.
        rising: Whether the function rises.
    """

    apply: Callable[[float], float]
    invert: Callable[[float], float]
    rising: bool = True


def monotone_steps(name: str, arguments: Mapping[str, Any], noise: Tensor, shape: torch.Size) -> list[Monotone] | None:
    """Return what an operation applies to its noise, one function for each element of the result.

    Args:
        name: The operation's short name, one of `MONOTONE`.
        arguments: What it is called with, by the names of its schema.
        noise: Which of the arguments is the noise.
        shape: Of the result.

    Returns:
        The functions; None where these arguments make none of it.

    Example:
        >>> u = torch.rand(2)
        >>> steps = monotone_steps("rsub", {"self": u, "other": torch.tensor([1.0, 3.0]), "alpha": 1}, u, u.shape)
        >>> [(step.apply(0.25), step.invert(0.75), step.rising) for step in steps]
        [(0.75, 0.25, False), (2.75, 2.25, False)]
        >>> monotone_steps("div", {"self": 1.0, "other": u}, u, u.shape) is None
        True
    """
    if name in _ALONE:
        return None if arguments.get("eps") is not None else [_ALONE[name]] * math.prod(shape)
    if name == "clamp":
        low, high = (_numbers(arguments[end], shape, default) for end, default in (("min", -math.inf), ("max", math.inf)))
        return [_clamped(*ends) for ends in zip(low, high, strict=True)]
    first = arguments["self"] is noise
    others = _numbers(arguments["other" if first else "self"], shape, 0.0)
    if name in ("mul", "div"):
        possible = all(others) and (name == "mul" or (first and arguments.get("rounding_mode") is None))
        return [_scaled(other if name == "mul" else 1 / other) for other in others] if possible else None
    if arguments.get("alpha", 1) != 1:
        return None
    if name == "add":
        return [_shifted(other) for other in others]
    subtracted = first == (name == "rsub")
    return [_mirrored(other) if subtracted else _shifted(-other) for other in others]


def _exp(value: float) -> float:
    return math.exp(value) if value < 709 else math.inf


def _log(value: float) -> float:
    return math.log(value) if value > 0 else -math.inf


def _log1p(value: float) -> float:
    return math.log1p(value) if value > -1 else -math.inf


def _expm1(value: float) -> float:
    return math.expm1(value) if value < 709 else math.inf


def _sigmoid(value: float) -> float:
    return 1 / (1 + _exp(-value))


def _logit(value: float) -> float:
    return _log(value) - _log(1 - value) if value < 1 else math.inf


_ALONE = {
    "log": Monotone(_log, _exp),
    "exp": Monotone(_exp, _log),
    "log1p": Monotone(_log1p, _expm1),
    "logit": Monotone(_logit, _sigmoid),
    "sigmoid": Monotone(_sigmoid, _logit),
    "neg": Monotone(lambda value: -value, lambda value: -value, rising=False),
}
"""Operations of one argument."""

MONOTONE = frozenset({*_ALONE, "clamp", "add", "sub", "rsub", "mul", "div"})
"""Operations that are monotone in each element of one argument alone, or can be."""


def _shifted(by: float) -> Monotone:
    return Monotone(lambda value: value + by, lambda value: value - by)


def _scaled(by: float) -> Monotone:
    return Monotone(lambda value: value * by, lambda value: value / by, rising=by > 0)


def _mirrored(at: float) -> Monotone:
    return Monotone(lambda value: at - value, lambda value: at - value, rising=False)


def _clamped(low: float, high: float) -> Monotone:
    def invert(value: float) -> float:
        if value <= low:
            return -math.inf
        return math.inf if value > high else value

    return Monotone(lambda value: min(max(value, low), high), invert)


def _numbers(value: Any, shape: torch.Size, default: float) -> list[float]:
    """Return an argument as a number for each element of the result."""
    if not isinstance(value, Tensor):
        return [default if value is None else float(value)] * math.prod(shape)
    return value.detach().to("cpu", torch.float64).expand(shape).reshape(-1).tolist()

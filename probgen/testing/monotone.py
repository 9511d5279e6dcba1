"""Monotone functions of one number that programs apply to uniform noise before they compare it with something."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

__all__ = ["MONOTONE", "ROUNDED", "Monotone", "monotone_steps"]


@dataclasses.dataclass(frozen=True)
class Monotone:
    """A monotone function and its inverse.

    Args:
        apply: The function.
        invert: Its inverse: the function is below a number just where its argument is below the inverse there, or above if
            the function falls. Beyond the function's range that is the end of the domain that lies on that side.
        rising: Whether the function rises.
        invert_including: The same of "at most" in place of "below"; `invert` itself unless the function is flat somewhere.
        domain: Where the function is a number.
        exact: Whether its value is never rounded.
    """

    apply: Callable[[float], float]
    invert: Callable[[float], float]
    rising: bool = True
    invert_including: Callable[[float], float] | None = None
    domain: tuple[float, float] = (-math.inf, math.inf)
    exact: bool = False

    def preimage(self, value: float, *, including: bool) -> float:
        """Return where the function has the value, as an end of the set of arguments below, or `including` the value."""
        return (self.invert_including if including and self.invert_including else self.invert)(value)


def monotone_steps(name: str, arguments: Mapping[str, Any], noise: Tensor, output: Tensor) -> list[Monotone] | None:
    """Return what an operation applies to its noise, one function for each element of the result.

    Args:
        name: The operation's short name, one of `MONOTONE`.
        arguments: What it is called with, by the names of its schema.
        noise: Which of the arguments is the noise.
        output: The result, for its shape and precision.

    Returns:
        The functions; None where these arguments make none of it.

    Example:
        >>> u = torch.rand(2)
        >>> steps = monotone_steps("rsub", {"self": u, "other": torch.tensor([1.0, 3.0]), "alpha": 1}, u, u)
        >>> [(step.apply(0.25), step.invert(0.75), step.rising) for step in steps]
        [(0.75, 0.25, False), (2.75, 2.25, False)]
        >>> monotone_steps("div", {"self": 1.0, "other": u}, u, u) is None
        True
        >>> (step, _) = monotone_steps("clamp_min", {"self": u, "min": 0.5}, u, u)
        >>> step.preimage(0.5, including=False), step.preimage(0.5, including=True)
        (-inf, 0.5)
    """
    if name in _ALONE:
        return None if arguments.get("eps") is not None else [_ALONE[name]] * output.numel()
    if name in _CLAMPS:
        return _clamps(name, arguments, noise, output)
    first = arguments["self"] is noise
    others = _numbers(arguments["other" if first else "self"], output, 0.0)
    if not all(map(math.isfinite, others)) or arguments.get("alpha", 1) != 1:
        return None
    if name in ("mul", "div"):
        possible = all(others) and (name == "mul" or (first and arguments.get("rounding_mode") is None))
        return [_scaled(other) if name == "mul" else _divided(other) for other in others] if possible else None
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
    "log": Monotone(_log, _exp, domain=(0.0, math.inf)),
    "exp": Monotone(_exp, _log),
    "log1p": Monotone(_log1p, _expm1, domain=(-1.0, math.inf)),
    "logit": Monotone(_logit, _sigmoid, domain=(0.0, 1.0)),
    "sigmoid": Monotone(_sigmoid, _logit),
    "neg": Monotone(lambda value: -value, lambda value: -value, rising=False, exact=True),
}
"""Operations of one argument."""

_CLAMPS = ("clamp", "clamp_min", "clamp_max", "maximum", "minimum", "relu")
"""Operations that return one of their arguments, or 0."""

_ARITHMETIC = ("add", "sub", "rsub", "mul", "div")

MONOTONE = frozenset({*_ALONE, *_CLAMPS, *_ARITHMETIC})
"""Operations that are monotone in each element of one argument alone, or can be."""

ROUNDED = Monotone(lambda value: value, lambda value: value)
"""What a change of precision does."""


def _shifted(by: float) -> Monotone:
    return Monotone(lambda value: value + by, lambda value: value - by)


def _scaled(by: float) -> Monotone:
    return Monotone(lambda value: value * by, lambda value: value / by, rising=by > 0)


def _divided(by: float) -> Monotone:
    return Monotone(lambda value: value / by, lambda value: value * by, rising=by > 0)


def _mirrored(at: float) -> Monotone:
    return Monotone(lambda value: at - value, lambda value: at - value, rising=False)


def _clamps(name: str, arguments: Mapping[str, Any], noise: Tensor, output: Tensor) -> list[Monotone] | None:
    """Return how each element of the noise is cut off, whichever argument of the operation it is."""
    first = arguments["self"] is noise
    if name in ("maximum", "minimum"):
        bound = _numbers(arguments["other" if first else "self"], output, 0.0)
        low, high = (bound, None) if name == "maximum" else (None, bound)
    elif name == "relu":
        low, high = _numbers(0.0, output, 0.0), None
    elif first:
        low, high = (_numbers(arguments.get(end), output, at) for end, at in (("min", -math.inf), ("max", math.inf)))
    else:
        return None
    low = low or _numbers(-math.inf, output, 0.0)
    high = high or _numbers(math.inf, output, 0.0)
    if any(map(math.isnan, (*low, *high))):
        return None
    return [_clamped(min(ends), ends[1]) for ends in zip(low, high, strict=True)]  # where they cross, the upper one counts


def _clamped(low: float, high: float) -> Monotone:
    def below(value: float) -> float:
        return -math.inf if value <= low else math.inf if value > high else value

    def up_to(value: float) -> float:
        return -math.inf if value < low else math.inf if value >= high else value

    return Monotone(lambda value: min(max(value, low), high), below, invert_including=up_to, exact=True)


def _numbers(value: Any, output: Tensor, default: float) -> list[float]:
    """Return an argument as a number for each element of the result, in the precision that torch computes with."""
    number = torch.as_tensor(default if value is None else value, dtype=torch.float64).detach().cpu()
    return number.to(output.dtype).to(torch.float64).expand(output.shape).reshape(-1).tolist()

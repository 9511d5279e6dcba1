"""Numbers for people: as many digits as mean something, durations and options in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["duration", "measured", "typed"]


def measured(value: float, stderr: float | None) -> str:
    """Return a value with its standard error, both to the error's second digit; four digits where there is none.

    Example:
        >>> measured(-19.68127, 0.2389), measured(0.0312, None), measured(-0.5, 0.0)
        ('−19.68 ± 0.24', '0.0312', '−0.5')
    """
    if not math.isfinite(value):
        return "not finite"
    if stderr is None or not stderr or not math.isfinite(stderr):
        return f"{value:.4g}".replace("-", "−")
    decimals = max(0, 1 - math.floor(math.log10(stderr)))
    return f"{value:.{decimals}f} ± {stderr:.{decimals}f}".replace("-", "−")


def duration(seconds: float | None) -> str:
    """Return a duration in words.

    Example:
        >>> duration(42.3), duration(754), duration(7384), duration(None)
        ('42 s', '12 min 34 s', '2 h 03 min', 'not noted')
    """
    if seconds is None:
        return "not noted"
    if seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def typed(value: Any) -> str:
    """Return an option's value as one would type it.

    Example:
        >>> typed([200, 200]), typed(None), typed(True), typed({"name": "normal", "scale": 2.0})
        ('200,200', 'none', 'true', 'normal (scale=2.0)')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Mapping):
        inner = ", ".join(f"{name}={typed(entry)}" for name, entry in value.items() if name != "name")
        return f"{value.get('name', '')} ({inner})".strip() if inner else str(value.get("name", ""))
    if isinstance(value, list | tuple):
        return ",".join(map(typed, value))
    return str(value)

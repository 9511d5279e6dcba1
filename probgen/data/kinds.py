"""The kinds of values that data hold, how a kind is recognised, and how the values are kept.

| kind | values | kept as |
|---|---|---|
| `binary` | 0 and 1 | uint8 |
| `levels` | 0, 1, …, levels - 1, the same for every entry: grey levels, say | uint8 up to 256 levels, else int32 |
| `count` | 0, 1, 2, … | int32, int64 where that is too small |
| `real` | any finite number | float32, or float64 where they came so |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor
from torch.distributions import constraints
from torch.distributions.constraints import Constraint

from probgen.errors import ConfigurationError, suggest
from probgen.supports import categorical

__all__ = ["KINDS", "Kind", "Values", "native_support", "recognise"]

Kind = Literal["binary", "levels", "count", "real"]
KINDS: tuple[Kind, ...] = ("binary", "levels", "count", "real")

_SMALL = 256  # whole numbers below this are read as levels, from here on as counts
_INT32_LIMIT = 1 << 31
_FLOAT32_LIMIT = 1 << 24  # whole numbers below it are exact in float32


@dataclasses.dataclass(frozen=True)
class Values:
    """What kind of values the data hold.

    Args:
        kind: One of `KINDS`.
        levels: Number of values that an entry takes, for kind `levels` alone.
        reason: How this was decided, a phrase that a run can print.
    """

    kind: Kind
    levels: int | None = None
    reason: str = "as declared"


def native_support(kind: Kind, levels: int | None) -> Constraint:
    """Return the support of the values as they are kept."""
    if kind == "levels" and levels is not None:
        return categorical(levels)
    return {"binary": constraints.boolean, "count": constraints.nonnegative_integer}.get(kind, constraints.real)


def recognise(splits: Mapping[str, Tensor], *, is_image: bool, kind: str | None = None) -> tuple[dict[str, Tensor], Values]:
    """Recognise the kind of the values over all splits, and return them in their compact type.

    In this order: only 0 and 1 is `binary`; 8-bit pictures are `levels` (256 of them), and so are floating-point pictures
    all of whose values are multiples of 1/255, which is how picture libraries hand over 8-bit ones; other whole numbers from
    zero up are `levels` where the largest is below 256 and `count` otherwise; everything else is `real`. Whole numbers in a
    floating-point array are taken at their word and are `real`.

    Args:
        splits: Raw tensors by name.
        is_image: Whether events are pictures.
        kind: What the user says they are; None to find out.

    Raises:
        ConfigurationError: no kind is called `kind`.
    """
    if kind is not None and kind not in KINDS:
        raise ConfigurationError(
            f"as_source: expected kind to be one of {', '.join(KINDS)}; got {kind!r}. {suggest(kind, KINDS)}"
        )
    if any(values.is_floating_point() and not bool(values.isfinite().all()) for values in splits.values()):
        return dict(splits), Values("real")  # whatever they were to be; `Source` says which entry is wrong
    if kind is None and is_image and _are_scaled_bytes(splits):
        splits = {name: (values * 255).round().to(torch.uint8) for name, values in splits.items()}
        return splits, Values("levels", 256, "pictures whose values are multiples of 1/255")
    found = _declared(kind, splits) if kind else _found(splits, is_image=is_image)
    return {name: _compact(values, found, _largest(splits)) for name, values in splits.items()}, found


def _found(splits: Mapping[str, Tensor], *, is_image: bool) -> Values:
    tensors = splits.values()
    if all(_are_bits(values) for values in tensors):
        return Values("binary", reason="every value is 0 or 1")
    if any(values.is_floating_point() for values in tensors):
        return Values("real", reason="floating-point numbers")
    if is_image and all(values.dtype == torch.uint8 for values in tensors):
        return Values("levels", 256, "8-bit pictures")
    if any(bool((values < 0).any()) for values in tensors):
        return Values("real", reason="whole numbers, some of them negative")
    largest = _largest(splits)
    if largest < _SMALL:
        return Values("levels", int(largest) + 1, f"whole numbers from 0 to {int(largest)}")
    return Values("count", reason=f"whole numbers from 0 up to {int(largest)}")


def _declared(kind: str, splits: Mapping[str, Tensor]) -> Values:
    if kind == "levels":
        return Values("levels", max(2, int(_largest(splits)) + 1))
    return Values("binary" if kind == "binary" else "count" if kind == "count" else "real")


def _compact(values: Tensor, found: Values, largest: float) -> Tensor:
    if found.kind == "real":
        if values.is_floating_point():
            return values
        return values.to(torch.float32 if bool((values.abs() < _FLOAT32_LIMIT).all()) else torch.float64)
    if not _are_whole(values):
        return values  # declared otherwise than they are: `Source` says which entry is wrong
    if found.kind == "binary" or (found.levels is not None and found.levels <= _SMALL):
        return values.to(torch.uint8) if _inside_byte(values) else values
    return values.to(torch.int32 if largest < _INT32_LIMIT else torch.int64)


def _are_bits(values: Tensor) -> bool:
    return values.dtype == torch.bool or bool(((values == 0) | (values == 1)).all())


def _are_whole(values: Tensor) -> bool:
    return not values.is_floating_point() or bool((values == values.round()).all())


def _inside_byte(values: Tensor) -> bool:
    return values.dtype == torch.uint8 or bool(((values >= 0) & (values < _SMALL)).all())


def _are_scaled_bytes(splits: Mapping[str, Tensor]) -> bool:
    """Whether floating-point pictures are 8-bit ones divided by 255 (and not just black and white)."""
    for values in splits.values():
        scaled = values * 255
        inside = values.is_floating_point() and bool(((values >= 0) & (values <= 1)).all())
        if not inside or bool(((scaled - scaled.round()).abs() > 1e-4).any()):
            return False
    return not all(_are_bits(values) for values in splits.values())


def _largest(splits: Mapping[str, Tensor]) -> float:
    return max(float(values.max()) for values in splits.values())

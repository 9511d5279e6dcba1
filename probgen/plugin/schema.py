"""The schema of one option, as plain data; `probgen.plugin.options` converts values by it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, Literal, NoReturn, get_args

from probgen.errors import PluginLoadError

__all__ = ["Option", "OptionType"]

OptionType = Literal["bool", "int", "float", "str", "ints", "model"]

_RESERVED = frozenset({"name", "data", "view", "context", "event_shape", "context_shape", "support"})
_WORDS = {"bool": "a bool", "int": "an int", "float": "a float", "str": "a string", "ints": "ints", "model": "a model"}


@dataclasses.dataclass(frozen=True)
class Option:
    """One option of a model, an estimator or a data set: its type, its default and what it may be.

    Args:
        name: The keyword of the constructor, `num_particles`.
        type: `"bool"`, `"int"`, `"float"`, `"str"`, `"ints"` (a tuple, `200,200` at the shell) or `"model"` (a slot for
            another model or a distribution, `prior=flows/maf` at the shell).
        default: The value when nothing is given. With None the option may be None, `none` at the shell.
        help: What it is, with its unit or shape, in one line.
        choices: The strings that it may be; `"str"` only.
        minimum: Least value of a number, or of each of the ints.
        maximum: Greatest value.
        above: What a number must be greater than.
        below: What it must be less than.

    Raises:
        PluginLoadError: the name is not an identifier or is a word of `probgen.build` itself, the type is unknown, or the
            default is not one of the values that the option allows.

    Example:
        >>> Option("latent", "int", 50, "Size of the code.", minimum=1).words
        'an int of at least 1'
    """

    name: str
    type: OptionType
    default: Any
    help: str
    _: dataclasses.KW_ONLY
    choices: Sequence[str] | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None

    def __post_init__(self) -> None:
        if not self.name.isidentifier() or self.name in _RESERVED:
            self._refuse("a name that is an identifier and none of build's own", self.name, "Rename the option")
        if self.type not in get_args(OptionType):
            self._refuse(f"a type among {', '.join(get_args(OptionType))}", self.type, "Use the nearest of these")
        if self.choices is not None:
            object.__setattr__(self, "choices", tuple(self.choices))
            if self.type != "str":
                self._refuse("choices only with type 'str'", self.type, "Drop the choices")
        if isinstance(self.default, list):
            object.__setattr__(self, "default", tuple(self.default))
        if self.type == "float" and isinstance(self.default, int) and not isinstance(self.default, bool):
            object.__setattr__(self, "default", float(self.default))
        if self.default is not None and not (self._is_typed(self.default) and self.allows(self.default)):
            self._refuse(f"a default that is {self.words}", self.default, "Change the default or the range")

    @property
    def words(self) -> str:
        """What the option may be, in words: it stands in messages, in `probgen info` and in the documentation."""
        if self.choices is not None:
            words = "one of " + ", ".join(map(repr, self.choices))
        else:
            limits = [
                f"{word} {limit:g}"
                for word, limit in (
                    ("at least", self.minimum),
                    ("above", self.above),
                    ("at most", self.maximum),
                    ("below", self.below),
                )
                if limit is not None
            ]
            each = ", each" if self.type == "ints" else ""
            of = " of" if limits and limits[0].startswith("at") else ""
            words = _WORDS[self.type] + (f"{each}{of} {' and '.join(limits)}" if limits else "")
        return f"{words}, or none" if self.default is None else words

    def allows(self, value: Any) -> bool:
        """Return whether `value`, already of the right type, is among the choices and within the range."""
        if self.choices is not None:
            return value in self.choices
        if self.type not in ("int", "float", "ints"):
            return True
        return all(self._is_within(entry) for entry in (value if self.type == "ints" else [value]))

    def _is_within(self, number: float) -> bool:
        return (
            math.isfinite(number)
            and (self.minimum is None or number >= self.minimum)
            and (self.above is None or number > self.above)
            and (self.maximum is None or number <= self.maximum)
            and (self.below is None or number < self.below)
        )

    def _is_typed(self, value: Any) -> bool:
        if self.type == "ints":
            return isinstance(value, tuple) and all(type(entry) is int for entry in value)
        return type(value) is {"bool": bool, "int": int, "float": float, "str": str, "model": str}[self.type]

    def _refuse(self, expected: str, actual: Any, remedy: str) -> NoReturn:
        raise PluginLoadError(f"Option {self.name!r}: expected {expected}; got {actual!r}. {remedy}.")

"""Options: from what people type to what a constructor takes, checked against the spec.

Values come from Python (`latent=50`), from TOML, or as text from a shell (`-o latent=50 -o prior=flows/maf -o
prior.transforms=4`); all three are checked by the same function. Nothing here imports torch, so that bad input is refused
before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any

from probgen.errors import ConfigurationError, suggest
from probgen.plugin.manager import registry
from probgen.plugin.specs import Option

__all__ = ["Slot", "as_slot", "parse_assignments", "plain", "validate"]


@dataclasses.dataclass(frozen=True)
class Slot:
    """A registered model, by name, for a place inside another one; the outer model supplies its shapes.

    Args:
        name: The registered name, `"flows/maf"`.
        options: All its options by name, checked against its spec.
    """

    name: str
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def parse_assignments(assignments: Iterable[str]) -> dict[str, Any]:
    """Return `key=value` texts as a nested dict of texts; a dot descends into a slot, whose model stands under `name`.

    Raises:
        ConfigurationError: a text is no assignment, or a key is given twice.

    Example:
        >>> parse_assignments(["latent=50", "prior=flows/maf", "prior.transforms=4"])
        {'latent': '50', 'prior': {'name': 'flows/maf', 'transforms': '4'}}
    """
    nested: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        path = [part.strip() for part in key.split(".")]
        if not equals or not all(path):
            raise ConfigurationError(
                f"parse_assignments: expected key=value; got {assignment!r}. Write it like latent=50 or prior.transforms=4."
            )
        if not _assign(nested, path, text.strip()):
            raise ConfigurationError(
                f"parse_assignments: expected each option once; got {key.strip()} twice. Keep one of the two."
            )
    return nested


def _assign(nested: dict[str, Any], path: Sequence[str], text: str) -> bool:
    """Put `text` at `path`; return False when something is there already."""
    head, *rest = path
    if rest:
        inner = nested.setdefault(head, {})
        if not isinstance(inner, dict):  # `prior=flows/maf` came first
            inner = nested[head] = {"name": inner}
        return _assign(inner, rest, text)
    if isinstance(nested.get(head), dict):  # `prior.transforms=4` came first
        return _assign(nested[head], ["name"], text)
    if head in nested:
        return False
    nested[head] = text
    return True


def validate(values: Mapping[str, Any], options: Sequence[Option], *, owner: str, path: str = "") -> dict[str, Any]:
    """Return every option's value, converted to its type, the defaults included.

    Args:
        values: What was given, from Python, TOML or a shell.
        options: What may be given.
        owner: Whose options these are, for messages: `"latent/vae"`.
        path: Where in the options of an outer model these stand, for messages: `"prior."`.

    Raises:
        ConfigurationError: an option is unknown, of the wrong type or out of range.
        UnknownNameError: a slot names a model that is not registered.

    Example:
        >>> hidden = Option("hidden", "ints", (200,), "Widths of the hidden layers.", minimum=1)
        >>> validate({"hidden": "200,100"}, [hidden], owner="latent/vae")
        {'hidden': (200, 100)}
    """
    known = {option.name: option for option in options}
    for name in values:
        if name not in known:
            listing = f" Its options: {', '.join(sorted(known))}." if known else ""
            hint = suggest(name, known) if known else "It has none."
            raise ConfigurationError(
                f"{owner}: expected the name of an option; got {path + name!r}. "
                + (hint if hint.startswith("Available") else hint + listing)
            )
    return {
        name: _convert(values.get(name, option.default), option, owner=owner, path=path + name)
        for name, option in known.items()
    }


def _convert(value: Any, option: Option, *, owner: str, path: str) -> Any:
    """Return one value as the option's type."""
    if option.default is None and (value is None or value == "none"):
        return None
    if option.type == "model":
        return as_slot(value, default=option.default, owner=owner, path=path)
    try:
        converted = _parse(value, option)
    except ValueError as error:  # pydantic's ValidationError is one
        raise _refusal(value, option, owner, path) from error
    if not option.allows(converted):
        raise _refusal(value, option, owner, path)
    return converted


def _parse(value: Any, option: Option) -> Any:
    """Convert by pydantic's rules, which read text and refuse to lose information; a bool is no number."""
    if option.type == "ints":
        if isinstance(value, str):
            value = value.removesuffix(",").split(",") if value.strip() else []
        value = (value,) if isinstance(value, int) else value
        numbers = value if isinstance(value, list | tuple) else ()
    else:
        numbers = (value,) if option.type in ("int", "float") else ()
    if any(isinstance(number, bool) for number in numbers):
        raise ValueError("a bool is no number")
    return _adapter(option.type).validate_python(value)


@functools.cache
def _adapter(kind: str) -> Any:
    from pydantic import Field, TypeAdapter  # takes longer to import than the whole registry to be discovered

    types: dict[str, Any] = {
        "bool": bool,
        "int": int,
        "float": Annotated[float, Field(allow_inf_nan=False)],
        "str": str,
        "ints": tuple[int, ...],
    }
    return TypeAdapter(types[kind])


def as_slot(part: Any, *, default: str | None = None, owner: str, path: str) -> Any:
    """Return the `Slot` for a name, a mapping of name and options, or a slot; its options complete and checked.

    What is none of these (a model, a distribution) comes back as it is, for `resolve` to judge.

    Args:
        part: What was given for the slot.
        default: The model that the slot holds when options alone are given.
        owner: Whose slot this is, for messages.
        path: The slot's name, for messages.

    Raises:
        ConfigurationError: an option is unknown or invalid, or options stand without a name.
        UnknownNameError: the name is not registered.
    """
    if isinstance(part, Slot):
        part = {"name": part.name, **part.options}
    elif isinstance(part, str):
        part = {"name": part}
    elif not isinstance(part, Mapping):
        return part
    values = dict(part)
    name = values.pop("name", default)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"{owner}: expected {path} to name a model; got {', '.join(values) or 'nothing'} without one. "
            f"Add {path}=FAMILY/MODEL."
        )
    return Slot(name, validate(values, registry().model(name).spec.options, owner=name, path=f"{path}."))


def _refusal(value: Any, option: Option, owner: str, path: str) -> ConfigurationError:
    default = "none" if option.default is None else repr(option.default)
    remedy = f"Leave it out for the default, {default}."
    if option.choices is not None and isinstance(value, str):
        remedy = suggest(value, option.choices)
    return ConfigurationError(f"{owner}: expected {path} to be {option.words}; got {value!r}. {remedy}")


def plain(value: Any, *, live: Callable[[Any], Any] | None = None) -> Any:
    """Return option values as JSON types, from which `validate` makes them again.

    Args:
        value: One value, or a mapping of them by name.
        live: Returns what stands for a live object, such as a model in a slot; None where there is to be no such object.

    Raises:
        TypeError: the value is, or holds, a live object that nothing stands for.

    Example:
        >>> plain({"latent": 8, "prior": Slot("flows/maf", {"hidden": (64, 64)})})
        {'latent': 8, 'prior': {'name': 'flows/maf', 'hidden': [64, 64]}}
    """
    if isinstance(value, Slot):
        value = {"name": value.name, **value.options}
    if isinstance(value, Mapping):
        return {name: plain(entry, live=live) for name, entry in value.items()}
    if isinstance(value, tuple | list):
        return [plain(entry, live=live) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if live is None:
        raise TypeError(f"plain: expected an option's value; got a live {type(value).__name__}. Give its registered name.")
    return plain(live(value), live=live)

"""Everything that a phase can get hold of: tensors and the places that hold them, Python values, sources of randomness."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import random
import sys
import types
import weakref
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from probgen.errors import StagingError

__all__ = ["Container", "Place", "Reach", "Slots", "Stream"]

_MOST = 50_000
"""Places, after which a phase is said to reach too much to be watched."""
_LARGE = 1_000
"""Entries from which on a container without tensors is watched by its identity and its length alone."""
_FEW = 64

_PLAIN = (bool, int, float, complex, str, bytes, type(None), torch.dtype, torch.device, torch.Size, torch.layout)
_WALKED_STANDARD = frozenset({"argparse", "builtins", "collections", "functools", "types"})
_MODULE_INTERNALS = frozenset(vars(nn.Module())) - {"training"}
_HELD_BY_MODULES = ("_parameters", "_buffers", "_modules")


class Slots:
    """Attributes that stand in no dictionary, a cell's contents among them, behind the face of a mapping."""

    def __init__(self, owner: Any, names: Sequence[str]) -> None:
        self.owner = owner
        self.names = names

    def __getitem__(self, name: str) -> Any:
        """Return an attribute's value."""
        return getattr(self.owner, name)

    def __setitem__(self, name: str, value: Any) -> None:
        """Give an attribute a value."""
        object.__setattr__(self.owner, name, value)

    def __len__(self) -> int:
        """Return how many attributes there are."""
        return len(self.names)

    def now(self) -> dict[str, Any]:
        """Return the attributes that have a value."""
        return {name: getattr(self.owner, name) for name in self.names if hasattr(self.owner, name)}


@dataclasses.dataclass(frozen=True, eq=False)
class Container:
    """Something whose contents can change.

    Args:
        holder: A dictionary, a list, a deque, a set, or slots.
        contents: A copy of what it held.
        watched: The keys, or numbers, of the contents that are watched; None for all of a set.
        path: Its name, for messages.
    """

    holder: Any
    contents: Any
    watched: tuple[Any, ...] | None
    path: str


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """A place that holds a tensor.

    Args:
        holder: What holds it: a module's dictionary of parameters, say.
        key: Under what name, or number.
        path: Its name, for messages.
    """

    holder: Any
    key: Any
    path: str

    @property
    def identity(self) -> tuple[int, Any]:
        """What tells it from other places."""
        return id(self.holder.owner if isinstance(self.holder, Slots) else self.holder), self.key

    @property
    def content(self) -> Any:
        """What the place holds now."""
        return self.holder[self.key]

    def put(self, value: Any) -> None:
        """Let the place hold `value`."""
        self.holder[self.key] = value


@dataclasses.dataclass(frozen=True, eq=False)
class Stream:
    """A source of random numbers that is not one of torch's global ones.

    Args:
        path: Its name, for messages.
        read: Returns where it stands.
        write: Puts it somewhere.
    """

    path: str
    read: Callable[[], Any]
    write: Callable[[Any], object]


class Reach:
    """What can be reached from some objects: by attributes, entries, elements, slots and the cells of closures.

    Classes, Python modules, the global variables of functions and the inner state of what is not written in Python are out
    of reach.

    Args:
        roots: Where to start, by name.

    Raises:
        StagingError: it is more than can be watched.
    """

    def __init__(self, roots: Mapping[str, Any]) -> None:
        self.places: list[tuple[Tensor, list[Place]]] = []
        """Each tensor that stands somewhere where another could be put, with all such places."""
        self.constants: list[Tensor] = []
        """Tensors in tuples and the like."""
        self.containers: list[Container] = []
        self.tokens: list[tuple[str, str, Any]] = []
        """What was found, in order: path, description, and the identity of what is only equal to itself."""
        self.streams: list[Stream] = [Stream("Python's random", random.getstate, random.setstate)]
        """Sources of randomness other than torch's global ones."""
        if "numpy" in sys.modules:
            generator = sys.modules["numpy"].random
            self.streams.append(Stream("NumPy's random", generator.get_state, generator.set_state))
        self._met: dict[int, int] = {}
        self._number_of: dict[int, int] = {}
        self._kept: list[Any] = []
        self._waiting: list[tuple[Any, str, Any, Any]] = [
            (root, name, None, None) for name, root in reversed(list(roots.items()))
        ]
        while self._waiting:
            self._visit(*self._waiting.pop())
            if len(self.tokens) > _MOST:
                raise StagingError(
                    f"staging: expected an estimator and a model of at most {_MOST} Python values; got more, from "
                    f"{self.tokens[-1][0]} on, too many to be watched for changes. Keep data out of them."
                )

    @property
    def tensors(self) -> Iterator[Tensor]:
        """Each tensor once."""
        return itertools.chain((tensor for tensor, _ in self.places), self.constants)

    def difference(self, other: Reach) -> str | None:
        """Return the name of the first thing that is another, or elsewhere, in `other`; None if nothing is."""
        for mine, its in itertools.zip_longest(self.tokens, other.tokens):
            if mine != its:
                return (its or mine)[0]
        return None

    # ------------------------------------------------------------------------------------------------------ the walk

    def _visit(self, value: Any, path: str, holder: Any, key: Any) -> None:
        if isinstance(value, Tensor):
            self._visit_tensor(value, path, holder, key)
        elif isinstance(value, _PLAIN):
            self._note(path, f"{type(value).__name__} {value!r}")
        elif id(value) in self._met:
            self._note(path, f"again {self._met[id(value)]}")
        else:
            self._met[id(value)] = len(self._met)
            self._kept.append(value)  # an identity is one as long as its object lives
            self._visit_object(value, path)

    def _visit_tensor(self, value: Tensor, path: str, holder: Any, key: Any) -> None:
        kind = "parameter" if isinstance(value, nn.Parameter) else "tensor"
        if holder is None:
            self.constants.append(value)
            # Python can read a few numbers out of a tensor that no input stands for, and a graph then holds them.
            numbers = value.tolist() if value.numel() <= _FEW and value.layout == torch.strided else "…"
            self._note(path, f"constant {kind} {tuple(value.shape)} {numbers}", id(value))
            return
        number = self._number_of.setdefault(id(value), len(self._number_of))
        if number == len(self.places):
            self.places.append((value, []))
        place = Place(holder, key, path)
        self.places[number][1].append(place)
        self._note(path, f"{kind} {number}", (place.identity[0], id(value) if kind == "parameter" else None))

    def _visit_object(self, value: Any, path: str) -> None:
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(value, type | types.ModuleType | types.BuiltinFunctionType):
            self._note(path, f"{name} {getattr(value, '__qualname__', value.__name__)}", id(value))
        elif isinstance(value, dict):
            self._note(path, f"{name} of {len(value)}")
            self._visit_entries(value, path, tuple(value))
        elif isinstance(value, list | deque):
            self._note(path, f"{name} of {len(value)}")
            self._visit_elements(value, path)
        elif isinstance(value, set):
            self._note(path, f"{name} {sorted(map(_brief, value))}")
            self.containers.append(Container(value, set(value), None, path))
        elif isinstance(value, frozenset):
            self._note(path, f"{name} {sorted(map(_brief, value))}")
        elif isinstance(value, tuple):
            self._note(path, f"{name} of {len(value)}")
            walked = value if _is_walked(value) else ()
            self._wait((element, f"{path}[{number}]", None, None) for number, element in enumerate(walked))
        elif isinstance(value, Mapping) and not isinstance(value, MutableMapping) and not hasattr(value, "__dict__"):
            self._note(path, f"{name} of {len(value)}")
            self._wait((element, f"{path}[{key!r}]", None, None) for key, element in value.items())
        elif isinstance(value, types.FunctionType | types.MethodType | functools.partial):
            self._visit_function(value, path)
        elif isinstance(value, weakref.ref):
            self._note(path, name)
        elif (stream := _stream_of(value, path)) is not None:
            self.streams.append(stream)
            self._note(path, name, id(value))
        else:
            self._visit_instance(value, path, name)

    def _visit_instance(self, value: Any, path: str, name: str) -> None:
        """Look at an object's attributes, in its dictionary and in its slots."""
        is_module = isinstance(value, nn.Module)
        attributes = getattr(value, "__dict__", None)
        slots = _slots_of(type(value))
        top = name.partition(".")[0]
        opaque = not is_module and top in sys.stdlib_module_names and top not in _WALKED_STANDARD
        if opaque or not (isinstance(attributes, dict) or slots):
            self._note(path, f"{name} {_brief(value)}", id(value))
            return
        self._note(path, name, id(value) if is_module else None)
        if slots:
            face = Slots(value, slots)
            self._kept.append(face)
            self._visit_slots(face, path)
        if isinstance(attributes, dict):
            self._met.setdefault(id(attributes), len(self._met))
            keys = tuple(key for key in attributes if not (is_module and key in _MODULE_INTERNALS))
            self._visit_entries(attributes, path, keys, attributes=True)
        if is_module:
            for inner, contents in vars(value).items():
                if inner in _MODULE_INTERNALS and isinstance(contents, dict) and id(contents) not in self._met:
                    self._met[id(contents)] = len(self._met)
                    self._kept.append(contents)
                    self._visit_entries(contents, path, tuple(contents), attributes=inner in _HELD_BY_MODULES)

    def _visit_function(self, value: Any, path: str) -> None:
        if isinstance(value, types.MethodType):
            self._note(path, f"method {value.__qualname__}")
            self._wait([(value.__self__, path, None, None), (value.__func__, path, None, None)])
        elif isinstance(value, functools.partial):
            self._note(path, "partial")
            self._wait([(value.func, path, None, None), (value.args, path, None, None), (value.keywords, path, None, None)])
        else:
            self._note(path, f"function {value.__module__}.{value.__qualname__}", id(value.__code__))
            cells = zip(value.__code__.co_freevars, value.__closure__ or (), strict=True)
            parts = [(cell, f"{path}.{name}") for name, cell in cells if id(cell) not in self._met]
            for cell, name in parts:
                self._met[id(cell)] = len(self._met)
                face = Slots(cell, ("cell_contents",))
                self._kept += [cell, face]
                self._visit_slots(face, name, named=False)
            rest = [value.__defaults__, value.__kwdefaults__, vars(value) or None]
            self._wait((part, path, None, None) for part in rest if part is not None)

    def _visit_slots(self, face: Slots, path: str, *, named: bool = True) -> None:
        contents = face.now()
        watched = tuple(name for name, value in contents.items() if _is_watched(value))
        self.containers.append(Container(face, contents, watched, path))
        self._wait((value, f"{path}.{name}" if named else path, face, name) for name, value in contents.items())

    def _visit_entries(self, value: dict[Any, Any], path: str, keys: Sequence[Any], *, attributes: bool = False) -> None:
        contents = dict(value)
        walked = dict.fromkeys(keys) if _is_walked(contents.values()) else {}
        watched = tuple(key for key in walked if _is_watched(contents[key]))
        self.containers.append(Container(value, contents, watched, path))
        self._note(path, f"entries {[_brief(key) for key in walked]}")
        self._wait((contents[key], f"{path}.{key}" if attributes else f"{path}[{key!r}]", value, key) for key in walked)

    def _visit_elements(self, value: Any, path: str) -> None:
        contents = list(value)
        walked = contents if _is_walked(contents) else []
        watched = tuple(number for number, element in enumerate(walked) if _is_watched(element))
        self.containers.append(Container(value, contents, watched, path))
        self._wait((element, f"{path}[{number}]", value, number) for number, element in enumerate(walked))

    def _wait(self, found: Any) -> None:
        self._waiting += reversed(list(found))

    def _note(self, path: str, description: str, identity: Any = None) -> None:
        self.tokens.append((path, description, identity))


def _stream_of(value: Any, path: str) -> Stream | None:
    """Return an object's access to its random numbers; None if it has none."""
    if isinstance(value, torch.Generator):
        return Stream(path, value.get_state, value.set_state)
    if isinstance(value, random.Random):
        return Stream(path, value.getstate, value.setstate)
    if type(value).__module__.startswith("numpy.random") and hasattr(value, "bit_generator"):
        bits = value.bit_generator
        return Stream(path, lambda: bits.state, lambda state: setattr(bits, "state", state))
    return None


def _is_walked(contents: Collection[Any]) -> bool:
    """Return whether to look at elements one by one: not at very many that are no tensors."""
    return len(contents) <= _LARGE or any(isinstance(element, Tensor) for element in contents)


def _is_watched(value: Any) -> bool:
    """Return whether another value in its place is a change: another tensor is not, for tensors are inputs."""
    return isinstance(value, nn.Parameter) or not isinstance(value, Tensor)


def _slots_of(kind: type) -> tuple[str, ...]:
    """Return the names of the slots of a class that is written in Python."""
    names: list[str] = []
    for base in kind.__mro__:
        declared: Any = base.__dict__.get("__slots__", ())
        names += [declared] if isinstance(declared, str) else list(declared)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__") and not name.startswith("__"))


def _brief(value: Any) -> str:
    """Return a description of a value, the same in every process."""
    return f"{type(value).__name__} {value!r}" if isinstance(value, (*_PLAIN, itertools.count)) else type(value).__qualname__

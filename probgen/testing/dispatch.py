"""Torch programs run on scripted noise.

Every random operation carries the tag `nondeterministic_seeded`, whichever function of torch, `torch.distributions`, Pyro or
a module made the call, and in autograd and vmap too. A dispatch mode sees them all. Nothing else here uses
`torch.utils._python_dispatch`, which is documented and yet has an underscore in its name.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from probgen.testing.answers import Answerer
from probgen.testing.failures import HiddenRandomness, NotEnumerable
from probgen.testing.jumps import COMPARISONS, SHAPE_ONLY, Smooth, jumps
from probgen.testing.monotone import MONOTONE, ROUNDED, monotone_steps
from probgen.testing.script import Script
from probgen.testing.uniforms import Uniforms

__all__ = ["ScriptedNoise"]

_MOVES = ("clone", "_to_copy", "_unsafe_view", "cat", "stack", "repeat", "flip", "index", "index_select")
"""Operations that put elements elsewhere and change none."""

_REVERSED = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le", "eq": "eq", "ne": "ne"}
"""What each comparison is with its operands exchanged."""

_SWITCHES = {"dropout_p": 0.0, "train": False, "training": False}
"""Arguments that turn a random operation into a deterministic one."""


@dataclasses.dataclass(frozen=True)
class _Operation:
    """What there is to know of an operation of torch."""

    name: str
    random: bool
    writes: tuple[str, ...]
    """The names of the arguments that it writes to."""

    @staticmethod
    @functools.cache
    def of(func: Any) -> _Operation:
        return _Operation(
            name=func.overloadpacket.__name__,
            random=torch.Tag.nondeterministic_seeded in func.tags,
            writes=tuple(argument.name for argument in func._schema.arguments if argument.is_write),
        )


class ScriptedNoise(TorchDispatchMode):
    """A block in which torch's random operations follow a script.

    Args:
        script: Makes the choices; one path of it is run in the block.
        nodes: Number of nodes of the rules that stand for a normal variable, and for a uniform one that is computed with.
        position: Where in their interval undecided uniform elements are said to lie; see `Uniforms`.

    Example:
        >>> script = Script(max_paths=10)
        >>> with ScriptedNoise(script, nodes=12):
        ...     torch.bernoulli(torch.tensor([0.25, 0.5]))
        tensor([0., 0.])
        >>> script.mass
        0.375
    """

    def __init__(self, script: Script, *, nodes: int, position: float = 0.0) -> None:
        super().__init__()
        self._uniforms = Uniforms(script, nodes=nodes, position=position)
        self._smooth = Smooth(script)
        self._answerer = Answerer(script, self._uniforms, nodes=nodes)
        self.refusal: NotEnumerable | HiddenRandomness | None = None
        """Why the program cannot be enumerated, if it cannot."""
        self.generators: dict[int, tuple[torch.Generator, int]] = {}
        """The generators that were drawn from, apart from the global one, each with its seed at the first draw."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return no: torch's guard against compiling what follows costs as much as the rest of an operation."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answer `func` if it is random or looks at uniform noise; else run it."""
        try:
            return self._dispatch(func, args, dict(kwargs or {}))
        except (NotEnumerable, HiddenRandomness) as refusal:
            self.refusal = self.refusal or refusal
            raise

    def _dispatch(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = _Operation.of(func)
        if call.random:
            arguments = _by_name(func, args, kwargs)
            if not any(name in arguments and arguments[name] == off for name, off in _SWITCHES.items()):
                return self._answer(func, args, kwargs, arguments)
        if not self._uniforms and not self._smooth:
            return func(*args, **kwargs)
        tensors = _tensors((*args, *kwargs.values()))
        undecided = self._undecided(tensors)
        moved = self._smooth.touched(tensors) if call.writes else set()
        result = self._look(func, args, kwargs, undecided) if undecided else func(*args, **kwargs)
        if self._smooth and (touched := moved | self._smooth.touched(tensors)):
            outputs = _tensors(result)
            if call.writes:
                named = _by_name(func, args, kwargs)
                outputs += _tensors([named.get(name) for name in call.writes])
            self._smooth.follow(call.name, kwargs, touched, outputs, result)
        return result

    def forbid(self, tensor: Tensor, reader: str) -> None:
        """Refuse the program if `tensor` holds noise of a continuous law, which `reader` would see.

        Raises:
            NotEnumerable: it does.
        """
        if self._undecided([tensor]) or self._smooth.touched([tensor]):
            self.refusal = NotEnumerable(f"noise of a continuous law that is read by {reader}")
            raise self.refusal

    def read(self, result: Any) -> None:
        """Say, after the block, that `result` is what the program returns: noise in it becomes numbers."""
        self._settle(_tensors(result), "the result")

    def _settle(self, tensors: list[Tensor], operation: str) -> None:
        if undecided := self._undecided(tensors):
            for memory in self._uniforms.settle(undecided, operation):
                self._smooth.add(memory)

    def _undecided(self, tensors: list[Tensor]) -> list[Tensor]:
        return [tensor for tensor in tensors if self._uniforms.labels(tensor) is not None] if self._uniforms else []

    def _answer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], arguments: Mapping[str, Any]) -> Any:
        generator = arguments.get("generator")
        if generator is not None:  # its stream stays where it is
            self.generators.setdefault(id(generator), (generator, generator.initial_seed()))
            args, kwargs = tree_map_only(torch.Generator, lambda _: None, (args, kwargs))
        name = func.overloadpacket.__name__
        inputs = _tensors(arguments.get("input"))
        self._settle(inputs, str(func))
        result = self._answerer.answer(name, arguments, func(*args, **kwargs), str(func))
        outputs = _tensors(result)
        if "normal" in name or "randn" in name:  # nodes from the first; of uniform noise, what was not only compared
            for tensor in outputs:
                self._smooth.add(tensor)
        elif inputs:  # dropout keeps what it was given, apart from its mask
            self._smooth.follow(name, {}, self._smooth.touched(inputs), outputs[:1], result)
        return result

    def _look(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], undecided: list[Tensor]) -> Any:
        """Run an operation that has undecided uniform elements among its arguments."""
        name = func.overloadpacket.__name__
        if name in SHAPE_ONLY:
            return func(*args, **kwargs)
        if func.is_view:
            return self._view(func, args, kwargs)
        if name.removesuffix("_") in _REVERSED and len(undecided) == 1:
            return self._compare(func, args, kwargs)
        if not _Operation.of(func).writes:
            if name in _MOVES:
                return self._move(func, args, kwargs)
            if name in MONOTONE and len(undecided) == 1:
                derived = self._derive(func, args, kwargs, undecided[0])
                if derived is not None:
                    return derived
        if jumps(name, kwargs, orders=True):
            raise NotEnumerable(f"uniform noise where a result jumps, by {func}")
        self._settle(undecided, str(func))
        return func(*args, **kwargs)

    def _view(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result = func(*args, **kwargs)
        if any(view.dtype != args[0].dtype for view in _tensors(result)):
            raise NotEnumerable(f"uniform noise whose bits are read, by {func}")
        return result

    def _derive(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], noise: Tensor) -> Tensor | None:
        """Run an operation that is monotone in each element of the noise, which stays undecided; None if it is not."""
        labels = self._labels(noise)
        if bool((labels < 0).any()):
            return None
        output = func(*args, **kwargs)
        steps = monotone_steps(func.overloadpacket.__name__, _by_name(func, args, kwargs), noise, output)
        if steps is None or not self._uniforms.derive(output, labels.expand(output.shape), steps):
            return None
        return output

    def _compare(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        """Answer a comparison of noise with something that is none; its answer may be written to either, or elsewhere."""
        noise_first = isinstance(args[0], Tensor) and self._uniforms.labels(args[0]) is not None
        noise, threshold = args[:2] if noise_first else args[1::-1]
        labels = self._labels(noise)
        if bool((labels < 0).any()):
            raise NotEnumerable(f"a comparison of a tensor that is uniform noise in part, by {func}")
        precision = torch.result_type(*args[:2])
        threshold = torch.as_tensor(threshold, dtype=torch.float64, device="cpu").to(precision).double().clone()
        answer = func(*args, **kwargs)
        name = func.overloadpacket.__name__.removesuffix("_")
        name = name if noise_first else _REVERSED[name]
        labels, threshold = labels.expand(answer.shape), threshold.expand(answer.shape)
        if name in COMPARISONS:
            below, including = COMPARISONS[name]
            found = self._uniforms.below(labels, threshold, str(func), including=including)
            found = found if below else ~found & ~threshold.isnan()
        else:
            equal = self._uniforms.at(labels, threshold, str(func))
            found = equal if name == "eq" else ~equal
        self._uniforms.forget(answer)
        return answer.copy_(found)

    def _move(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        output = func(*args, **kwargs)
        if func.overloadpacket.__name__ in ("clone", "_to_copy"):
            labels = self._labels(args[0])
            if not output.is_floating_point() or output.element_size() < 4:
                raise NotEnumerable(f"uniform noise where a result jumps, by {func}")
            if output.element_size() < args[0].element_size() and bool((labels >= 0).all()):
                self._uniforms.derive(output, labels, [ROUNDED] * output.numel())
            else:
                self._uniforms.relabel(output, labels)
        else:
            moved = tree_map_only(Tensor, self._labels, args[0]), *args[1:]
            self._uniforms.relabel(output, func(*moved, **kwargs))
        return output

    def _labels(self, tensor: Tensor) -> Tensor:
        labels = self._uniforms.labels(tensor)
        return torch.full(tensor.shape, -1) if labels is None else labels


def _tensors(tree: Any) -> list[Tensor]:
    """Return the tensors in nested lists, tuples and dicts, apart from the zeros of forward mode, which have no memory.

    What torch has for this takes longer than an operation.
    """
    if isinstance(tree, Tensor):
        return [] if tree._is_zerotensor() else [tree]
    if isinstance(tree, dict):
        tree = tree.values()
    elif not isinstance(tree, list | tuple):
        return []
    return [tensor for part in tree for tensor in _tensors(part)]


def _by_name(func: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by the names of the operation's schema, defaults included."""
    known = func._schema.arguments
    named = {argument.name: argument.default_value for argument in known if argument.has_default_value()}
    return {**named, **{argument.name: value for argument, value in zip(known, args, strict=False)}, **kwargs}

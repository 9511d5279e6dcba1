"""Torch programs run on scripted noise.

Every random operation carries the tag `nondeterministic_seeded`, whichever function of torch, `torch.distributions`, Pyro or
a module made the call, and in autograd and vmap too. A dispatch mode sees them all. Nothing else here uses
`torch.utils._python_dispatch`, which is documented and yet has an underscore in its name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from probgen.testing.answers import Answerer
from probgen.testing.failures import NotEnumerable
from probgen.testing.jumps import COMPARISONS, JUMPS, Smooth
from probgen.testing.monotone import MONOTONE, monotone_steps
from probgen.testing.script import Script
from probgen.testing.uniforms import Uniforms

__all__ = ["ScriptedNoise"]

_MOVES = ("clone", "_to_copy", "_unsafe_view", "cat", "stack", "repeat", "flip", "index", "index_select")
"""Operations that put elements elsewhere and change none."""

_SHAPE_ONLY = ("zeros_like", "ones_like", "full_like", "empty_like", "new_zeros", "new_ones", "new_full", "new_empty")
"""Operations that read no element."""

_SWITCHES = {"dropout_p": 0.0, "train": False, "training": False}
"""Arguments that turn a random operation into a deterministic one."""


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
        self._smooth = Smooth()
        self._answerer = Answerer(script, self._uniforms, nodes=nodes)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Return no: torch's guard against compiling what follows costs as much as the rest of an operation."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Answer `func` if it is random or looks at uniform noise; else run it."""
        kwargs = dict(kwargs or {})
        if torch.Tag.nondeterministic_seeded in func.tags:
            arguments = _by_name(func, args, kwargs)
            if not any(name in arguments and arguments[name] == off for name, off in _SWITCHES.items()):
                return self._answer(func, args, kwargs, arguments)
        if not self._uniforms and not self._smooth:
            return func(*args, **kwargs)
        tensors = _tensors((*args, *kwargs.values()))
        undecided = self._undecided(tensors)
        result = self._look(func, args, kwargs, undecided) if undecided else func(*args, **kwargs)
        if self._smooth:
            self._smooth.follow(func.overloadpacket.__name__, tensors, *_tensors(result))
        return result

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
        args, kwargs = tree_map_only(
            torch.Generator, lambda _: None, (args, kwargs)
        )  # the caller's stream stays where it is
        name = func.overloadpacket.__name__
        result = self._answerer.answer(name, arguments, func(*args, **kwargs), str(func))
        if "normal" in name or "randn" in name:  # nodes from the first; of uniform noise, what was not only compared
            for tensor in _tensors(result):
                self._smooth.add(tensor)
        return result

    def _look(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], undecided: list[Tensor]) -> Any:
        """Run an operation that has undecided uniform elements among its arguments."""
        name = func.overloadpacket.__name__
        if name in _SHAPE_ONLY or func.is_view:
            return func(*args, **kwargs)
        if not func._schema.is_mutable:
            if name in _MOVES:
                return self._move(func, args, kwargs)
            if name in COMPARISONS and len(undecided) == 1:
                return self._compare(func, args)
            if name in MONOTONE and len(undecided) == 1:
                derived = self._derive(func, args, kwargs, undecided[0])
                if derived is not None:
                    return derived
        if name.removesuffix("_") in JUMPS:
            raise NotEnumerable(f"uniform noise where a result jumps, by {func}")
        self._settle(undecided, str(func))
        return func(*args, **kwargs)

    def _derive(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], noise: Tensor) -> Tensor | None:
        """Run an operation that is monotone in each element of the noise, which stays undecided; None if it is not."""
        labels = self._labels(noise)
        if bool((labels < 0).any()):
            return None
        output = func(*args, **kwargs)
        steps = monotone_steps(func.overloadpacket.__name__, _by_name(func, args, kwargs), noise, output.shape)
        if steps is None:
            return None
        self._uniforms.derive(output, labels.expand(output.shape), steps)
        return output

    def _compare(self, func: Any, args: tuple[Any, ...]) -> Tensor:
        noise_first = isinstance(args[0], Tensor) and self._uniforms.labels(args[0]) is not None
        noise, threshold = args[:2] if noise_first else args[1::-1]
        labels = self._labels(noise)
        if bool((labels < 0).any()):
            raise NotEnumerable(f"a comparison of a tensor that is uniform noise in part, by {func}")
        answer = func(*args)
        threshold = torch.as_tensor(threshold, dtype=torch.float64, device="cpu")
        below = self._uniforms.below(labels.expand(answer.shape), threshold.expand(answer.shape), str(func))
        wanted = COMPARISONS[func.overloadpacket.__name__] == noise_first
        return answer.copy_(below if wanted else ~below)

    def _move(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
        output = func(*args, **kwargs)
        if func.overloadpacket.__name__ in ("clone", "_to_copy"):
            if not output.is_floating_point():
                raise NotEnumerable(f"uniform noise where a result jumps, by {func}")
            self._uniforms.relabel(output, self._labels(args[0]))
        else:
            moved = tree_map_only(Tensor, self._labels, args[0]), *args[1:]
            self._uniforms.relabel(output, func(*moved, **kwargs))
        return output

    def _labels(self, tensor: Tensor) -> Tensor:
        labels = self._uniforms.labels(tensor)
        return torch.full(tensor.shape, -1) if labels is None else labels


def _tensors(tree: Any) -> list[Tensor]:
    """Return the tensors in nested lists, tuples and dicts; what torch has for this takes longer than an operation."""
    if isinstance(tree, Tensor):
        return [tree]
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

"""The tensors that a model holds, registered or not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn
from torch.distributions.constraints import Constraint

__all__ = ["held_tensors"]

_LEAVES = (str, bytes, int, float, complex, type, FunctionType, MethodType, ModuleType, Constraint)
"""What is not looked into. The ends of a support are numbers, even where a distribution keeps them as tensors."""


def held_tensors(model: Any) -> Iterator[tuple[str, Tensor]]:
    """Yield every tensor that can be reached from `model` through attributes and containers, each once, with its path.

    Parameters and buffers come first, under the names that torch gives them.
    """
    seen: set[int] = set()
    if isinstance(model, nn.Module):
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            seen.add(id(tensor))
            yield name, tensor
    yield from _reached(model, "", seen)


def _reached(part: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Tensor]]:
    if part is None or isinstance(part, _LEAVES) or id(part) in seen:
        return
    seen.add(id(part))
    if isinstance(part, Tensor):
        yield path, part
        return
    for name, value in _parts(part):
        yield from _reached(value, f"{path}.{name}" if path else str(name), seen)


def _parts(part: Any) -> list[tuple[Any, Any]]:
    if isinstance(part, Mapping):
        return list(part.items())
    if isinstance(part, list | tuple | set | frozenset):
        return list(enumerate(part))
    if isinstance(part, nn.Module):
        own = {name: value for name, value in vars(part).items() if not name.startswith("_")}
        return [*part.named_children(), *own.items(), *((n, v) for n, v in vars(part).items() if n not in own)]
    return list(getattr(part, "__dict__", {}).items())

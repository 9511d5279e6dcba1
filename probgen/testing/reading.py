"""Code that reads the memory of tensors without any operation of torch, so that a script cannot answer it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["Watch"]

_READERS = {
    Tensor.tolist: "tolist",
    Tensor.numpy: "numpy",
    Tensor.__array__: "numpy",
    Tensor.__dlpack__: "DLPack",
    Tensor.__deepcopy__: "deepcopy",
    Tensor.__reduce_ex__: "pickle",
    Tensor.untyped_storage: "its storage",
    Tensor.data_ptr: "its address",
}


class Watch(TorchFunctionMode):
    """A block in which someone is told when the memory of a tensor is read behind torch's back.

    Args:
        tell: Called with the tensor, and what reads it.

    Example:
        >>> import torch
        >>> with Watch(lambda tensor, reader: print(tuple(tensor.shape), reader)):
        ...     torch.zeros(2).tolist()
        (2,) tolist
        [0.0, 0.0]
    """

    def __init__(self, tell: Callable[[Tensor, str], None]) -> None:
        super().__init__()
        self._tell = tell

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call `func`; tell first if it reads."""
        if func in _READERS:
            self._tell(args[0], _READERS[func])
        return func(*args, **(kwargs or {}))

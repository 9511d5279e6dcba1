"""How much memory a step needs at its worst, on top of what is there before it."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import re
from collections.abc import Callable
from pathlib import Path

import torch

__all__ = ["peak_bytes", "return_freed_memory"]

_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): forget the peak of the resident set
_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # names of glibc's mallopt(3)
_SMALL = 1 << 16


def return_freed_memory() -> None:
    """Let the C library hand freed memory back at once, at the price of slower steps: what is resident is then in use."""
    library = ctypes.CDLL(None)
    if hasattr(library, "mallopt"):
        library.mallopt(_MMAP_THRESHOLD, _SMALL)
        library.mallopt(_TRIM_THRESHOLD, _SMALL)


def peak_bytes(step: Callable[[], object], device: str) -> int | None:
    """Return the peak of one step above what was held before it, or None where the system does not tell.

    On the CPU that is the resident set, exact to some hundred kilobytes; call `return_freed_memory` before.
    """
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        step()
        return torch.cuda.max_memory_allocated() - before
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)
    with contextlib.suppress(OSError):
        _RESET.write_text(_RESET_PEAK)
        before = _status("VmRSS")
        step()
        return max(0, _status("VmHWM") - before)
    return None


def _status(name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    return 0 if found is None else 1024 * int(found.group(1))

"""A switch of the whole process: freed memory is kept for the next step."""

from __future__ import annotations

import ctypes

__all__ = ["keep_freed_memory"]

_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # names of glibc's mallopt(3)
_LARGEST = 2**31 - 1  # of its values


def keep_freed_memory() -> bool:
    """Let the C library keep what this process frees, and return whether it could.

    A step allocates what the last one freed. Pieces of many megabytes go back to the system in between, which has to find
    and clear them again, page by page: where activations are that large a step takes longer for it. The price is that the
    process stays as large as it ever was. It concerns the processor's memory under Linux alone.

    `probgen train` does this; a library must not by itself, so call it where a program of yours begins.

    Example:
        >>> import sys
        >>> keep_freed_memory() or not sys.platform.startswith("linux")
        True
    """
    try:
        library = ctypes.CDLL(None)
    except (OSError, TypeError):  # no C library that could be asked
        return False
    if not hasattr(library, "mallopt"):
        return False
    return all(library.mallopt(name, _LARGEST) for name in (_MMAP_THRESHOLD, _TRIM_THRESHOLD))

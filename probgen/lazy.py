"""Names of a package that are imported where they are first used."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["resolver"]


def resolver(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return what a package's `__getattr__` is to be, so that importing the package imports none of its modules.

    Args:
        package: Its name, `__name__` inside it.
        homes: The module of each of its public names.

    Raises:
        AttributeError: by what is returned, for a name that has no home.

    Example:
        >>> resolver("probgen.data", {"Split": "probgen.data.split"})("Split").__module__
        'probgen.data.split'
    """

    def __getattr__(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(homes[name]), name)
        setattr(sys.modules[package], name, value)  # so that it is asked once
        return value

    return __getattr__

"""How the site reads our docstrings: an extension of griffe, which mkdocstrings is built on."""

from __future__ import annotations

import re
from typing import Any

import griffe

__all__ = ["HouseSections"]


class HouseSections(griffe.Extension):
    """Make griffe see our sections: `Example:` holds doctests, and each line of `Shapes:` is an entry of its own."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Rewrite the docstring of `obj` before it is parsed."""
        if obj.docstring is not None:
            value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
            obj.docstring.value = re.sub(r"^( *)Shapes:\n(?:\1 +\S.*\n?)+", _as_list, value, flags=re.MULTILINE)


def _as_list(section: re.Match[str]) -> str:
    """Turn the entries of a section, `name: …`, into the items of a list."""
    return re.sub(r"^( +)(\w+): ", r"\1- `\2`: ", section[0], flags=re.MULTILINE)

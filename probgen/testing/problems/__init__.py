"""Problems with known answers, one model a file."""

from __future__ import annotations

from probgen.testing.problem import Problem

__all__ = ["known_problems"]


def known_problems() -> dict[str, Problem]:
    """Return the kit's problems by name."""
    return {}

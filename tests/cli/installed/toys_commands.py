"""A command of the fake distribution."""

from __future__ import annotations


def greet(name: str, *, loud: bool = False) -> None:
    """Greet NAME."""
    print(f"hello {name}".upper() if loud else f"hello {name}")

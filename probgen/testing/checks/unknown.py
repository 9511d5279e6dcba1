"""What to say of a quantity that no problem could tell."""

from __future__ import annotations

from collections.abc import Iterable

from probgen.errors import ConfigurationError, suggest
from probgen.testing.problem import Problem
from probgen.testing.problems import known_problems
from probgen.testing.quantity import QuantityName

__all__ = ["nearest_to"]

_LIST = "`probgen.testing.known_problems()` and the page on checks list them; `problems=` takes further ones."


def nearest_to(quantity: str, further: Iterable[Problem] = ()) -> str:
    """Return a sentence on the quantities that are known, those most like `quantity` first, and where they are listed.

    Args:
        quantity: A name that a claim has.
        further: Problems besides the kit's own.

    Example:
        >>> nearest_to("grad:log-prob").partition("?")[0]
        "Did you mean 'grad:log_prob'"
    """
    try:
        parts = QuantityName.of(quantity)
    except ConfigurationError as error:
        return str(error)
    before = "grad:" if parts.gradient else ""
    problems = [*known_problems().values(), *further]
    elsewhere = [problem.name for problem in problems if problem.knows(quantity)]
    if elsewhere:
        return f"It is known on {', '.join(elsewhere)}. {_LIST}"
    bases = {f"{before}{base}" for problem in problems for base in problem.oracles}
    if f"{before}{parts.base}" in bases:
        return f"What stands in brackets is not one that {parts.base} is known for. {_LIST}"
    return f"{suggest(f'{before}{parts.base}', bases)} {_LIST}"

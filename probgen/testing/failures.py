"""What goes wrong while something is being checked, apart from a check that fails."""

from __future__ import annotations

from probgen.errors import ProbgenError

__all__ = ["HiddenRandomness", "Inconclusive", "NotEnumerable"]


class NotEnumerable(ProbgenError, ValueError):
    """The randomness of a program cannot be enumerated exactly; `reason` names the operation that prevents it.

    It is no `TypeError`: torch takes one that is raised inside `1 - noise` for an operand that it does not know.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"exact_expectation: expected randomness that can be enumerated; got {reason}. Test it statistically."
        )
        self.reason = reason


class HiddenRandomness(ProbgenError, RuntimeError):
    """A program is no function of its torch draws: run twice on the same draws, it gave two results. `reason` says how."""

    exit_code = 1

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"exact_expectation: expected a function of its torch draws alone; got one that {reason}. "
            "Draw with torch operations and keep no state between calls."
        )
        self.reason = reason


class Inconclusive(ProbgenError, RuntimeError):
    """A statistical check could neither confirm a claim nor refute it within its budget. It is never a pass."""

    exit_code = 3

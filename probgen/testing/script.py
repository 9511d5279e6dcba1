"""A walk over every path of a random program.

A program that asks a `Script` for each of its random choices runs along one path of a tree. Running it again and again, with
`advance` in between, visits the leaves depth first, and each leaf comes with its probability.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence

from probgen.testing.failures import HiddenRandomness, NotEnumerable

__all__ = ["Script"]

_DRIFT = 1e-6
"""How far the probability of a choice may move when its path is run again; rounding stays below."""


@dataclasses.dataclass
class _Choice:
    """One branching on the present path: the outcomes of positive probability, and the one taken."""

    weights: tuple[float, ...]
    options: tuple[int, ...]
    position: int


class Script:
    """The answers to a program's random choices, one path at a time.

    Args:
        max_paths: How many paths are worth walking; an operation that alone has more outcomes is refused.
        pick: Which of several weighted options a path takes where it goes on for the first time; by default the first.

    Example:
        >>> script = Script(max_paths=100)
        >>> walked = []
        >>> while True:
        ...     script.start()
        ...     heads = [script.choose((0.75, 0.25)) for _ in range(2)]
        ...     walked.append((heads, script.mass))
        ...     if not script.advance():
        ...         break
        >>> walked
        [([0, 0], 0.5625), ([0, 1], 0.1875), ([1, 0], 0.1875), ([1, 1], 0.0625)]
    """

    def __init__(self, *, max_paths: float, pick: Callable[[Sequence[float]], int] | None = None) -> None:
        self.max_paths = max_paths
        self._pick = pick
        self._choices: list[_Choice] = []
        self._answers: dict[tuple[int, int], bytes] = {}
        self.start()

    def start(self) -> None:
        """Go back to the root, to run the present path from its beginning."""
        self._depth = 0
        self._questions = 0
        self._history = 0  # stands for the discrete choices so far
        self.mass = 1.0
        """Probability, or quadrature weight, of the path so far."""
        self.atom = 1.0
        """The part of it that discrete choices make up: how likely this path is, whatever the smooth noise."""
        self.smooth = False
        """Whether the path has a choice that stands for a node of a quadrature rule."""

    def choose(self, weights: Sequence[float], *, smooth: bool = False) -> int:
        """Return which of the outcomes the path takes; an outcome of weight 0 is never taken.

        Raises:
            HiddenRandomness: another choice stood here when this path was run before.
        """
        options = tuple(index for index, weight in enumerate(weights) if weight > 0)
        if len(options) == 1:
            return self._remember(options[0], smooth=smooth)
        if self._depth == len(self._choices):
            position = self._pick([weights[index] for index in options]) if self._pick else 0
            self._choices.append(_Choice(tuple(weights), options, position))
        choice = self._choices[self._depth]
        self._check_unchanged(choice, weights)
        self._depth += 1
        taken = choice.options[choice.position]
        self.mass *= weights[taken]
        if smooth:
            self.smooth = True
        else:
            self.atom *= weights[taken]
        return self._remember(taken, smooth=smooth)

    def _remember(self, taken: int, *, smooth: bool) -> int:
        if not smooth:
            self._history = hash((self._history, taken))
        return taken

    def agrees(self, answer: bytes) -> bool:
        """Return whether a question about smooth noise has the answer that it had after the same discrete choices before.

        Example:
            >>> script = Script(max_paths=10)
            >>> seen = []
            >>> for _ in range(2):
            ...     script.start()
            ...     node = script.choose((0.5, 0.5), smooth=True)
            ...     seen.append((script.agrees(b"well"), script.agrees(b"low" if node == 0 else b"high")))
            ...     more = script.advance()
            >>> seen
            [(True, True), (True, False)]
        """
        place = (self._history, self._questions)
        self._questions += 1
        return self._answers.setdefault(place, answer) == answer

    def expect(self, outcomes: int, operation: str) -> None:
        """Refuse an operation whose joint outcomes, each of which starts a path of its own, are too many to walk."""
        if outcomes > self.max_paths:
            size = str(outcomes) if outcomes < 10**6 else f"10^{math.log10(outcomes):.0f}"
            raise NotEnumerable(f"{operation} with {size} outcomes, above max_paths={self.max_paths}")

    def finish(self) -> None:
        """Say that the program has ended.

        Raises:
            HiddenRandomness: it made fewer choices than when this path was run before.
        """
        if self._depth < len(self._choices):
            raise HiddenRandomness("makes fewer random choices when it is run again on the same draws")

    def __len__(self) -> int:
        """Return how many choices the present path has, as far as it is known."""
        return len(self._choices)

    @property
    def share(self) -> float:
        """How much of the tree the present path stands for if every branching were even."""
        return math.prod(1 / len(choice.options) for choice in self._choices)

    def advance(self) -> bool:
        """Move on to the next path; False after the last."""
        while self._choices:
            last = self._choices[-1]
            if last.position + 1 < len(last.options):
                last.position += 1
                return True
            self._choices.pop()
        return False

    @staticmethod
    def _check_unchanged(choice: _Choice, weights: Sequence[float]) -> None:
        if len(weights) != len(choice.weights):
            raise HiddenRandomness("makes other random choices when it is run again on the same draws")
        if any(abs(new - old) > _DRIFT for new, old in zip(weights, choice.weights, strict=True)):
            raise HiddenRandomness("draws with other probabilities when it is run again on the same draws")

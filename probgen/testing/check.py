"""Checks as data: what each is about, whom it concerns, how it is run, and wrong subjects that it must catch."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any, Literal

from probgen.errors import ConfigurationError
from probgen.testing.trial import Judgement, Trial

__all__ = ["Check", "Kind"]

Kind = Literal["model", "estimator", "registration"]
"""What a check is given: an instance of a model, an estimator, or a `ModelSpec` with its registered name."""


@dataclasses.dataclass(frozen=True, eq=False)
class Check:
    """A question about a subject.

    A check without a wrong twin is refused: what has never failed proves nothing.

    Args:
        name: In kebab-case, as people type it: `"normalised"`.
        about: What a subject that passes has been shown to do, in one line.
        kind: What it is given.
        run: `(subject, trial)` to judgements, one for each claim looked at. It leaves the subject as it was (it copies what
            it changes), draws with seeds of `trial`, and raises `NotApplicable` where it has nothing to say.
        twins: Functions that make subjects which it must fail, by what is wrong with them.
        needs: Capabilities without which a model is not asked.

    Raises:
        ConfigurationError: there is no twin.
    """

    name: str
    about: str
    kind: Kind
    run: Callable[[Any, Trial], Iterable[Judgement]]
    twins: Mapping[str, Callable[[], Any]]
    needs: tuple[type, ...] = ()

    def __post_init__(self) -> None:
        if not self.twins:
            raise ConfigurationError(
                f"Check {self.name!r}: expected a wrong twin that it catches; got none. Write one that makes it fail."
            )
        object.__setattr__(self, "twins", MappingProxyType(dict(self.twins)))

    def __repr__(self) -> str:
        return f"<check {self.name}>"

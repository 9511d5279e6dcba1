"""What an estimator promises: which quantity each of its outputs estimates, and how biased it is.

Claims are data. They are printed in the documentation and by `probgen info`, and `probgen.testing` checks them. A claim
about the value says nothing of the gradient: each parameter group has a claim of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import ClassVar

from probgen.errors import ConfigurationError

__all__ = ["Biased", "Claim", "Claims", "Consistent", "Exact", "Heuristic", "LowerBound", "Unbiased", "UpperBound"]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement about the expectation of one output; `of` names a quantity (`"elbo"`, `"log_prob"`, `"grad:elbo"`)."""

    words: ClassVar[str] = "about"
    """The claim in words, to be followed by the quantity's name."""

    of: str

    def __str__(self) -> str:
        return f"{self.words} {self.of}"


@dataclasses.dataclass(frozen=True)
class Exact(Claim):
    """The output *is* the quantity: there is no randomness in it."""

    words = "exactly"


@dataclasses.dataclass(frozen=True)
class Unbiased(Claim):
    """The output's expectation is the quantity."""

    words = "unbiased for"


@dataclasses.dataclass(frozen=True)
class LowerBound(Claim):
    """The output's expectation is at most the quantity."""

    words = "lower bound on"


@dataclasses.dataclass(frozen=True)
class UpperBound(Claim):
    """The output's expectation is at least the quantity."""

    words = "upper bound on"


@dataclasses.dataclass(frozen=True)
class Biased(Claim):
    """The output's expectation is not the quantity `of` but `target`, which is known and is what is tested."""

    target: str

    def __str__(self) -> str:
        return f"biased for {self.of}; unbiased for {self.target}"


@dataclasses.dataclass(frozen=True)
class Consistent(Claim):
    r"""The bias vanishes as the option `knob` grows, like $\text{knob}^{-\text{order}}$."""

    knob: str
    order: float = 1.0

    def __str__(self) -> str:
        return f"consistent for {self.of} in {self.knob} (bias of order {self.knob}^-{self.order:g})"


@dataclasses.dataclass(frozen=True)
class Heuristic(Claim):
    """Nothing is promised, for the reason `of`; it is said aloud so that silence never means it."""

    def __str__(self) -> str:
        return f"heuristic: {self.of}"


@dataclasses.dataclass(frozen=True)
class Claims:
    """Every claim of one estimator with its present options.

    Args:
        value: What `Estimate.value` is; several claims may hold at once.
        gradient: What the surrogate's gradient is, by parameter group: a glob over parameter names (`"*"`, `"encoder.*"`).
            The first pattern that matches a name holds for it.

    Example:
        >>> claims = Claims(value=[Unbiased("elbo"), LowerBound("log_prob")], gradient={"*": Unbiased("grad:elbo")})
        >>> str(claims.for_parameter("decoder.weight"))
        'unbiased for grad:elbo'
    """

    value: tuple[Claim, ...]
    gradient: Mapping[str, Claim]

    def __init__(self, *, value: Claim | list[Claim] | tuple[Claim, ...], gradient: Mapping[str, Claim]) -> None:
        object.__setattr__(self, "value", (value,) if isinstance(value, Claim) else tuple(value))
        object.__setattr__(self, "gradient", MappingProxyType(dict(gradient)))

    def for_parameter(self, name: str) -> Claim:
        """Return the claim about the gradient of the parameter called `name`.

        Raises:
            ConfigurationError: no pattern covers the name: an estimator must speak of every parameter that it trains.
        """
        for pattern, claim in self.gradient.items():
            if fnmatchcase(name, pattern):
                return claim
        raise ConfigurationError(
            f"Claims.for_parameter: expected a pattern that covers {name!r}; got {', '.join(self.gradient) or 'none'}. "
            "Add one to `gradient`."
        )

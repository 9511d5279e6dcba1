"""What an estimator promises: which quantity each of its outputs estimates, and how biased it is.

Claims are data. They are printed in the documentation and by `probgen info`, and `probgen.testing` checks them. A claim
about the value says nothing of the gradient: each parameter group has a claim of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import ClassVar

from probgen.errors import ConfigurationError

__all__ = ["Biased", "Claim", "Claims", "Consistent", "Exact", "Heuristic", "LowerBound", "Unbiased", "UpperBound"]


@dataclasses.dataclass(frozen=True)
class Claim:
    """A statement about the expectation of one output; `of` names a quantity (`"elbo"`, `"iwae[5]"`, `"grad:log_prob"`)."""

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
        value: What `Estimate.value` is; several claims may hold at once. Where phases differ in their quantity, a mapping
            from their names to the claims of each, that of the objective first.
        gradient: What the surrogate's gradient is, by parameter group: a glob over parameter names (`"*"`, `"encoder.*"`).
            The first pattern that matches a name holds for it.

    Example:
        >>> claims = Claims(value=[Unbiased("elbo"), LowerBound("log_prob")], gradient={"*": Unbiased("grad:elbo")})
        >>> str(claims.for_parameter("decoder.weight"))
        'unbiased for grad:elbo'
        >>> values = {"wake": Unbiased("elbo"), "sleep": Unbiased("sleep")}
        >>> phases = Claims(value=values, gradient={"*": Unbiased("grad:elbo")})
        >>> print(*phases.for_value("sleep"))
        unbiased for sleep
    """

    values: Mapping[str, tuple[Claim, ...]]
    gradient: Mapping[str, Claim]

    def __init__(
        self,
        *,
        value: Claim | Sequence[Claim] | Mapping[str, Claim | Sequence[Claim]],
        gradient: Mapping[str, Claim],
    ) -> None:
        by_phase = value if isinstance(value, Mapping) else {"*": value}
        values = {phase: (said,) if isinstance(said, Claim) else tuple(said) for phase, said in by_phase.items()}
        object.__setattr__(self, "values", MappingProxyType(values))
        object.__setattr__(self, "gradient", MappingProxyType(dict(gradient)))

    def __deepcopy__(self, memo: dict[int, object]) -> Claims:
        """Return the claims themselves, which do not change; estimators that hold theirs are copied."""
        return self

    @property
    def value(self) -> tuple[Claim, ...]:
        """What the value is in the phase that estimates the objective: the first that is spoken of."""
        return next(iter(self.values.values()), ())

    def for_value(self, phase: str) -> tuple[Claim, ...]:
        """Return the claims about the value that the phase of this name estimates.

        Raises:
            ConfigurationError: there are none: an estimator must say what each of its phases estimates.
        """
        for pattern, claims in self.values.items():
            if fnmatchcase(phase, pattern):
                return claims
        raise ConfigurationError(
            f"Claims.for_value: expected claims about the value of phase {phase!r}; got those of "
            f"{', '.join(self.values) or 'none'}. Add it to `value`."
        )

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

"""Names of quantities, as claims write them: `elbo`, `iwae[5]`, `grad:log_prob`."""

from __future__ import annotations

import dataclasses
import re
from typing import Self

from probgen.errors import ConfigurationError

__all__ = ["QuantityName"]

_FORM = re.compile(r"(?P<gradient>grad:)?(?P<base>[a-z0-9_-]+)(\[(?P<argument>[^\[\]]+)\])?")


@dataclasses.dataclass(frozen=True)
class QuantityName:
    """A quantity's name in its parts.

    Args:
        base: What it is: `"iwae"`.
        argument: Which of its kind: `"5"`; empty where there is but one.
        gradient: Whether its gradient by the parameters is meant.

    Example:
        >>> QuantityName.of("grad:iwae[5]")
        QuantityName(base='iwae', argument='5', gradient=True)
    """

    base: str
    argument: str = ""
    gradient: bool = False

    @classmethod
    def of(cls, text: str) -> Self:
        """Return the parts of a name.

        Raises:
            ConfigurationError: it is not of the form `grad:base[argument]`.
        """
        parts = _FORM.fullmatch(text)
        if parts is None:
            raise ConfigurationError(
                f"Claim: expected a quantity's name like 'iwae[5]' or 'grad:elbo'; got {text!r}. Write it so."
            )
        return cls(parts["base"], parts["argument"] or "", parts["gradient"] is not None)

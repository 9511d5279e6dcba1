"""All checks of models, from those that every other one relies on to those of special powers."""

from __future__ import annotations

from probgen.testing.check import Check
from probgen.testing.checks import (
    abilities,
    autoregressive,
    bounds,
    density,
    gradients,
    invertible,
    markov,
    matching,
    module,
    noise,
    purity,
    reparameterized,
    sampler,
    shapes,
)

__all__ = ["model_checks"]

_NOUNS = (
    abilities,
    shapes,
    density,
    gradients,
    purity,
    module,
    sampler,
    matching,
    reparameterized,
    invertible,
    autoregressive,
    bounds,
    markov,
    noise,
)


def model_checks() -> tuple[Check, ...]:
    """Return every check of kind "model", in the order in which they are run.

    Example:
        >>> [check.name for check in model_checks()][:3]
        ['capabilities-agree', 'enumeration', 'shapes']
    """
    return tuple(check for noun in _NOUNS for check in noun.CHECKS)

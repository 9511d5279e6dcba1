"""Checks of the numbers that estimators take: that they are numbers at all, before anything is asked of their size."""

from __future__ import annotations

from numbers import Integral, Real

from probgen.errors import ConfigurationError

__all__ = ["require_numbers", "require_whole"]


def require_numbers(owner: str, **values: object) -> None:
    """Check that every value is a number; True and False are none.

    Raises:
        ConfigurationError: one is not; the message says which.

    Example:
        >>> require_numbers("ELBO", beta="x")
        Traceback (most recent call last):
        probgen.errors.ConfigurationError: ELBO: expected beta as a number; got 'x'. Write 1.0, say.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Real):
            raise ConfigurationError(f"{owner}: expected {name} as a number; got {value!r}. Write 1.0, say.")


def require_whole(owner: str, **values: object) -> None:
    """Check that every value is a whole number; True and False are none.

    Raises:
        ConfigurationError: one is not; the message says which.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, Integral):
            raise ConfigurationError(f"{owner}: expected {name} as a whole number; got {value!r}. Write 5, say.")

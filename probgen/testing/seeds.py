"""Seeds of checks: fresh in every session, and reproducible when a session's entropy is given.

A seed is a hash of the session's entropy, the check and the model. It stays the same while a property-based test replays and
shrinks an example, and cannot be searched: pinned seeds hide errors, and seeds that are drawn find false ones.
"""

from __future__ import annotations

import functools
import hashlib
import os
import secrets

from probgen.errors import ConfigurationError

__all__ = ["SEED_VARIABLE", "derive_seed", "session_entropy"]

SEED_VARIABLE = "PROBGEN_TEST_SEED"
"""The environment variable that fixes the session's entropy, in decimal or as `0x…`."""


def session_entropy() -> int:
    """Return this process's entropy, of 63 bits: the environment's, or drawn once from the system.

    Raises:
        ConfigurationError: the environment variable is not a nonnegative integer.
    """
    text = os.environ.get(SEED_VARIABLE)
    if not text:
        return _fresh_entropy()
    try:
        entropy = int(text, 0)
    except ValueError:
        entropy = -1
    if entropy < 0:
        raise ConfigurationError(
            f"session_entropy: expected {SEED_VARIABLE} as a nonnegative integer; got {text!r}. Unset it for a fresh seed."
        )
    return entropy


def derive_seed(check: str, *parts: object, entropy: int | None = None) -> int:
    """Return the seed, in [0, 2^63), of the draws that `check` makes on what `parts` describe.

    Args:
        check: The check's name.
        parts: Whatever tells apart uses of the check: the canonical `repr` of a model, a counter. Their `repr` counts.
        entropy: Of the session by default.

    Example:
        >>> derive_seed("mean", "sbn(k=2)", entropy=1) == derive_seed("mean", "sbn(k=2)", entropy=1)
        True
        >>> derive_seed("mean", "sbn(k=2)", entropy=1) == derive_seed("mean", "sbn(k=2)", entropy=2)
        False
    """
    root = session_entropy() if entropy is None else entropy
    text = "\0".join([str(root), check, *map(repr, parts)]).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


@functools.cache
def _fresh_entropy() -> int:
    return secrets.randbits(63)

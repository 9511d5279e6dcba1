"""The exceptions of probgen: one root, and a leaf for each kind of trouble.

Every message is one sentence of the form ``<Class>.<method>: expected <what> <expected>; got <actual>. <one remedy>``.
Each leaf is also the builtin that a caller would catch, so ``except ValueError`` works without importing this module.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "CapabilityError",
    "CheckpointError",
    "ConfigurationError",
    "DataError",
    "InterruptedRunError",
    "NonFiniteError",
    "PluginLoadError",
    "ProbgenError",
    "RunError",
    "ShapeError",
    "StagingError",
    "SupportError",
    "UnknownNameError",
    "suggest",
]


class ProbgenError(Exception):
    """Root of every exception that probgen raises on purpose.

    `exit_code` is what the command line exits with: 2 for bad input, 1 for a run that failed.
    """

    exit_code = 2


class ShapeError(ProbgenError, ValueError):
    """A tensor's shape is not the one that a contract asks for."""


class SupportError(ProbgenError, ValueError):
    """A value lies outside a support, or two supports do not fit each other."""


class ConfigurationError(ProbgenError, ValueError):
    """An option of a model, an estimator or a run is unknown, ill typed or out of range."""


class UnknownNameError(ProbgenError, KeyError):
    """A name that nothing registers. The message suggests the nearest names."""

    def __str__(self) -> str:  # KeyError would print the repr of the message
        return str(self.args[0]) if self.args else ""


class CapabilityError(ProbgenError, TypeError):
    """An object lacks a capability that was asked of it."""


class PluginLoadError(ProbgenError, ImportError):
    """A plugin could not be loaded, or registered something that is not valid."""


class DataError(ProbgenError, ValueError):
    """A data source cannot be read, or holds values that cannot be used."""


class CheckpointError(ProbgenError, RuntimeError):
    """A checkpoint or run folder is missing, incomplete, altered or made for something else."""


class RunError(ProbgenError, RuntimeError):
    """A run started well and failed on the way."""

    exit_code = 1


class NonFiniteError(RunError, ArithmeticError):
    """A loss or a gradient became infinite or NaN during training."""


class StagingError(RunError):
    """A program cannot be recorded as a graph of tensor operations."""


class InterruptedRunError(RunError):
    """A run was stopped by a signal after saving itself; `exit_code` is 128 plus the signal's number."""

    def __init__(self, message: str, *, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number
        self.exit_code = 128 + signal_number


def suggest(name: str, candidates: Iterable[str]) -> str:
    """Return a sentence that helps someone who typed `name` where one of `candidates` was meant.

    Example:
        >>> suggest("flows/mafs", ["flows/maf", "latent/vae"])
        "Did you mean 'flows/maf'?"
        >>> suggest("zebra", ["b", "a"])
        'Available: a, b.'
    """
    known = sorted(candidates)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f"Did you mean {near[0]!r}?"
    return f"Available: {', '.join(known)}." if known else "None is registered."

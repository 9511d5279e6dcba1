"""Which versions a run was made with, read from what is installed: nothing is imported for it."""

from __future__ import annotations

import importlib.metadata
import platform

from probgen import __version__

__all__ = ["installed_versions"]

_COMPUTING = ("torch", "pyro-ppl", "numpy")


def installed_versions(*plugins: str) -> dict[str, str]:
    """Return the versions of Python, probgen, what computes, and the given distributions, by name.

    Example:
        >>> sorted(installed_versions())
        ['numpy', 'probgen', 'pyro-ppl', 'python', 'torch']
    """
    versions = {"python": platform.python_version(), "probgen": __version__}
    for name in (*plugins, *_COMPUTING):
        if name not in versions:
            versions[name] = _version(name)
    return versions


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"

"""The `probgen` command.

Each command is a file of its own. What needs torch is imported when a command runs and not before, so that help, listings
and refusals of bad input come at once.
"""

from __future__ import annotations

from probgen.cli.app import main

__all__ = ["main"]

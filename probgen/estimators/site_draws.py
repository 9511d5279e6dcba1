"""Draws at the sites of a guide that are not the program's own; see `run_pair(…, draw=…)`."""

from __future__ import annotations

from probgen.pyro_bridge import Drawn, Statement

__all__ = ["without_gradient"]


def without_gradient(statement: Statement) -> Drawn:
    """Draw as the program says, as a constant: only the score carries the gradient of the guide's parameters."""
    return Drawn(statement.distribution.sample().detach(), reparameterized=False)
